//! The order of tasks in which the fewest bytes are alive at once.

use super::tasks::Tasks;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

/// Sets of finished tasks looked at before the graph's own order is taken as good enough.
const LIMIT: usize = 1 << 16;

/// An order and the bytes alive in its worst step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// Indices of tasks.
    pub tasks: Vec<usize>,
    /// Buffers and scratch together.
    pub peak: usize,
}

/// The order with the lowest peak, or `None` if tasks wait for each other in a circle.
///
/// What is alive depends only on the set of finished tasks, so this is a shortest path through such sets, where the length
/// of a path is its worst step (Dijkstra's algorithm). Among equals, paths that finish more and then those nearest to the
/// graph's own order go first, so chains cost no search.
pub(super) fn order(tasks: &Tasks) -> Option<Order> {
    let n = tasks.list.len();
    let mut nodes = vec![Visit { done: Set::new(n), task: 0, from: usize::MAX }];
    let mut heap = BinaryHeap::from([(Reverse(alive(tasks, &nodes[0].done)), 0usize, Reverse(0usize))]);
    let mut seen: HashSet<Set> = HashSet::new();
    while let Some((Reverse(peak), finished, Reverse(at))) = heap.pop() {
        if finished == n {
            return Some(Order { tasks: path(&nodes, at), peak });
        }
        let done = nodes[at].done.clone();
        if !seen.insert(done.clone()) {
            continue;
        }
        if seen.len() > LIMIT {
            break;
        }
        let live = alive(tasks, &done);
        for task in (0..n).filter(|&t| !done.has(t) && tasks.after[t].iter().all(|&p| done.has(p))) {
            let step = live + cost(tasks, task, |t| done.has(t));
            let next = done.with(task);
            heap.push((Reverse(peak.max(step)), finished + 1, Reverse(nodes.len())));
            nodes.push(Visit { done: next, task, from: at });
        }
    }
    own_order(tasks)
}

/// The order of the graph.
fn own_order(tasks: &Tasks) -> Option<Order> {
    let n = tasks.list.len();
    let mut done = Set::new(n);
    let mut out = Order { tasks: Vec::with_capacity(n), peak: alive(tasks, &done) };
    while let Some(task) = (0..n).find(|&t| !done.has(t) && tasks.after[t].iter().all(|&p| done.has(p))) {
        out.peak = out.peak.max(alive(tasks, &done) + cost(tasks, task, |t| done.has(t)));
        done = done.with(task);
        out.tasks.push(task);
    }
    (out.tasks.len() == n).then_some(out)
}

/// Bytes that a task needs beside those alive before it.
fn cost(tasks: &Tasks, task: usize, done: impl Fn(usize) -> bool) -> usize {
    let own = if tasks.overwrites(task, done).is_some() { 0 } else { tasks.size(tasks.list[task].writes) };
    own + tasks.list[task].scratch.next_multiple_of(super::arena::ALIGN)
}

/// Bytes alive once `done` has run.
fn alive(tasks: &Tasks, done: &Set) -> usize {
    let needed = |t: usize| tasks.outputs.contains(&t) || tasks.readers[t].iter().any(|&r| !done.has(r));
    let made = tasks.list.iter().enumerate().filter(|(i, _)| done.has(*i)).map(|(_, task)| task.writes);
    made.chain(tasks.inputs.iter().copied()).filter(|&t| needed(t)).map(|t| tasks.size(t)).sum()
}

struct Visit {
    done: Set,
    task: usize,
    from: usize,
}

fn path(nodes: &[Visit], mut at: usize) -> Vec<usize> {
    let mut tasks = Vec::new();
    while nodes[at].from != usize::MAX {
        tasks.push(nodes[at].task);
        at = nodes[at].from;
    }
    tasks.reverse();
    tasks
}

/// A set of tasks.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Set(Vec<u64>);

impl Set {
    fn new(n: usize) -> Self {
        Set(vec![0; n.div_ceil(64)])
    }

    fn has(&self, i: usize) -> bool {
        self.0[i / 64] >> (i % 64) & 1 == 1
    }

    fn with(&self, i: usize) -> Self {
        let mut set = self.clone();
        set.0[i / 64] |= 1 << (i % 64);
        set
    }
}

//! From when to when each buffer is needed, given an order of tasks.

use super::arena::Buffer;
use super::tasks::Tasks;

/// Buffers with their lifetimes, counted in positions of the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lifetimes {
    /// The buffers.
    pub buffers: Vec<Buffer>,
    /// For each tensor its buffer; `None` for a convolution's result that a fused sum takes in.
    pub of_tensor: Vec<Option<usize>>,
    /// For each position of the order its task's working memory.
    pub scratch: Vec<Option<usize>>,
}

/// The lifetimes under an order.
pub(super) fn lifetimes(tasks: &Tasks, order: &[usize]) -> Lifetimes {
    let mut position = vec![0; tasks.list.len()];
    for (at, &task) in order.iter().enumerate() {
        position[task] = at;
    }
    let end = order.len();
    let last_read = |t: usize| {
        let read = tasks.readers[t].iter().map(|&r| position[r]).max();
        if tasks.outputs.contains(&t) { Some(end) } else { read }
    };
    let mut out = Lifetimes { buffers: Vec::new(), of_tensor: vec![None; tasks.bytes.len()], scratch: Vec::new() };
    for &t in &tasks.inputs {
        out.of_tensor[t] = Some(out.buffers.len());
        out.buffers.push(Buffer { bytes: tasks.bytes[t], first: 0, last: last_read(t).unwrap_or(0) });
    }
    for (at, &i) in order.iter().enumerate() {
        let task = &tasks.list[i];
        let last = last_read(task.writes).unwrap_or(at);
        match tasks.overwrites(i, |r| position[r] < at).and_then(|t| out.of_tensor[t]) {
            Some(buffer) => {
                out.of_tensor[task.writes] = Some(buffer);
                out.buffers[buffer].last = last;
            }
            None => {
                out.of_tensor[task.writes] = Some(out.buffers.len());
                out.buffers.push(Buffer { bytes: tasks.bytes[task.writes], first: at, last });
            }
        }
        out.scratch.push((task.scratch > 0).then_some(out.buffers.len()));
        if task.scratch > 0 {
            out.buffers.push(Buffer { bytes: task.scratch, first: at, last: at });
        }
    }
    for t in 0..tasks.root.len() {
        out.of_tensor[t] = out.of_tensor[t].or(out.of_tensor[tasks.root[t]]);
    }
    out
}

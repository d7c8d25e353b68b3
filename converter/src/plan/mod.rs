//! The stage from an int8 graph to a plan for one target: order, fused sums, places in the arena, and whether it all fits.

mod arena;
mod budget;
mod cost;
mod lifetime;
mod memory;
mod order;
mod target;
mod tasks;

pub use arena::{ALIGN, Arena, Buffer, assign, least};
pub use budget::{BudgetError, Fit, fit};
pub use cost::{Cost, cost};
pub use memory::memory;
pub use target::PlanTarget;

use crate::quantize::{QuantGraph, QuantOp};
use lifetime::lifetimes;
use limbeck_runtime::Layout;
use order::{Order, order};
use serde::{Deserialize, Serialize};
use tasks::{Fusion, Tasks, fusions};

/// How an int8 graph runs on a target: what is left to do is writing it down.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Name of the target.
    pub target: String,
    /// Order of the weights.
    #[serde(with = "target::layout_numbers")]
    pub layout: Layout,
    /// What to run, in order.
    pub steps: Vec<PlanStep>,
    /// For each tensor its place in the arena; `None` for a convolution's result that a fused sum takes in.
    pub offsets: Vec<Option<usize>>,
    /// Size of the arena.
    pub arena_bytes: usize,
    /// Bytes alive in the worst step: what no arena for this order could be below.
    pub live_bytes: usize,
}

/// One operator of the model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanStep {
    /// Index of the node.
    pub node: usize,
    /// Index of the sum that is fused into it.
    pub add: Option<usize>,
    /// Offset and bytes of its working memory; zeros for none.
    pub scratch: [usize; 2],
    /// Bytes alive while it runs, its working memory included.
    pub live_bytes: usize,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The target names a table of kernels that this program does not know.
    #[error("target `{target}` wants the kernel table `{table}`, which is not one of {known}")]
    UnknownTable {
        /// The target.
        target: String,
        /// The table.
        table: String,
        /// All tables.
        known: String,
    },
    /// Nodes read what only later nodes make.
    #[error("the nodes of graph `{graph}` are not in an order in which they can run")]
    Circle {
        /// The graph.
        graph: String,
    },
    /// The arena does not fit.
    #[error(transparent)]
    Budget(#[from] BudgetError),
}

/// Plans a graph for a target.
///
/// # Errors
/// If the arena does not fit the target's memory.
pub fn plan(graph: &QuantGraph, target: &PlanTarget) -> Result<Plan, PlanError> {
    let scratch = |node: usize| target.scratch(graph, &graph.nodes[node]);
    let (tasks, Order { tasks: order, .. }) = best_fusion(graph, target.fuse_sums, &scratch)
        .ok_or_else(|| PlanError::Circle { graph: graph.name.clone() })?;
    let lives = lifetimes(&tasks, &order);
    let Arena { offsets, bytes } = assign(&lives.buffers);
    let steps = order.iter().enumerate().map(|(at, &i)| {
        let task = &tasks.list[i];
        let alive = lives.buffers.iter().filter(|b| b.first <= at && at <= b.last);
        PlanStep {
            node: task.node,
            add: task.add,
            scratch: lives.scratch[at].map_or([0, 0], |b| [offsets[b], task.scratch]),
            live_bytes: alive.map(|b| b.bytes.next_multiple_of(ALIGN)).sum(),
        }
    });
    let plan = Plan {
        target: target.name.clone(),
        layout: target.layout,
        steps: steps.collect(),
        offsets: lives.of_tensor.iter().map(|b| b.map(|b| offsets[b])).collect(),
        arena_bytes: bytes,
        live_bytes: least(&lives.buffers),
    };
    if let Some(device) = &target.device {
        budget::check_arena(graph, &plan, &target.name, device)?;
    }
    Ok(plan)
}

/// The tasks and their order for a good choice of fused sums: each is fused where that does not raise the peak, and where
/// two convolutions could take it in, into the one with the lower peak.
fn best_fusion(graph: &QuantGraph, fuse: bool, scratch: &dyn Fn(usize) -> usize) -> Option<(Tasks, Order)> {
    let all = if fuse { fusions(graph) } else { Vec::new() };
    let mut sums: Vec<usize> = all.iter().map(|f| f.add).collect();
    sums.dedup();
    let solve = |chosen: &[Fusion]| {
        let tasks = Tasks::new(graph, chosen, scratch);
        order(&tasks).map(|order| (tasks, order))
    };
    let mut chosen: Vec<Fusion> = Vec::new();
    let mut best = solve(&chosen)?;
    // Later choices move the peak that earlier ones were judged by, so they are judged once more.
    for sum in [&sums[..], &sums[..]].concat() {
        for rival in all.iter().filter(|f| f.add == sum) {
            let mut changed: Vec<Fusion> = chosen.iter().copied().filter(|f| f.add != sum).collect();
            changed.push(*rival);
            let Some(solved) = solve(&changed) else { continue };
            let more = changed.len() > chosen.len() && solved.1.peak == best.1.peak;
            if more || solved.1.peak < best.1.peak {
                (best, chosen) = (solved, changed);
            }
        }
    }
    Some(best)
}

/// Whether an operator of the graph becomes one of the file; views do not.
pub fn is_stored(op: &QuantOp) -> bool {
    *op != QuantOp::Reshape
}

#[cfg(test)]
mod tests;

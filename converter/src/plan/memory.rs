//! The arena over time: from which step to which each of its bytes is in use, and for what.

use super::{Plan, PlanStep};
use crate::quantize::{QuantGraph, QuantOp, TensorId};
use crate::verify::record::{Block, Memory, OpRecord, Role};

/// What lies in the arena of a plan, in the order of its first step; `file` names the model file that has the plan.
pub fn memory(graph: &QuantGraph, plan: &Plan, file: &str) -> Memory {
    let steps: Vec<Step> = plan.steps.iter().map(|step| Step::new(graph, step)).collect();
    let end = steps.len().saturating_sub(1);
    let of = |ids: &[TensorId]| ids.iter().map(|&id| root(graph, id)).collect::<Vec<_>>();
    let (inputs, outputs) = (of(&graph.inputs), of(&graph.outputs));
    let mut blocks = Vec::new();
    for (id, offset) in plan.offsets.iter().enumerate().filter_map(|(id, offset)| Some((id, (*offset)?))) {
        let made = steps.iter().position(|step| step.writes == id);
        // What no step makes and no one gives is a view of another tensor.
        let Some(first) = made.or(inputs.contains(&id).then_some(0)) else { continue };
        let read = steps.iter().rposition(|step| step.reads.contains(&id)).unwrap_or(first);
        let (role, last) = match (inputs.contains(&id), outputs.contains(&id)) {
            (_, true) => (Role::Output, end),
            (true, false) => (Role::Input, read),
            (false, false) => (Role::Tensor, read),
        };
        let tensor = &graph.tensors[id];
        blocks.push(Block { name: tensor.name.clone(), role, offset, bytes: tensor.bytes(), first, last });
    }
    for (at, step) in plan.steps.iter().enumerate().filter(|(_, step)| step.scratch[1] > 0) {
        let ([offset, bytes], name) = (step.scratch, graph.nodes[step.node].name.clone());
        blocks.push(Block { name, role: Role::Scratch, offset, bytes, first: at, last: at });
    }
    blocks.sort_by_key(|block| (block.first, block.offset, block.last));
    let op = |step: &PlanStep| {
        let node = &graph.nodes[step.node];
        let kind = node.op.name();
        OpRecord {
            name: node.name.clone(),
            kind: if step.add.is_some() { format!("{kind} + add") } else { kind.into() },
        }
    };
    let (arena_bytes, live_bytes) = (plan.arena_bytes as u64, plan.live_bytes as u64);
    Memory { file: file.to_owned(), arena_bytes, live_bytes, ops: plan.steps.iter().map(op).collect(), blocks }
}

/// The tensors that a step reads and the one that it writes, by those whose bytes they are.
struct Step {
    reads: Vec<usize>,
    writes: usize,
}

impl Step {
    fn new(graph: &QuantGraph, step: &PlanStep) -> Self {
        let node = &graph.nodes[step.node];
        let sum = step.add.map(|add| &graph.nodes[add]);
        let others = sum.into_iter().flat_map(|sum| &sum.inputs).filter(|&&id| id != node.output);
        let reads = node.inputs.iter().chain(others).map(|&id| root(graph, id)).collect();
        Step { reads, writes: root(graph, sum.map_or(node.output, |sum| sum.output)) }
    }
}

/// The tensor whose bytes a view shows.
fn root(graph: &QuantGraph, id: TensorId) -> usize {
    let view = graph.nodes.iter().find(|node| node.output == id && node.op == QuantOp::Reshape);
    view.map_or(id.index(), |node| root(graph, node.inputs[0]))
}

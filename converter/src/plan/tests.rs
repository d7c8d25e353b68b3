//! Plans of random graphs, run with tokens in the place of numbers; and of graphs small enough to plan by hand.

use super::*;
use crate::graph::Window;
use crate::quantize::{Affine, Clamp, QuantNode, TensorId, Weights};
use crate::verify::record::Block;

const UNIT: Affine = Affine { scale: 1.0, zero_point: 0 };

fn conv(kernel: usize, channels: usize) -> QuantOp {
    let weights = Weights { data: vec![0; kernel * kernel * channels], scales: vec![1.0], bias: vec![0] };
    QuantOp::Conv2d { window: Window::square(kernel, 1, kernel / 2), weights, clamp: Clamp::NONE }
}

fn node(graph: &mut QuantGraph, op: QuantOp, inputs: &[TensorId], shape: [usize; 3]) -> TensorId {
    let name = format!("n{}", graph.nodes.len());
    let output = graph.add_tensor(name.clone(), shape, UNIT);
    graph.nodes.push(QuantNode { name, op, inputs: inputs.to_vec(), output });
    output
}

fn any() -> PlanTarget {
    PlanTarget::with_layout("any", Layout::PLAIN)
}

/// Runs a plan on an arena of tokens: every read must find what the graph says should be there.
fn check(graph: &QuantGraph, plan: &Plan) {
    let mut arena = vec![usize::MAX; plan.arena_bytes];
    // What a tensor holds is named by the first tensor of its chain of views.
    let mut token: Vec<usize> = (0..graph.tensors.len()).collect();
    for node in graph.nodes.iter().filter(|n| n.op == QuantOp::Reshape) {
        token[node.output.index()] = token[node.inputs[0].index()];
    }
    let range = |t: TensorId| {
        let at = plan.offsets[t.index()].unwrap_or_else(|| panic!("{t:?} has no place"));
        at..at + graph.tensor(t).bytes()
    };
    let holds = |arena: &[usize], t: TensorId| arena[range(t)].iter().all(|&x| x == token[t.index()]);
    for &t in &graph.inputs {
        arena[range(t)].fill(token[t.index()]);
    }
    for step in &plan.steps {
        let node = &graph.nodes[step.node];
        for &t in &node.inputs {
            assert!(holds(&arena, t), "step {} reads {t:?}, which was overwritten", node.name);
        }
        let out = match step.add {
            None => node.output,
            Some(add) => {
                let add = &graph.nodes[add];
                let kept = *add.inputs.iter().find(|&&t| t != node.output).unwrap();
                assert!(holds(&arena, kept), "{kept:?}");
                assert_eq!(range(kept), range(add.output), "a fused sum is done in place");
                let input = range(node.inputs[0]);
                assert!(range(kept).end <= input.start || input.end <= range(kept).start);
                add.output
            }
        };
        let [at, bytes] = step.scratch;
        let work = at..at + bytes;
        for &t in &node.inputs {
            assert!(work.is_empty() || range(t).end <= work.start || work.end <= range(t).start);
        }
        arena[work].fill(usize::MAX);
        arena[range(out)].fill(token[out.index()]);
        assert_eq!(range(out).start % ALIGN, 0);
    }
    for &t in &graph.outputs {
        assert!(holds(&arena, t), "output {t:?} was overwritten");
    }
    let mut nodes: Vec<usize> = plan.steps.iter().flat_map(|s| [Some(s.node), s.add]).flatten().collect();
    nodes.sort_unstable();
    let stored: Vec<usize> = (0..graph.nodes.len()).filter(|&i| is_stored(&graph.nodes[i].op)).collect();
    assert_eq!(nodes, stored, "each node runs once");
    assert!(plan.arena_bytes >= plan.live_bytes);
    let blocks = memory(graph, plan, "f").blocks;
    for (at, step) in plan.steps.iter().enumerate() {
        // Bytes that a result takes over from an operand count once, and others belong to one block only.
        let alive: Vec<&Block> = blocks.iter().filter(|b| b.first <= at && at <= b.last).collect();
        let mut ranges: Vec<_> = alive.iter().map(|b| (b.offset, b.bytes.next_multiple_of(ALIGN))).collect();
        ranges.sort_unstable();
        ranges.dedup();
        assert!(ranges.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "step {at}: {alive:?}");
        assert_eq!(ranges.iter().map(|range| range.1).sum::<usize>(), step.live_bytes, "step {at}: {alive:?}");
    }
}

#[test]
fn random_graphs_never_lose_a_tensor() {
    let mut state = 3u64;
    let mut below = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let mut fused = 0;
    for _ in 0..300 {
        let mut graph = QuantGraph::default();
        let x = graph.add_tensor("x", [4, 4, 2], UNIT);
        graph.inputs.push(x);
        let mut made = vec![x];
        for _ in 0..3 + below(12) {
            let a = made[below(made.len())];
            let [h, w, c] = graph.tensor(a).shape;
            let alike: Vec<TensorId> = made.iter().copied().filter(|&t| graph.tensor(t).shape == [h, w, c]).collect();
            let b = alike[below(alike.len())];
            let new = match below(7) {
                0 | 1 => node(&mut graph, conv(3, c), &[a], [h, w, c]),
                2 | 3 => node(&mut graph, QuantOp::Add { clamp: Clamp::NONE }, &[a, b], [h, w, c]),
                4 => node(&mut graph, QuantOp::Lut { table: Box::new([0; 256]) }, &[a], [h, w, c]),
                5 => node(&mut graph, QuantOp::Reshape, &[a], [w, h, c]),
                _ => node(&mut graph, QuantOp::Concat { axis: 2 }, &[a, b], [h, w, 2 * c]),
            };
            made.push(new);
        }
        let unread = |graph: &QuantGraph, t: &TensorId| !graph.nodes.iter().any(|n| n.inputs.contains(t));
        graph.outputs = made.iter().copied().filter(|t| unread(&graph, t)).collect();
        let plan = plan(&graph, &any()).unwrap();
        check(&graph, &plan);
        fused += plan.steps.iter().filter(|s| s.add.is_some()).count();
    }
    assert!(fused > 10, "{fused} sums were fused");
}

/// `x -> conv -> conv -> + x`, an image of 1,024 bytes.
fn residual_block() -> QuantGraph {
    let mut graph = QuantGraph::default();
    let shape = [8, 8, 16];
    let x = graph.add_tensor("x", shape, UNIT);
    graph.inputs.push(x);
    let a = node(&mut graph, conv(3, 16), &[x], shape);
    let b = node(&mut graph, conv(3, 16), &[a], shape);
    let y = node(&mut graph, QuantOp::Add { clamp: Clamp::NONE }, &[b, x], shape);
    graph.outputs.push(y);
    graph
}

#[test]
fn a_residual_block_needs_two_images() {
    let graph = residual_block();
    let plan = plan(&graph, &any()).unwrap();
    check(&graph, &plan);
    assert_eq!(plan.arena_bytes, 2 * 1024);
    assert_eq!(plan.steps.len(), 2);
    assert_eq!(plan.steps[1], PlanStep { node: 1, add: Some(2), scratch: [0, 0], live_bytes: 2048 });
    assert_eq!(plan.offsets[2], None);
    let text = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

#[test]
fn a_residual_that_lives_on_is_not_overwritten() {
    let mut graph = residual_block();
    graph.outputs.push(TensorId(0));
    let plan = plan(&graph, &any()).unwrap();
    check(&graph, &plan);
    assert_eq!(plan.steps.len(), 3);
}

#[test]
fn the_order_keeps_wide_branches_apart() {
    // Two branches that are wide inside and narrow at the end: one after the other needs one wide buffer less.
    let mut graph = QuantGraph::default();
    let x = graph.add_tensor("x", [4, 4, 1], UNIT);
    graph.inputs.push(x);
    let wide_a = node(&mut graph, conv(1, 1), &[x], [4, 4, 64]);
    let wide_b = node(&mut graph, conv(1, 1), &[x], [4, 4, 64]);
    let a = node(&mut graph, conv(1, 64), &[wide_a], [4, 4, 1]);
    let b = node(&mut graph, conv(1, 64), &[wide_b], [4, 4, 1]);
    let y = node(&mut graph, QuantOp::Concat { axis: 2 }, &[a, b], [4, 4, 2]);
    graph.outputs.push(y);
    let plan = plan(&graph, &any()).unwrap();
    check(&graph, &plan);
    assert_eq!(plan.arena_bytes, 1024 + 16 + 16);
}

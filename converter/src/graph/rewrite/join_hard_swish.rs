//! Hard sigmoid and hard swish, which older exporters write out in sums, clips and products, become one function again.

use super::{Edit, Patch};
use crate::graph::{Graph, Node, Op, Unary, ValueId};

const SIXTH: f32 = 1.0 / 6.0;

/// Joins the node with what stands before it, if it is the last of such a chain.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let shortened = times_sixth(graph, node);
    let (x, f) = if let Some(x) = shortened.and_then(|id| clipped(graph, id)) {
        (x, Unary::HardSigmoid { alpha: SIXTH, beta: 0.5 })
    } else if let Some(x) = gated(graph, node, hard_sigmoid) {
        (x, Unary::HardSwish)
    } else {
        (gated(graph, graph.producer(shortened?)?, clipped)?, Unary::HardSwish)
    };
    let mut patch = Patch::new(graph);
    let result = patch.like(node, Op::Unary(f), &[x])?;
    Some(patch.finish(result))
}

/// `x` if the node is `x * gate(x)`.
fn gated(graph: &Graph, node: &Node, gate: fn(&Graph, ValueId) -> Option<ValueId>) -> Option<ValueId> {
    factors(node)?.into_iter().find(|&(x, g)| gate(graph, g) == Some(x)).map(|(x, _)| x)
}

/// `x` if the node is `x / 6`.
fn times_sixth(graph: &Graph, node: &Node) -> Option<ValueId> {
    let is_sixth = |id| number(graph, id).is_some_and(|v| (v - SIXTH).abs() < 1e-6);
    factors(node)?.into_iter().find(|&(_, factor)| is_sixth(factor)).map(|(x, _)| x)
}

/// `x` if the value is `clip(x + 3, 0, 6)`.
fn clipped(graph: &Graph, id: ValueId) -> Option<ValueId> {
    let clip = graph.producer(id).filter(|n| n.op == Op::Unary(Unary::Clip { min: 0.0, max: 6.0 }))?;
    let sum = graph.producer(clip.inputs[0]).filter(|n| n.op == Op::Add)?;
    let &[a, b] = &sum.inputs[..] else { return None };
    [(a, b), (b, a)].into_iter().find(|&(_, three)| number(graph, three) == Some(3.0)).map(|(x, _)| x)
}

/// `x` if the value is the hard sigmoid of `x` that hard swish is made of.
fn hard_sigmoid(graph: &Graph, id: ValueId) -> Option<ValueId> {
    let node = graph.producer(id)?;
    let Op::Unary(Unary::HardSigmoid { alpha, beta: 0.5 }) = node.op else { return None };
    ((alpha - SIXTH).abs() < 1e-6).then_some(node.inputs[0])
}

/// Both orders of the operands of a product.
fn factors(node: &Node) -> Option<[(ValueId, ValueId); 2]> {
    match (&node.op, &node.inputs[..]) {
        (Op::Mul, &[a, b]) => Some([(a, b), (b, a)]),
        _ => None,
    }
}

/// The number of a parameter that holds one alone.
fn number(graph: &Graph, id: ValueId) -> Option<f32> {
    match graph.param(id)?.data() {
        &[number] => Some(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use crate::graph::{Graph, Op, Tensor, Unary};

    #[test]
    fn each_way_of_writing_is_one_function() {
        let mut graph = Graph::new("swish");
        let x = graph.input("x", [1, 8]);
        let three = graph.add_param("three", Tensor::scalar(3.0));
        let sixth = graph.add_param("sixth", Tensor::scalar(1.0 / 6.0));
        let mut add = |name: &str, op: Op, inputs: &[_]| graph.add(name, op, inputs).unwrap();
        let sum = add("sum", Op::Add, &[x, three]);
        let clip = add("clip", Op::Unary(Unary::Clip { min: 0.0, max: 6.0 }), &[sum]);
        let gate = add("gate", Op::Mul, &[clip, sixth]);
        let product = add("product", Op::Mul, &[x, clip]);
        let late = add("late", Op::Mul, &[sixth, product]);
        let early = add("early", Op::Mul, &[x, gate]);
        let other = add("other", Op::Mul, &[late, gate]);
        graph.outputs.extend([late, early, other]);
        assert_rewrites(
            &graph,
            &[super::rule],
            "x [1, 8] = input
             sum [1, 8] = Add(x, three[])
             clip [1, 8] = Clip(sum) 0 to 6
             gate [1, 8] = Mul(clip, sixth[])
             product [1, 8] = Mul(x, clip)
             late [1, 8] = Mul(sixth[], product)
             early [1, 8] = Mul(x, gate)
             other [1, 8] = Mul(late, gate)
             output late
             output early
             output other",
            "x [1, 8] = input
             gate [1, 8] = HardSigmoid(x) 0.16666667 0.5
             late [1, 8] = HardSwish(x)
             early [1, 8] = HardSwish(x)
             other [1, 8] = Mul(late, gate)
             output late
             output early
             output other",
        );
    }
}

//! A node that changes nothing goes away.

use super::{Edit, Patch};
use crate::graph::{Graph, Node, Op, Unary, ValueId};

/// Replaces the node by its input.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let [x, ..] = node.inputs[..] else { return None };
    let shape = graph.shape(node.output);
    let same = match &node.op {
        Op::Transpose(perm) => perm.iter().copied().eq(0..perm.len()),
        Op::Reshape(_) | Op::Slice { .. } => graph.shape(x) == shape,
        Op::Pad { pads, .. } => pads.iter().all(|&p| p == (0, 0)),
        Op::Concat { .. } => node.inputs.len() == 1,
        Op::Unary(Unary::Clip { min, max }) => *min == f32::NEG_INFINITY && *max == f32::INFINITY,
        Op::Add => return neutral(graph, node, 0.0),
        Op::Mul => return neutral(graph, node, 1.0),
        _ => false,
    };
    same.then(|| Patch::alias(graph, x))
}

/// The other operand, if one is a parameter full of the neutral element.
fn neutral(graph: &Graph, node: &Node, element: f32) -> Option<Edit> {
    let is_neutral = |id: ValueId| graph.param(id).is_some_and(|t| t.data().iter().all(|&v| v == element));
    let &[a, b] = &node.inputs[..] else { return None };
    let other = [(a, b), (b, a)].into_iter().find(|&(_, p)| is_neutral(p)).map(|(x, _)| x)?;
    (graph.shape(other) == graph.shape(node.output)).then(|| Patch::alias(graph, other))
}

#[cfg(test)]
mod tests {
    use super::super::testing::assert_rewrites;
    use crate::graph::{Dim, Graph, Op, Tensor, Unary};

    #[test]
    fn idle_nodes_go_and_the_output_keeps_its_name() {
        let mut graph = Graph::new("idle");
        let x = graph.input("x", [1, 2]);
        let one = graph.add_param("one", Tensor::full([1, 1], 1.0));
        let y = graph.add("relu", Op::Unary(Unary::Relu), &[x]).unwrap();
        let y = graph.add("same", Op::Reshape(vec![Dim::Same(0), Dim::Rest]), &[y]).unwrap();
        let y = graph.add("all", Op::Slice { axis: 1, start: 0, step: 1, len: 2 }, &[y]).unwrap();
        let y = graph.add("alone", Op::Concat { axis: 1 }, &[y]).unwrap();
        let y = graph.add("times", Op::Mul, &[one, y]).unwrap();
        let y = graph.add("y", Op::Transpose(vec![0, 1]), &[y]).unwrap();
        graph.outputs.push(y);
        assert_rewrites(
            &graph,
            &[super::rule],
            "x [1, 2] = input
             relu [1, 2] = Relu(x)
             same [1, 2] = Reshape(relu) [=0, *]
             all [1, 2] = Slice(same) axis 1: 2 from 0 step 1
             alone [1, 2] = Concat(all) axis 1
             times [1, 2] = Mul(one[1, 1], alone)
             y [1, 2] = Transpose(times) [0, 1]
             output y",
            "x [1, 2] = input
             y [1, 2] = Relu(x) @ relu
             output y",
        );
    }

    #[test]
    fn a_one_that_widens_stays() {
        let mut graph = Graph::new("widens");
        let x = graph.input("x", [1, 2]);
        let ones = graph.add_param("ones", Tensor::full([3, 1], 1.0));
        let y = graph.add("y", Op::Mul, &[x, ones]).unwrap();
        graph.outputs.push(y);
        let text = "x [1, 2] = input\n y [3, 2] = Mul(x, ones[3, 1])\n output y";
        assert_rewrites(&graph, &[super::rule], text, text);
    }
}

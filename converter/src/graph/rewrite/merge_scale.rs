//! A product with one number behind another is one product.

use super::{Edit, Patch};
use crate::graph::{Graph, Node, Op, Tensor, ValueId};

/// Numbers that differ from 1 by less are 1: what is left of a number times its reciprocal.
const ROUNDING: f32 = 3e-7;

/// Joins the node with the product before it.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let (inner, second) = scaled(graph, node)?;
    let before = graph.sole_producer(inner)?;
    let (x, first) = scaled(graph, before)?;
    if graph.shape(x) != graph.shape(node.output) {
        return None;
    }
    let number = first * second;
    if (number - 1.0).abs() <= ROUNDING {
        return Some(Patch::alias(graph, x));
    }
    let mut patch = Patch::new(graph);
    let number = patch.param(format!("{}.scale", graph.value(node.output).name), Tensor::scalar(number));
    let result = patch.like(node, Op::Mul, &[x, number])?;
    Some(patch.finish(result))
}

/// What the node multiplies by one number, and the number.
pub(super) fn scaled(graph: &Graph, node: &Node) -> Option<(ValueId, f32)> {
    let (Op::Mul, &[a, b]) = (&node.op, &node.inputs[..]) else { return None };
    [(a, b), (b, a)].into_iter().find_map(|(x, number)| {
        let (&number, rest) = graph.param(number)?.data().split_first()?;
        rest.iter().all(|v| *v == number).then_some((x, number))
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use crate::graph::{Graph, Op, Tensor};

    #[test]
    fn products_are_joined_and_reciprocals_cancel() {
        let mut graph = Graph::new("scale");
        let x = graph.input("x", [1, 8]);
        let mut times = |name: &str, x, tensor: Tensor| {
            let number = graph.add_param(format!("{name}.number"), tensor);
            graph.add(name, Op::Mul, &[x, number]).unwrap()
        };
        let a = times("a", x, Tensor::scalar(49.0));
        let b = times("b", a, Tensor::full([1, 8], 1.0 / 49.0));
        let c = times("c", b, Tensor::scalar(2.0));
        let y = times("y", c, Tensor::scalar(4.0));
        graph.outputs.push(y);
        assert_rewrites(
            &graph,
            &[super::rule],
            "x [1, 8] = input
             a [1, 8] = Mul(x, a.number[])
             b [1, 8] = Mul(a, b.number[1, 8])
             c [1, 8] = Mul(b, c.number[])
             y [1, 8] = Mul(c, y.number[])
             output y",
            "x [1, 8] = input
             y [1, 8] = Mul(x, y.scale[])
             output y",
        );
    }
}

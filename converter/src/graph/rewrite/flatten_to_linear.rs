//! A fully connected layer takes a flattened image in memory order: its weight is reordered instead of the image.

use super::cancel_transpose::inverse;
use super::{Edit, Patch};
use crate::graph::{Dim, Graph, Node, Op};

/// Absorbs the transpose before the flattening before the node.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let Op::Linear = node.op else { return None };
    let flatten = graph.producer(node.inputs[0]).filter(|n| matches!(n.op, Op::Reshape(_)))?;
    let transpose = graph.producer(flatten.inputs[0])?;
    let Op::Transpose(perm) = &transpose.op else { return None };
    let weight = graph.param(node.inputs[1])?;
    let order = graph.shape(transpose.output);
    let &[batch, _] = graph.shape(flatten.output) else { return None };
    if perm[0] != 0 || batch != order[0] {
        return None;
    }
    let out = weight.shape()[0];
    let spread = (**weight).clone().reshape([&[out], &order[1..]].concat()).transpose(&inverse(perm));
    let mut patch = Patch::new(graph);
    let weight = patch.param(graph.value(node.inputs[1]).name.clone(), spread.reshape(weight.shape()));
    let flat = patch.like(flatten, Op::Reshape(vec![Dim::Same(0), Dim::Rest]), &transpose.inputs)?;
    let result = patch.like(node, Op::Linear, &[&[flat, weight], &node.inputs[2..]].concat())?;
    Some(patch.finish(result))
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use crate::graph::{Dim, Graph, Op};

    #[test]
    fn the_weight_is_reordered() {
        let mut graph = Graph::new("flatten");
        let x = graph.input("x", [2, 3, 4, 5]);
        let w = random_param(&mut graph, "fc.weight", [7, 60]);
        let b = random_param(&mut graph, "fc.bias", [7]);
        let y = graph.add("t", Op::Transpose(vec![0, 3, 1, 2]), &[x]).unwrap();
        let y = graph.add("flat", Op::Reshape(vec![Dim::Size(2), Dim::Rest]), &[y]).unwrap();
        let y = graph.add("fc", Op::Linear, &[y, w, b]).unwrap();
        graph.outputs.push(y);
        assert_rewrites(
            &graph,
            &[super::rule],
            "x [2, 3, 4, 5] = input
             t [2, 5, 3, 4] = Transpose(x) [0, 3, 1, 2]
             flat [2, 60] = Reshape(t) [2, *]
             fc [2, 7] = Linear(flat, fc.weight[7, 60], fc.bias[7])
             output fc",
            "x [2, 3, 4, 5] = input
             flat [2, 60] = Reshape(x) [=0, *]
             fc [2, 7] = Linear(flat, fc.weight[7, 60], fc.bias[7])
             output fc",
        );
    }
}

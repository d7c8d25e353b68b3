//! A reshape moves behind functions of single elements, towards a reshape that it joins.

use super::{Edit, Patch};
use crate::graph::{Graph, Node, Op, ValueId};

/// Swaps the node with the reshape that it reads.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let (before, op) = node.inputs.iter().find_map(|&id| reshaped(graph, id))?;
    let last = graph.shape(before).last().filter(|&n| graph.shape(node.output).last() == Some(n)).copied();
    let fits = |id: ValueId| per_channel(graph.shape(id), last.unwrap_or(1));
    let mut inputs = node.inputs.clone();
    match &node.op {
        Op::Unary(_) => inputs[0] = before,
        Op::BatchNorm { .. } if last.is_some() => inputs[0] = before,
        Op::Add | Op::Mul => {
            for id in &mut inputs {
                *id = match reshaped(graph, *id) {
                    Some((other, own)) if own == op && graph.shape(other) == graph.shape(before) => other,
                    None if graph.param(*id).is_some() && fits(*id) => *id,
                    _ => return None,
                };
            }
        }
        _ => return None,
    }
    let mut patch = Patch::new(graph);
    // A parameter of more axes than the value has would widen it.
    for id in &mut inputs {
        if let Some(tensor) = graph.param(*id).filter(|t| t.shape().len() > 1) {
            *id = patch.param(graph.value(*id).name.clone(), (**tensor).clone().reshape([tensor.len()]));
        }
    }
    let moved = patch.like(node, node.op.clone(), &inputs)?;
    let result = patch.node(format!("{}.reshaped", graph.value(node.output).name), op.clone(), &[moved])?;
    (patch.shape(result) == graph.shape(node.output)).then(|| patch.finish(result))
}

/// What a value is the reshape of, and the reshape, if it is one.
fn reshaped(graph: &Graph, id: ValueId) -> Option<(ValueId, &Op)> {
    let producer = graph.producer(id)?;
    matches!(producer.op, Op::Reshape(_)).then(|| (producer.inputs[0], &producer.op))
}

/// Whether a shape is that of one number, or of one for each of `channels` on the last axis.
fn per_channel(shape: &[usize], channels: usize) -> bool {
    let len: usize = shape.iter().product();
    len == 1 || (len == channels && shape.last() == Some(&channels))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_rewrites, random_param};
    use super::super::{merge_reshape, remove_identity};
    use crate::graph::{Dim, Graph, Op, Unary};

    #[test]
    fn rows_between_images_need_no_reshape() {
        let mut graph = Graph::new("rows");
        let x = graph.input("x", [2, 1, 5, 3]);
        let c = random_param(&mut graph, "c", [1, 1, 3]);
        let flat = Op::Reshape(vec![Dim::Same(0), Dim::Same(2), Dim::Same(3)]);
        let a = graph.add("a", flat.clone(), &[x]).unwrap();
        let b = graph.add("b", flat, &[x]).unwrap();
        let y = graph.add("scaled", Op::Mul, &[c, a]).unwrap();
        let y = graph.add("relu", Op::Unary(Unary::Relu), &[y]).unwrap();
        let y = graph.add("sum", Op::Add, &[y, b]).unwrap();
        let y =
            graph.add("y", Op::Reshape(vec![Dim::Same(0), Dim::Size(1), Dim::Same(1), Dim::Same(2)]), &[y]).unwrap();
        graph.outputs.push(y);
        assert_rewrites(
            &graph,
            &[remove_identity::rule, merge_reshape::rule, super::rule],
            "x [2, 1, 5, 3] = input
             a [2, 5, 3] = Reshape(x) [=0, =2, =3]
             b [2, 5, 3] = Reshape(x) [=0, =2, =3]
             scaled [2, 5, 3] = Mul(c[1, 1, 3], a)
             relu [2, 5, 3] = Relu(scaled)
             sum [2, 5, 3] = Add(relu, b)
             y [2, 1, 5, 3] = Reshape(sum) [=0, 1, =1, =2]
             output y",
            "x [2, 1, 5, 3] = input
             scaled [2, 1, 5, 3] = Mul(c[3], x)
             relu [2, 1, 5, 3] = Relu(scaled)
             y [2, 1, 5, 3] = Add(relu, x) @ sum
             output y",
        );
    }
}

//! A transpose moves behind operators that do not care for the order of axes, towards one that undoes it.

use super::cancel_transpose::inverse;
use super::transpose_to_reshape::keeps_order;
use super::{Edit, Patch};
use crate::graph::{Dim, Graph, Node, Op, ValueId};

/// Swaps the node with the transpose that it reads.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let perm = node.inputs.iter().find_map(|&id| transposed(graph, id))?.1;
    if perm.len() != graph.shape(node.output).len() {
        return None;
    }
    let last_stays = perm.last() == Some(&(perm.len() - 1));
    // How many of the inputs are in the order of the transpose; the others are per-channel parameters.
    let (op, reordered) = match &node.op {
        Op::Unary(_) | Op::Add | Op::Mul => (node.op.clone(), node.inputs.len()),
        Op::BatchNorm { .. } | Op::Linear if last_stays => (node.op.clone(), 1),
        Op::Softmax { axis } => (Op::Softmax { axis: perm[*axis] }, 1),
        Op::Concat { axis } => (Op::Concat { axis: perm[*axis] }, node.inputs.len()),
        Op::Slice { axis, start, step, len } => {
            (Op::Slice { axis: perm[*axis], start: *start, step: *step, len: *len }, 1)
        }
        Op::Pad { pads, value } => {
            (Op::Pad { pads: inverse(perm).iter().map(|&i| pads[i]).collect(), value: *value }, 1)
        }
        _ => return None,
    };
    let mut patch = Patch::new(graph);
    let mut inputs = node.inputs.clone();
    for id in &mut inputs[..reordered] {
        *id = before_transpose(graph, &mut patch, *id, perm)?;
    }
    let moved = patch.like(node, op, &inputs)?;
    let name = format!("{}.transposed", graph.value(node.output).name);
    let result = patch.node(name, Op::Transpose(perm.to_vec()), &[moved])?;
    Some(patch.finish(result))
}

/// What a value is the transpose of, and how, if it is one.
fn transposed(graph: &Graph, id: ValueId) -> Option<(ValueId, &[usize])> {
    let producer = graph.producer(id)?;
    let Op::Transpose(perm) = &producer.op else { return None };
    Some((producer.inputs[0], perm))
}

/// The value of which `id` is the transpose by `perm`, if it costs nothing to have it.
fn before_transpose(graph: &Graph, patch: &mut Patch, id: ValueId, perm: &[usize]) -> Option<ValueId> {
    if let Some((before, own)) = transposed(graph, id)
        && own == perm
    {
        return Some(before);
    }
    let value = graph.value(id);
    let mut shape = vec![1; perm.len().checked_sub(value.shape.len())?];
    shape.extend(&value.shape);
    let back = inverse(perm);
    if let Some(tensor) = graph.param(id) {
        let tensor =
            if tensor.len() == 1 { (**tensor).clone() } else { (**tensor).clone().reshape(shape).transpose(&back) };
        return Some(patch.param(value.name.clone(), tensor));
    }
    // A computed value, such as the weights of a squeeze-and-excitation, whose order of elements does not change.
    let same_batch = shape.len() == value.shape.len() && back[0] == 0;
    if !same_batch || !keeps_order(&shape, &back) {
        return None;
    }
    let dims = back.iter().map(|&axis| if axis == 0 { Dim::Same(0) } else { Dim::Size(shape[axis]) });
    patch.node(format!("{}.reshaped", value.name), Op::Reshape(dims.collect()), &[id])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_rewrites, random_param};
    use super::super::{LAYOUT, cancel_transpose};
    use crate::graph::{Dim, Graph, Op, Unary};

    const TO_FIRST: [usize; 4] = [0, 3, 1, 2];
    const TO_LAST: [usize; 4] = [0, 2, 3, 1];

    #[test]
    fn transposes_pass_until_they_cancel() {
        let mut graph = Graph::new("sink");
        let x = graph.input("x", [1, 4, 4, 2]);
        let c = random_param(&mut graph, "c", [2, 1, 1]);
        let t = graph.add("t", Op::Transpose(TO_FIRST.to_vec()), &[x]).unwrap();
        let y = graph.add("scaled", Op::Mul, &[c, t]).unwrap();
        let y = graph.add("padded", Op::Pad { pads: vec![(0, 0), (0, 0), (1, 2), (0, 0)], value: 0.0 }, &[y]).unwrap();
        let y = graph.add("cut", Op::Slice { axis: 2, start: 1, step: 1, len: 4 }, &[y]).unwrap();
        let y = graph.add("both", Op::Concat { axis: 1 }, &[y, t]).unwrap();
        let y = graph.add("soft", Op::Softmax { axis: 1 }, &[y]).unwrap();
        let y = graph.add("y", Op::Transpose(TO_LAST.to_vec()), &[y]).unwrap();
        graph.outputs.push(y);
        assert_rewrites(
            &graph,
            &[cancel_transpose::rule, super::rule],
            "x [1, 4, 4, 2] = input
             t [1, 2, 4, 4] = Transpose(x) [0, 3, 1, 2]
             scaled [1, 2, 4, 4] = Mul(c[2, 1, 1], t)
             padded [1, 2, 7, 4] = Pad(scaled) [(0, 0), (0, 0), (1, 2), (0, 0)] with 0
             cut [1, 2, 4, 4] = Slice(padded) axis 2: 4 from 1 step 1
             both [1, 4, 4, 4] = Concat(cut, t) axis 1
             soft [1, 4, 4, 4] = Softmax(both) axis 1
             y [1, 4, 4, 4] = Transpose(soft) [0, 2, 3, 1]
             output y",
            "x [1, 4, 4, 2] = input
             scaled [1, 4, 4, 2] = Mul(c[1, 1, 1, 2], x)
             padded [1, 7, 4, 2] = Pad(scaled) [(0, 0), (1, 2), (0, 0), (0, 0)] with 0
             cut [1, 4, 4, 2] = Slice(padded) axis 1: 4 from 1 step 1
             both [1, 4, 4, 4] = Concat(cut, x) axis 3
             y [1, 4, 4, 4] = Softmax(both) axis 3 @ soft
             output y",
        );
    }

    #[test]
    fn channel_weights_follow_without_moving() {
        let mut graph = Graph::new("squeeze");
        let x = graph.input("x", [1, 4, 4, 2]);
        let s = graph.input("s", [1, 2]);
        let t = graph.add("t", Op::Transpose(TO_FIRST.to_vec()), &[x]).unwrap();
        let open = vec![Dim::Same(0), Dim::Same(1), Dim::Size(1), Dim::Size(1)];
        let s = graph.add("weights", Op::Reshape(open), &[s]).unwrap();
        let y = graph.add("excited", Op::Mul, &[t, s]).unwrap();
        let y = graph.add("relu", Op::Unary(Unary::Relu), &[y]).unwrap();
        let y = graph.add("y", Op::Transpose(TO_LAST.to_vec()), &[y]).unwrap();
        graph.outputs.push(y);
        assert_rewrites(
            &graph,
            LAYOUT,
            "x [1, 4, 4, 2] = input
             s [1, 2] = input
             t [1, 2, 4, 4] = Transpose(x) [0, 3, 1, 2]
             weights [1, 2, 1, 1] = Reshape(s) [=0, =1, 1, 1]
             excited [1, 2, 4, 4] = Mul(t, weights)
             relu [1, 2, 4, 4] = Relu(excited)
             y [1, 4, 4, 2] = Transpose(relu) [0, 2, 3, 1]
             output y",
            "x [1, 4, 4, 2] = input
             s [1, 2] = input
             weights.reshaped [1, 1, 1, 2] = Reshape(s) [=0, 1, 1, 2]
             excited [1, 4, 4, 2] = Mul(x, weights.reshaped)
             y [1, 4, 4, 2] = Relu(excited) @ relu
             output y",
        );
    }

    #[test]
    fn operands_in_different_orders_stay() {
        let mut graph = Graph::new("mixed");
        let (x, z) = (graph.input("x", [1, 4, 4, 4]), graph.input("z", [1, 4, 4, 4]));
        let t = graph.add("t", Op::Transpose(TO_FIRST.to_vec()), &[x]).unwrap();
        let y = graph.add("y", Op::Add, &[t, z]).unwrap();
        graph.outputs.push(y);
        let text = "x [1, 4, 4, 4] = input
             z [1, 4, 4, 4] = input
             t [1, 4, 4, 4] = Transpose(x) [0, 3, 1, 2]
             y [1, 4, 4, 4] = Add(t, z)
             output y";
        assert_rewrites(&graph, LAYOUT, text, text);
    }
}

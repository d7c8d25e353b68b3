//! Two transposes in a row become one, or none where they undo each other.

use super::{Edit, Patch};
use crate::graph::{Graph, Node, Op};

/// Joins the node with a transpose before it.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let Op::Transpose(outer) = &node.op else { return None };
    let before = graph.producer(node.inputs[0])?;
    let Op::Transpose(inner) = &before.op else { return None };
    let joined: Vec<usize> = outer.iter().map(|&axis| inner[axis]).collect();
    if joined.iter().copied().eq(0..joined.len()) {
        return Some(Patch::alias(graph, before.inputs[0]));
    }
    let mut patch = Patch::new(graph);
    let result = patch.like(node, Op::Transpose(joined), &before.inputs)?;
    Some(patch.finish(result))
}

/// The permutation that undoes `perm`.
pub(super) fn inverse(perm: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; perm.len()];
    perm.iter().enumerate().for_each(|(i, &axis)| inverse[axis] = i);
    inverse
}

#[cfg(test)]
mod tests {
    use super::super::testing::assert_rewrites;
    use crate::graph::{Graph, Op};

    #[test]
    fn opposite_transposes_cancel_and_others_join() {
        let mut graph = Graph::new("transposes");
        let x = graph.input("x", [1, 2, 3, 4]);
        let a = graph.add("a", Op::Transpose(vec![0, 3, 1, 2]), &[x]).unwrap();
        let b = graph.add("b", Op::Transpose(vec![0, 2, 3, 1]), &[a]).unwrap();
        let c = graph.add("c", Op::Transpose(vec![0, 3, 1, 2]), &[b]).unwrap();
        let d = graph.add("d", Op::Transpose(vec![0, 1, 3, 2]), &[c]).unwrap();
        graph.outputs.extend([b, d]);
        assert_rewrites(
            &graph,
            &[super::rule],
            "x [1, 2, 3, 4] = input
             a [1, 4, 2, 3] = Transpose(x) [0, 3, 1, 2]
             b [1, 2, 3, 4] = Transpose(a) [0, 2, 3, 1]
             c [1, 4, 2, 3] = Transpose(b) [0, 3, 1, 2]
             d [1, 4, 3, 2] = Transpose(c) [0, 1, 3, 2]
             output b
             output d",
            "x [1, 2, 3, 4] = input
             d [1, 4, 3, 2] = Transpose(x) [0, 3, 2, 1]
             output x
             output d",
        );
    }
}

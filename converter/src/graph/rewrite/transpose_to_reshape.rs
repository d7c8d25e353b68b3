//! A transpose that only moves axes of size 1 moves no element: it becomes a reshape.

use super::{Edit, Patch};
use crate::graph::{Dim, Graph, Node, Op};

/// Writes the transpose as a reshape. The batch axis counts as longer than 1 whatever its size is now.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let Op::Transpose(perm) = &node.op else { return None };
    let shape = graph.shape(node.inputs[0]);
    if !keeps_order(shape, perm) {
        return None;
    }
    let dims = perm.iter().map(|&axis| if axis == 0 { Dim::Same(0) } else { Dim::Size(shape[axis]) });
    let mut patch = Patch::new(graph);
    let result = patch.like(node, Op::Reshape(dims.collect()), &node.inputs)?;
    Some(patch.finish(result))
}

/// Whether the axes that are longer than 1, and the first, stay in order.
pub(super) fn keeps_order(shape: &[usize], perm: &[usize]) -> bool {
    perm.iter().filter(|&&axis| axis == 0 || shape[axis] > 1).is_sorted()
}

#[cfg(test)]
mod tests {
    use super::super::testing::assert_rewrites;
    use crate::graph::{Graph, Op};

    #[test]
    fn pooled_features_are_only_renamed() {
        let mut graph = Graph::new("pooled");
        let x = graph.input("x", [2, 1, 1, 8]);
        let moved = graph.add("moved", Op::Transpose(vec![0, 3, 1, 2]), &[x]).unwrap();
        let swapped = graph.add("swapped", Op::Transpose(vec![3, 0, 1, 2]), &[x]).unwrap();
        graph.outputs.extend([moved, swapped]);
        assert_rewrites(
            &graph,
            &[super::rule],
            "x [2, 1, 1, 8] = input
             moved [2, 8, 1, 1] = Transpose(x) [0, 3, 1, 2]
             swapped [8, 2, 1, 1] = Transpose(x) [3, 0, 1, 2]
             output moved
             output swapped",
            "x [2, 1, 1, 8] = input
             moved [2, 8, 1, 1] = Reshape(x) [=0, 8, 1, 1]
             swapped [8, 2, 1, 1] = Transpose(x) [3, 0, 1, 2]
             output moved
             output swapped",
        );
    }
}

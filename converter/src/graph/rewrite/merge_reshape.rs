//! Two reshapes in a row become one.

use super::{Edit, Patch};
use crate::graph::{Dim, Graph, Node, Op};

/// Joins the node with a reshape before it.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let Op::Reshape(outer) = &node.op else { return None };
    let before = graph.producer(node.inputs[0])?;
    let Op::Reshape(inner) = &before.op else { return None };
    let between = graph.shape(before.output);
    // `Rest` of the inner reshape may be the batch, so it stays open where the outer one leaves nothing open itself.
    let mut open = !outer.contains(&Dim::Rest);
    let joined = outer.iter().map(|&dim| match dim {
        Dim::Same(axis) => match inner[axis] {
            Dim::Rest if std::mem::take(&mut open) => Dim::Rest,
            Dim::Rest => Dim::Size(between[axis]),
            known => known,
        },
        dim => dim,
    });
    let mut patch = Patch::new(graph);
    let joined = joined.collect();
    let result = patch.like(node, Op::Reshape(joined), &before.inputs)?;
    Some(patch.finish(result))
}

#[cfg(test)]
mod tests {
    use super::super::testing::assert_rewrites;
    use crate::graph::{Dim, Graph, Op};

    #[test]
    fn the_batch_stays_open() {
        let mut graph = Graph::new("reshapes");
        let x = graph.input("x", [2, 1, 1, 6]);
        let a = graph.add("a", Op::Reshape(vec![Dim::Same(0), Dim::Size(6), Dim::Size(1)]), &[x]).unwrap();
        let b = graph.add("b", Op::Reshape(vec![Dim::Same(0), Dim::Rest]), &[a]).unwrap();
        let c = graph.add("c", Op::Reshape(vec![Dim::Rest, Dim::Size(3)]), &[x]).unwrap();
        let d = graph.add("d", Op::Reshape(vec![Dim::Same(0), Dim::Size(1), Dim::Same(1)]), &[c]).unwrap();
        graph.outputs.extend([b, d]);
        assert_rewrites(
            &graph,
            &[super::rule],
            "x [2, 1, 1, 6] = input
             a [2, 6, 1] = Reshape(x) [=0, 6, 1]
             b [2, 6] = Reshape(a) [=0, *]
             c [4, 3] = Reshape(x) [*, 3]
             d [4, 1, 3] = Reshape(c) [=0, 1, =1]
             output b
             output d",
            "x [2, 1, 1, 6] = input
             b [2, 6] = Reshape(x) [=0, *]
             d [4, 1, 3] = Reshape(x) [*, 1, 3]
             output b
             output d",
        );
    }
}

//! The first token of a text, cut out of all of them, is picked.

use super::{Edit, Patch};
use crate::graph::{Graph, Node, Op, Pick};

/// Replaces the reshape behind the cut.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let Op::Reshape(_) = node.op else { return None };
    let cut = graph.producer(node.inputs[0])?;
    let Op::Slice { axis: 1, start: 0, len: 1, .. } = cut.op else { return None };
    let ids = graph.nodes.iter().find(|lookup| lookup.op == Op::Embedding)?.inputs[0];
    let x = cut.inputs[0];
    let (&[batch, room, width], [_, tokens]) = (graph.shape(x), graph.shape(ids)) else { return None };
    if graph.shape(node.output) != [batch, width] || room != *tokens {
        return None;
    }
    let mut patch = Patch::new(graph);
    let result = patch.like(node, Op::Pick(Pick::First), &[x, ids])?;
    Some(patch.finish(result))
}

#[cfg(test)]
mod tests {
    use super::super::{run, testing::random_param};
    use crate::graph::{Dim, Graph, Op, Pick};

    #[test]
    fn a_cut_first_token_is_picked() {
        let mut graph = Graph::new("pick");
        let ids = graph.input("ids", [1, 3]);
        let words = random_param(&mut graph, "words", [5, 2]);
        let x = graph.add("found", Op::Embedding, &[ids, words]).unwrap();
        let y = graph.add("cut", Op::Slice { axis: 1, start: 0, step: 1, len: 1 }, &[x]).unwrap();
        let y = graph.add("first", Op::Reshape(vec![Dim::Same(0), Dim::Rest]), &[y]).unwrap();
        let z = graph.add("other", Op::Slice { axis: 1, start: 1, step: 1, len: 1 }, &[x]).unwrap();
        let z = graph.add("second", Op::Reshape(vec![Dim::Same(0), Dim::Rest]), &[z]).unwrap();
        graph.outputs.extend([y, z]);
        run(&mut graph, &[super::rule]);
        let ops: Vec<&Op> = graph.nodes.iter().map(|node| &node.op).collect();
        assert!(matches!(ops[..], [Op::Embedding, Op::Pick(Pick::First), Op::Slice { .. }, Op::Reshape(_)]), "{ops:?}");
    }
}

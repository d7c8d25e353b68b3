//! What is added to every token that was looked up, by its place in the text, belongs to the lookup.

use super::{Edit, Patch};
use crate::graph::{Graph, Node, Op, Tensor};

/// Takes the sum into the lookup before it.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let (Op::Add, &[a, b]) = (&node.op, &node.inputs[..]) else { return None };
    let (x, added) = [(a, b), (b, a)].into_iter().find_map(|(x, added)| Some((x, graph.param(added)?)))?;
    let lookup = graph.sole_producer(x).filter(|lookup| lookup.op == Op::Embedding)?;
    let &[ids, words, ref positions @ ..] = &lookup.inputs[..] else { return None };
    let &[_, tokens, width] = graph.shape(x) else { return None };
    // One row for each place, or one for all.
    match *added.shape() {
        [1, rows, columns] | [rows, columns] if columns == width && (rows == tokens || rows == 1) => {}
        [columns] if columns == width => {}
        _ => return None,
    }
    let mut table = match positions.first() {
        Some(&own) => graph.param(own)?.data().get(..tokens * width)?.to_vec(),
        None => vec![0.0; tokens * width],
    };
    table.iter_mut().zip(added.data().iter().cycle()).for_each(|(own, added)| *own += added);
    let mut patch = Patch::new(graph);
    let positions = patch.param(format!("{}.positions", node.name), Tensor::new([tokens, width], table));
    let result = patch.like(node, Op::Embedding, &[ids, words, positions])?;
    Some(patch.finish(result))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, random_param};
    use super::super::{Rule, run};
    use crate::graph::{Graph, Op, Tensor};
    use crate::ops::reference;

    const RULES: &[Rule] = &[super::rule];

    #[test]
    fn positions_and_types_go_into_the_lookup() {
        let mut graph = Graph::new("lookup");
        let ids = graph.input("ids", [1, 3]);
        let words = random_param(&mut graph, "words", [5, 2]);
        let types = random_param(&mut graph, "types", [1, 1, 2]);
        let places = random_param(&mut graph, "places", [1, 3, 2]);
        let x = graph.add("words.found", Op::Embedding, &[ids, words]).unwrap();
        let x = graph.add("typed", Op::Add, &[types, x]).unwrap();
        let x = graph.add("placed", Op::Add, &[x, places]).unwrap();
        graph.outputs.push(x);
        let mut joined = graph.clone();
        run(&mut joined, RULES);
        assert_eq!((joined.nodes.len(), joined.nodes[0].inputs.len(), &joined.nodes[0].op), (1, 3, &Op::Embedding));
        let ids = Tensor::new([1, 3], vec![4.0, 0.0, 2.0]);
        let [found, expected] =
            [&joined, &graph].map(|graph| reference::run(graph, std::slice::from_ref(&ids)).unwrap());
        assert_close(&found, &expected);
    }

    #[test]
    fn a_sum_for_each_channel_of_each_batch_stays() {
        let mut graph = Graph::new("batch");
        let ids = graph.input("ids", [2, 3]);
        let words = random_param(&mut graph, "words", [5, 2]);
        let added = random_param(&mut graph, "added", [2, 1, 2]);
        let x = graph.add("found", Op::Embedding, &[ids, words]).unwrap();
        let x = graph.add("sum", Op::Add, &[x, added]).unwrap();
        graph.outputs.push(x);
        let before = graph.clone();
        run(&mut graph, RULES);
        assert_eq!(graph, before);
    }
}

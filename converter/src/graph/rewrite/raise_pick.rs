//! The first token is picked before what is done to each token by itself, so that it is done to that one alone.

use super::{Edit, Patch};
use crate::graph::{Graph, Node, Op, Pick, ValueId};

/// Swaps the node with the one that makes what it reads, or takes the pick that another node makes of the same.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let (Op::Pick(Pick::First), &[tokens, ids]) = (&node.op, node.inputs.as_slice()) else { return None };
    let twin = graph.nodes.iter().take_while(|other| other.output != node.output);
    if let Some(twin) = twin.into_iter().find(|other| other.op == node.op && other.inputs == node.inputs) {
        let both_return = [twin.output, node.output].iter().all(|id| graph.outputs.contains(id));
        return (!both_return).then(|| Patch::alias(graph, twin.output));
    }
    let maker = graph.sole_producer(tokens)?;
    let is_stored = |id: &ValueId| graph.param(*id).is_some();
    let of_tokens = |id: &ValueId| graph.shape(*id) == graph.shape(tokens);
    let of_channels = |id: &ValueId| is_stored(id) && graph.shape(*id).len() <= 1;
    let (first, rest) = maker.inputs.split_first()?;
    let by_token = match maker.op {
        Op::Linear | Op::LayerNorm { .. } => !is_stored(first) && rest.iter().all(is_stored),
        Op::Unary(_) | Op::Normalize => true,
        Op::Add | Op::Mul => maker.inputs.iter().all(|id| of_channels(id) || (of_tokens(id) && !is_stored(id))),
        _ => false,
    };
    if !by_token || graph.shape(*first).len() != 3 && !of_channels(first) {
        return None;
    }
    let mut patch = Patch::new(graph);
    let mut inputs = Vec::with_capacity(maker.inputs.len());
    for &id in &maker.inputs {
        let name = || format!("{}.first", graph.value(id).name);
        inputs.push(if is_stored(&id) { id } else { patch.node(name(), node.op.clone(), &[id, ids])? });
    }
    let result = patch.like(maker, maker.op.clone(), &inputs)?;
    Some(patch.finish(result))
}

#[cfg(test)]
mod tests {
    use super::super::{run, testing};
    use crate::families::distilbert::{Head, named};
    use crate::graph::{Op, Pick, Tensor, Unary};
    use crate::ops::reference;

    #[test]
    fn behind_the_last_attention_only_the_first_token_is_left() {
        let mut net = named("distilbert-l2-h8-a2-f12", 10, 5, 3).unwrap();
        for pick in [Pick::First, Pick::Mean] {
            net.head = Head::Classify { classes: 3, pick, dense: Some(Unary::Tanh) };
            let graph = net.build("net", Some(4)).unwrap();
            let mut raised = graph.clone();
            run(&mut raised, &[super::rule]);
            let picks = raised.nodes.iter().filter(|node| matches!(node.op, Op::Pick(_)));
            let read: Vec<&str> = picks.map(|node| raised.value(node.inputs[0]).name.as_str()).collect();
            match pick {
                Pick::First => {
                    assert_eq!(read, ["transformer.layer.1.attention", "transformer.layer.0.output_layer_norm"]);
                }
                Pick::Mean => assert_eq!(raised, graph),
            }
            let ids = Tensor::new([1, 5], vec![3.0, 9.0, 0.0, 4.0, -1.0]);
            let [before, after] = [&graph, &raised].map(|g| reference::run(g, std::slice::from_ref(&ids)).unwrap());
            testing::assert_close(&after, &before);
            assert_eq!(raised.value(raised.outputs[0]).name, "classifier");
        }
    }
}

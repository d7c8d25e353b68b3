//! From a graph to a list of layers on items: constants folded, shapes of one item, what depends on the batch.

use super::ExecError;
use super::buffer::Buffer;
use super::layer::{Inputs, Layer, Place, Scratch, Site, build};
use super::tokens::{Items, Unit};
use crate::graph::{Graph, Node, Op, Source, Tensor, ValueId};
use std::sync::Arc;

/// A batch size that no other axis of a real network has.
const PROBE: usize = 7919;

/// One node, ready to run.
pub(super) struct Step {
    pub(super) layer: Box<dyn Layer>,
    pub(super) inputs: Vec<ValueId>,
    pub(super) output: ValueId,
}

/// Whether every computed value has the batch as first axis, and no operator mixes what belongs to different items.
pub(super) fn is_batched(graph: &Graph) -> bool {
    let Ok(probe) = graph.with_batch(PROBE) else { return false };
    let mixes = |op: &Op| matches!(op, Op::Softmax { axis: 0 });
    let first_axis_is_batch = |id: ValueId| {
        let (shape, probed) = (graph.shape(id), probe.shape(id));
        probed.first() == Some(&PROBE) && shape.len() == probed.len() && shape[1..] == probed[1..]
    };
    graph.inputs.iter().all(|&id| first_axis_is_batch(id))
        && graph.nodes.iter().all(|node| first_axis_is_batch(node.output) && !mixes(&node.op))
}

/// The layers of a graph whose shapes are those of one item. Stored operands are not prepared yet.
pub(super) fn steps(graph: &Graph) -> Result<Vec<Step>, ExecError> {
    let step = |node| {
        let layer = build(&Site { node, graph })?;
        Ok(Step { layer, inputs: node.inputs.clone(), output: node.output })
    };
    graph.nodes.iter().map(step).collect()
}

/// The same graph without the nodes that depend on no input: their values are stored.
pub(super) fn fold_constants(graph: &Graph) -> Result<Graph, ExecError> {
    let mut folded = graph.clone();
    let constant = |graph: &Graph, node: usize| {
        let Node { op, inputs, .. } = &graph.nodes[node];
        // The others see texts, of which a stored tensor does not say where they end.
        let foldable = !matches!(op, Op::Embedding | Op::Attention { .. } | Op::Pick(_));
        foldable && !inputs.is_empty() && inputs.iter().all(|&id| graph.param(id).is_some())
    };
    let mut index = 0;
    while index < folded.nodes.len() {
        if constant(&folded, index) {
            let tensor = evaluate(&folded, index)?;
            let output = folded.nodes[index].output;
            folded.value_mut(output).source = Source::Param(Arc::new(tensor));
            folded.nodes.remove(index);
        } else {
            index += 1;
        }
    }
    Ok(folded)
}

/// The value of a node of stored operands.
fn evaluate(graph: &Graph, index: usize) -> Result<Tensor, ExecError> {
    let node = &graph.nodes[index];
    let mut layer = build(&Site { node, graph })?;
    // The weights of these are prepared; everything else is read like a computed value.
    let weights_apart = matches!(node.op, Op::Conv2d { .. } | Op::Linear | Op::BatchNorm { .. } | Op::LayerNorm { .. });
    let (mut buffers, mut places) = (Vec::new(), Vec::new());
    for (operand, tensor) in node.inputs.iter().filter_map(|&id| graph.param(id)).enumerate() {
        if operand > 0 && weights_apart {
            layer.prepare(operand, tensor.data());
            places.push(None);
        } else {
            places.push(Some(Place { slot: buffers.len(), unit: Unit::Item, len: tensor.len(), local: false }));
            let mut buffer = Buffer::default();
            buffer.grow(tensor.len()).copy_from_slice(tensor.data());
            buffers.push(buffer);
        }
    }
    let shape = graph.shape(node.output);
    let mut values = vec![0.0; shape.iter().product()];
    let inputs = Inputs { buffers: &buffers, places: &places, items: Items { first: 0, n: 1, tokens: &[] } };
    layer.forward(1, inputs, &mut values, &mut Scratch::default());
    Ok(Tensor::new(shape, values))
}

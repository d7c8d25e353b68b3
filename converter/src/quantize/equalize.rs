//! Cross-layer equalization: makes the channels between two layers alike, so that one int8 scale suits them all.
//!
//! Multiplying a channel by `t > 0` in the layer that makes it and dividing by `t` in the layer that reads it changes
//! nothing in floats, as long as what lies between commutes with positive factors (Nagel et al., "Data-Free
//! Quantization through Weight Equalization and Bias Correction", 2019). Output channels have scales of their own
//! here, so the producer's weights cost nothing; what is balanced is the activation's observed range against the
//! weights that read it, and where the reader is depthwise, the activation alone. Attention commutes with factors of its
//! values, and with factors of queries that its keys take back.

use crate::graph::{Graph, Node, Op, Source, Tensor, Unary, ValueId};
use std::sync::Arc;

/// Channels are moved by no more than this factor either way.
const MOST: f32 = 32.0;

/// The same function with equalized channels, and how many pairs of layers were changed.
///
/// `peak` gives the largest magnitude seen in each channel (last axis) of a computed value.
pub(super) fn equalize(graph: &Graph, peak: impl Fn(ValueId) -> Option<Vec<f32>>) -> (Graph, usize) {
    let mut out = graph.clone();
    let mut pairs = 0;
    for first in 0..graph.nodes.len() {
        let Some((second, between)) = reader(graph, first) else { continue };
        let Some(peaks) = peak(between) else { continue };
        let reading = incoming(&out, &out.nodes[second], peaks.len());
        let factors = factors(&peaks, reading.as_deref());
        if factors.iter().all(|&t| t == 1.0) {
            continue;
        }
        scale_outgoing(&mut out, &graph.nodes[first], &factors);
        scale_incoming(&mut out, &graph.nodes[second], &factors);
        pairs += 1;
    }
    (out, pairs)
}

/// The same function with the channels of queries alike those of keys, which leaves their products as they are, and how many
/// attentions were changed. `peak` is as in [`equalize`].
pub(super) fn products(graph: &Graph, peak: impl Fn(ValueId) -> Option<Vec<f32>>) -> (Graph, usize) {
    let (mut out, mut changed) = (graph.clone(), 0);
    for node in graph.nodes.iter().filter(|node| matches!(node.op, Op::Attention { .. })) {
        let layer = |id| graph.sole_producer(id).filter(|node| node.op == Op::Linear && owns_params(graph, node));
        let [q, k] = [node.inputs[0], node.inputs[1]];
        let (Some(makes_q), Some(makes_k), Some(of_q), Some(of_k)) = (layer(q), layer(k), peak(q), peak(k)) else {
            continue;
        };
        let up = factors(&of_q, Some(&of_k));
        let down: Vec<f32> = up.iter().map(|t| 1.0 / t).collect();
        if up.iter().any(|&t| t != 1.0) {
            scale_outgoing(&mut out, makes_q, &up);
            scale_outgoing(&mut out, makes_k, &down);
            changed += 1;
        }
    }
    (out, changed)
}

/// The layer that alone reads what node `first` makes, and the value that reaches it.
fn reader(graph: &Graph, first: usize) -> Option<(usize, ValueId)> {
    let made = &graph.nodes[first];
    if !is_layer(made) || !owns_params(graph, made) {
        return None;
    }
    let channels = *graph.shape(made.output).last()?;
    let mut value = made.output;
    loop {
        let &[next] = graph.consumers(value).as_slice() else { return None };
        if graph.outputs.contains(&value) {
            return None;
        }
        let node = &graph.nodes[next];
        // Of what attention reads only the values go on.
        let reads = if matches!(node.op, Op::Attention { .. }) { 2 } else { 0 };
        if node.inputs.get(reads) != Some(&value) || node.inputs.iter().filter(|&&id| id == value).count() > 1 {
            return None;
        }
        match &node.op {
            Op::Conv2d { .. } | Op::Linear => {
                let fits = graph.shape(value).last() == Some(&channels) && owns_params(graph, node);
                return fits.then_some((next, value));
            }
            Op::Unary(Unary::Relu | Unary::LeakyRelu { .. })
            | Op::MaxPool(_)
            | Op::AvgPool { .. }
            | Op::GlobalAvgPool
            | Op::Attention { .. }
            | Op::Pick(_)
            | Op::Reshape(_) => value = node.output,
            _ => return None,
        }
        if graph.shape(value).last() != Some(&channels) {
            return None;
        }
    }
}

fn is_layer(node: &Node) -> bool {
    matches!(node.op, Op::Conv2d { .. } | Op::Linear)
}

/// Whether the parameters of a node are read by no other.
pub(super) fn owns_params(graph: &Graph, node: &Node) -> bool {
    node.inputs[1..].iter().all(|&id| graph.param(id).is_some() && graph.consumers(id).len() == 1)
}

/// For each input channel the largest weight that reads it; `None` for a depthwise layer, whose rows have scales of
/// their own.
pub(super) fn incoming(graph: &Graph, node: &Node, channels: usize) -> Option<Vec<f32>> {
    if matches!(node.op, Op::Conv2d { groups, .. } if groups == channels && channels > 1) {
        return None;
    }
    let weight = graph.param(*node.inputs.get(1)?)?;
    let mut peaks = vec![0.0f32; channels];
    for_each_input(node, weight.shape(), channels, |i, channel| {
        peaks[channel] = peaks[channel].max(weight.data()[i].abs());
    });
    Some(peaks)
}

/// Calls `f` with each weight's index and the input channel that it reads.
fn for_each_input(node: &Node, shape: &[usize], channels: usize, mut f: impl FnMut(usize, usize)) {
    let groups = if let Op::Conv2d { groups, .. } = node.op { groups } else { 1 };
    let depth = shape.last().copied().unwrap_or(1).max(1);
    let row: usize = shape[1..].iter().product();
    let rows_in_group = (shape[0] / groups.max(1)).max(1);
    for i in 0..shape.iter().product() {
        let channel = i / row / rows_in_group * (channels / groups) + i % depth;
        f(i, channel);
    }
}

/// What to multiply each channel by; scaled so that the largest peak stays where it is.
pub(super) fn factors(peaks: &[f32], reading: Option<&[f32]>) -> Vec<f32> {
    let raw: Vec<Option<f32>> = peaks
        .iter()
        .enumerate()
        .map(|(i, &peak)| {
            let weight = reading.map_or(Some(1.0 / peak), |r| (r[i] > 0.0).then_some(r[i]))?;
            let t = (weight / peak).sqrt();
            (peak > 0.0 && t.is_finite() && t > 0.0).then_some(t)
        })
        .collect();
    let moved = raw.iter().zip(peaks).filter_map(|(t, p)| t.map(|t| t * p)).fold(0.0f32, f32::max);
    let largest = peaks.iter().copied().fold(0.0f32, f32::max);
    if moved <= 0.0 || !largest.is_finite() {
        return vec![1.0; peaks.len()];
    }
    // Powers of two leave every float weight exactly as precise as it was.
    let exact = |t: f32| t.log2().round().exp2().clamp(1.0 / MOST, MOST);
    raw.iter().map(|t| t.map_or(1.0, |t| exact(t * largest / moved))).collect()
}

/// Multiplies the weights and biases that make each channel.
fn scale_outgoing(graph: &mut Graph, node: &Node, factors: &[f32]) {
    for &id in &node.inputs[1..] {
        change(graph, id, |tensor| {
            let row = tensor.len() / factors.len();
            for (row, factor) in tensor.data_mut().chunks_exact_mut(row.max(1)).zip(factors) {
                row.iter_mut().for_each(|w| *w *= factor);
            }
        });
    }
}

/// Divides the weights that read each channel.
pub(super) fn scale_incoming(graph: &mut Graph, node: &Node, factors: &[f32]) {
    change(graph, node.inputs[1], |tensor| {
        let shape = tensor.shape().to_vec();
        let data = tensor.data_mut();
        for_each_input(node, &shape, factors.len(), |i, channel| data[i] /= factors[channel]);
    });
}

/// Changes the numbers of a parameter.
pub(super) fn change(graph: &mut Graph, id: ValueId, f: impl FnOnce(&mut Tensor)) {
    if let Source::Param(tensor) = &mut graph.value_mut(id).source {
        f(Arc::make_mut(tensor));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Window;

    #[test]
    fn factors_balance_range_and_weights() {
        // Peak 8 read by weights of 2, and peak 1 by weights of 4: t = (1/2, 2), scaled so that 8 stays 8.
        assert_eq!(factors(&[8.0, 1.0], Some(&[2.0, 4.0])), [1.0, 4.0]);
        assert_eq!(factors(&[8.0, 1.0], None), [1.0, 8.0], "a depthwise reader leaves only the range");
        assert_eq!(factors(&[0.0, 1.0], Some(&[2.0, 4.0])), [1.0, 1.0], "a dead channel stays");
        assert_eq!(factors(&[1e6, 1.0], None), [1.0, MOST]);
    }

    #[test]
    fn channels_move_from_layer_to_layer() {
        let mut graph = Graph::new("pair");
        let x = graph.input("x", [1, 1, 1, 1]);
        let w1 = graph.add_param("w1", Tensor::new([2, 1, 1, 1], vec![8.0, 1.0]));
        let b1 = graph.add_param("b1", Tensor::new([2], vec![0.5, 0.25]));
        let w2 = graph.add_param("w2", Tensor::new([2, 1, 1, 1], vec![3.0, 5.0]));
        let w3 = graph.add_param("w3", Tensor::new([1, 2], vec![1.0, 1.0]));
        let one = Window::square(1, 1, 0);
        let a = graph.add("a", Op::Conv2d { window: one, groups: 1 }, &[x, w1, b1]).unwrap();
        let r = graph.add("r", Op::Unary(Unary::Relu), &[a]).unwrap();
        let d = graph.add("d", Op::Conv2d { window: one, groups: 2 }, &[r, w2]).unwrap();
        let y = graph.add("y", Op::Linear, &[d, w3]).unwrap();
        graph.outputs.push(y);
        let peaks = |id| (id == r).then(|| vec![8.0, 1.0]);
        let (out, pairs) = equalize(&graph, peaks);
        assert_eq!(pairs, 1);
        let data = |id| out.param(id).unwrap().data().to_vec();
        assert_eq!(data(w1), [8.0, 8.0]);
        assert_eq!(data(b1), [0.5, 2.0]);
        assert_eq!(data(w2), [3.0, 0.625]);
        // Shared weights and branches are left alone.
        let mut branch = graph.clone();
        branch.outputs.push(r);
        assert_eq!(equalize(&branch, peaks).1, 0);
    }
}

//! Bias correction: takes back the mean shift that rounding the weights puts on each output channel.
//!
//! A layer is linear, so the mean of the error that rounded weights make on the calibration samples is the layer with the
//! weights' errors, applied to the mean input (compare Nagel et al., "Data-Free Quantization through Weight
//! Equalization and Bias Correction", 2019, which estimates the mean input from batch norms).

use super::calibrate::Calibration;
use super::scheme::WEIGHT_MAX;
use crate::graph::{Graph, Node, Op, Source, Tensor};
use crate::ops::reference;
use std::sync::Arc;

/// The same graph with corrected biases; layers without a bias, or that share one, stay as they are.
pub(super) fn correct(graph: &Graph, calibration: &Calibration) -> Graph {
    let mut out = graph.clone();
    for node in &graph.nodes {
        let Some(shift) = shift(graph, node, calibration) else { continue };
        let Some(&bias) = node.inputs.get(2).filter(|&&id| graph.consumers(id).len() == 1) else { continue };
        if let Source::Param(tensor) = &mut out.value_mut(bias).source {
            for (b, shift) in Arc::make_mut(tensor).data_mut().iter_mut().zip(shift) {
                *b -= shift;
            }
        }
    }
    out
}

/// Mean error of each output channel of a layer.
fn shift(graph: &Graph, node: &Node, calibration: &Calibration) -> Option<Vec<f32>> {
    if !matches!(node.op, Op::Conv2d { .. } | Op::Linear) {
        return None;
    }
    let weight = graph.param(*node.inputs.get(1)?)?;
    let mean = &calibration.stats(*node.inputs.first()?)?.mean;
    let error = rounding_error(weight);
    let (mut shape, mut output) = (graph.shape(node.inputs[0]).to_vec(), graph.shape(node.output).to_vec());
    (shape[0], output[0]) = (1, 1);
    if mean.len() < shape.iter().product() {
        // Of a sequence the mean token is known.
        (shape[1], output[1]) = (1, 1);
    }
    let mean = Tensor::new(shape, mean.iter().map(|&m| m as f32).collect());
    let y = reference::eval(&node.op, &[&mean, &error], &output);
    let channels = *output.last()?;
    let mut sums = vec![0.0f64; channels];
    for pixel in y.data().chunks_exact(channels) {
        sums.iter_mut().zip(pixel).for_each(|(sum, &v)| *sum += f64::from(v));
    }
    let pixels = (y.len() / channels) as f64;
    Some(sums.into_iter().map(|s| (s / pixels) as f32).collect())
}

/// What rounding to int8, each output channel by its own scale, adds to each weight.
fn rounding_error(weight: &Tensor) -> Tensor {
    let row = (weight.len() / weight.shape()[0].max(1)).max(1);
    let mut error = weight.clone();
    for row in error.data_mut().chunks_exact_mut(row) {
        let scale = row.iter().fold(0.0f32, |m, w| m.max(w.abs())) / WEIGHT_MAX as f32;
        if scale > 0.0 {
            row.iter_mut().for_each(|w| *w = (*w / scale).round() * scale - *w);
        }
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::Samples;
    use crate::quantize::elements::{Eight, Elements};

    #[test]
    fn the_mean_of_a_rounded_layer_is_that_of_the_layer() {
        let mut graph = Graph::new("g");
        let x = graph.input("x", [1, 2]);
        let w = graph.add_param("w", Tensor::new([1, 2], vec![1.27, 0.0149]));
        let b = graph.add_param("b", Tensor::new([1], vec![0.5]));
        let y = graph.add("fc", Op::Linear, &[x, w, b]).unwrap();
        graph.outputs.push(y);
        let samples = Samples::new(vec![Tensor::new([2, 2], vec![0.0, 10.0, 2.0, 30.0])]).unwrap();
        let calibration =
            Calibration::run(&graph, &samples, &Elements::new(&graph, &[], &Eight::None), &[x, y]).unwrap();
        let corrected = correct(&graph, &calibration);
        // 0.0149 rounds to 0.01, on a mean input of 20: 0.098 are missing.
        let bias = corrected.param(b).unwrap().data()[0];
        assert!((bias - 0.598).abs() < 1e-5, "{bias}");
    }
}

//! Smoothing: takes outlier channels out of what normalizations make, and puts them into the weights that read it.
//!
//! Transformers have channels many times larger than others, which leave few steps of one int8 scale to the rest. A layer's
//! weights have a scale for each output, so they can take the difference in (Xiao et al., "SmoothQuant", 2022). Where a
//! residual sum reads the same normalization, that stays as it is, and a second one with other gains feeds the layers.

use super::equalize::{change, factors, incoming, owns_params, scale_incoming};
use crate::graph::{Graph, Node, Op, ValueId};

/// The same function with smoothed normalizations, and how many were changed.
///
/// `peak` gives the largest magnitude seen in each channel (last axis) of a computed value.
pub(super) fn smooth(graph: &Graph, peak: impl Fn(ValueId) -> Option<Vec<f32>>) -> (Graph, usize) {
    let mut out = graph.clone();
    let mut smoothed = 0;
    // From the end, so that nodes keep their numbers while others are put in behind them.
    for index in (0..graph.nodes.len()).rev() {
        let node = &graph.nodes[index];
        let layers = layers(graph, node);
        let Some(peaks) = peak(node.output).filter(|_| !layers.is_empty()) else { continue };
        let reading = layers.iter().filter_map(|&layer| incoming(graph, &graph.nodes[layer], peaks.len()));
        let Some(reading) = reading.reduce(|a, b| a.iter().zip(b).map(|(&a, b)| a.max(b)).collect()) else { continue };
        let factors = factors(&peaks, Some(&reading));
        if factors.iter().all(|&t| t == 1.0) {
            continue;
        }
        for &layer in &layers {
            scale_incoming(&mut out, &graph.nodes[layer], &factors);
        }
        if layers.len() == graph.uses(node.output) && owns_params(graph, node) {
            node.inputs[1..].iter().for_each(|&id| scale(&mut out, id, &factors));
        } else {
            double(&mut out, index, &layers, graph, &factors);
        }
        smoothed += 1;
    }
    (out, smoothed)
}

/// The linear layers that read a normalization, by number, if their weights can be scaled.
fn layers(graph: &Graph, node: &Node) -> Vec<usize> {
    if !matches!(node.op, Op::LayerNorm { .. }) || node.inputs[1..].iter().any(|&id| graph.param(id).is_none()) {
        return Vec::new();
    }
    let is_layer = |&i: &usize| {
        let reader = &graph.nodes[i];
        let reads_once = reader.inputs[0] == node.output && !reader.inputs[1..].contains(&node.output);
        reader.op == Op::Linear && reads_once && owns_params(graph, reader)
    };
    graph.consumers(node.output).into_iter().filter(is_layer).collect()
}

/// Puts a scaled copy of a normalization behind it, for the layers to read.
fn double(out: &mut Graph, index: usize, layers: &[usize], graph: &Graph, factors: &[f32]) {
    let node = &graph.nodes[index];
    let mut inputs = vec![node.inputs[0]];
    for &id in &node.inputs[1..] {
        let value = out.value(id).clone();
        let Some(tensor) = graph.param(id) else { return };
        let copy = out.add_param(format!("{}.smoothed", value.name), tensor.as_ref().clone());
        scale(out, copy, factors);
        inputs.push(copy);
    }
    let name = format!("{}.smoothed", node.name);
    let Ok(output) = out.add(name, node.op.clone(), &inputs) else { return };
    for &layer in layers {
        // The layer's number in `out` may have changed, its output has not.
        let reader = out.nodes.iter_mut().find(|n| n.output == graph.nodes[layer].output);
        if let Some(reader) = reader {
            reader.inputs[0] = output;
        }
    }
    if let Some(copy) = out.nodes.pop() {
        out.nodes.insert(index + 1, copy);
    }
}

fn scale(graph: &mut Graph, id: ValueId, factors: &[f32]) {
    change(graph, id, |tensor| tensor.data_mut().iter_mut().zip(factors).for_each(|(v, t)| *v *= t));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Tensor;
    use crate::ops::reference;

    /// A normalization with an outlier that two layers read, and a sum if `residual`.
    fn graph(residual: bool) -> (Graph, ValueId) {
        let mut graph = Graph::new("g");
        let x = graph.input("x", [1, 2, 4]);
        let gamma = graph.add_param("gamma", Tensor::new([4], vec![16.0, 1.0, 0.5, 1.0]));
        let beta = graph.add_param("beta", Tensor::new([4], vec![8.0, 0.25, 0.0, -1.0]));
        let w1 = graph.add_param("w1", Tensor::new([1, 4], vec![1.0, 2.0, -1.0, 0.5]));
        let w2 = graph.add_param("w2", Tensor::new([4, 4], (0..16).map(|i| i as f32 / 8.0 - 1.0).collect()));
        let norm = graph.add("norm", Op::LayerNorm { eps: 1e-5 }, &[x, gamma, beta]).unwrap();
        let a = graph.add("a", Op::Linear, &[norm, w1]).unwrap();
        let b = graph.add("b", Op::Linear, &[norm, w2]).unwrap();
        graph.outputs.extend([a, b]);
        if residual {
            let sum = graph.add("sum", Op::Add, &[b, norm]).unwrap();
            graph.outputs.push(sum);
        }
        (graph, norm)
    }

    #[test]
    fn outliers_move_into_weights_and_residuals_keep_theirs() {
        let x = Tensor::new([1, 2, 4], vec![1.0, 2.0, -1.0, 0.0, 3.0, -2.0, 5.0, 1.0]);
        for residual in [false, true] {
            let (graph, norm) = graph(residual);
            let peaks = |id| (id == norm).then(|| vec![32.0, 2.0, 1.0, 2.0]);
            let (out, smoothed) = smooth(&graph, peaks);
            assert_eq!((smoothed, out.nodes.len()), (1, graph.nodes.len() + usize::from(residual)));
            assert_eq!(out.nodes[usize::from(residual)].op, Op::LayerNorm { eps: 1e-5 });
            let gamma = out.param(out.nodes[usize::from(residual)].inputs[1]).unwrap();
            let spread = gamma.data().iter().fold(0.0f32, |m, v| m.max(*v)) / gamma.data()[2];
            assert!(spread < 16.0, "{gamma:?}");
            let [before, after] = [&graph, &out].map(|g| reference::run(g, std::slice::from_ref(&x)).unwrap());
            for (a, b) in before.iter().zip(&after) {
                assert!(a.data().iter().zip(b.data()).all(|(a, b)| (a - b).abs() < 1e-4), "{a:?} {b:?}");
            }
        }
    }
}

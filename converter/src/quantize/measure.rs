//! How far the int8 graph is from the float graph: over the outputs, and layer by layer.

use super::calibrate::{Samples, run_float};
use super::error::QuantizeError;
use super::graph::{QuantGraph, TensorId};
use super::int8::Int8;
use super::lower::Origin;
use super::steps::sole_function;
use crate::graph::{Graph, Unary, ValueId};
use serde::{Deserialize, Serialize};

/// Sums over numbers that two networks compute alike.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Distance {
    signal: f64,
    noise: f64,
}

impl Distance {
    fn of(float: &[f32], int8: impl Iterator<Item = f32>, f: Option<Unary>) -> Self {
        let mut sums = Distance::default();
        let read = |x| f.map_or(x, |f| f.apply(x));
        for (x, y) in float.iter().map(|&x| read(x)).zip(int8.map(read)) {
            sums.signal += f64::from(x) * f64::from(x);
            sums.noise += f64::from(y - x) * f64::from(y - x);
        }
        sums
    }

    /// How far numbers are from those that they stand for.
    pub(super) fn between(float: &[f32], rounded: &[f32]) -> Self {
        Distance::of(float, rounded.iter().copied(), None)
    }

    fn add(&mut self, other: Distance) {
        self.signal += other.signal;
        self.noise += other.noise;
    }

    /// Sum of squared errors.
    pub(super) fn noise(self) -> f64 {
        self.noise
    }

    /// Power of the signal over power of the error, in decibels; `None` where there is no error.
    pub(super) fn snr_db(self) -> Option<f64> {
        (self.noise > 0.0).then(|| 10.0 * (self.signal / self.noise).log10())
    }
}

/// How far a layer's int8 output is from the float one, all errors of the layers before it included.
///
/// Of an output that a function alone reads, what that makes of both is compared: where it is flat, scales leave values out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerError {
    /// Name of the tensor.
    pub tensor: String,
    /// Name of the operator that makes it.
    pub op: String,
    /// Signal over noise in decibels; absent where there is no error at all.
    pub snr_db: Option<f64>,
    /// Bits of its numbers.
    pub bits: u8,
    /// Where it could have 16 bits or 8: signal over noise of the outputs if it has 8 and of the others only
    /// the sums that then cannot have 16, in decibels.
    pub alone_db: Option<f64>,
    /// Signal over noise of the outputs if this layer is rounded, weights and result, and nothing else is, in decibels; absent
    /// where they stay exact, or where it was not measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_db: Option<f64>,
}

/// Signal over noise of the outputs, and of every tensor that an operator makes, in execution order.
pub(super) type Errors = (Distance, Vec<LayerError>);

/// Compares an int8 graph with `reference`, the float graph whose values of the same names it stands for.
///
/// # Errors
/// If one of the graphs does not run.
pub(super) fn compare(reference: &Graph, origin: &Origin, samples: &Samples) -> Result<Errors, QuantizeError> {
    let graph = &origin.graph;
    let int8 = Int8::new(graph)?;
    let made: Vec<TensorId> = graph.nodes.iter().map(|n| n.output).collect();
    let taps: Vec<ValueId> = made.iter().map(|t| origin.values[t.index()]).collect();
    let functions: Vec<Option<Unary>> = taps.iter().map(|&id| sole_function(reference, id)).collect();
    let mut sums = vec![Distance::default(); graph.tensors.len()];
    run_float(reference, samples, &taps, |start, tensors| {
        let batch = tensors.first().map_or(0, |t| t.shape()[0]);
        let found = int8.run(samples, start..start + batch, |i, tensor, bytes| {
            let k = made.iter().position(|&t| t == tensor)?;
            let tensor_of = graph.tensor(tensor);
            // Of a sequence there are the first rows, as many as there are tokens.
            let size = tensors[k].len() / tensors[k].shape()[0];
            let float = tensors[k].data().get((i - start) * size..)?.get(..bytes.len() / tensor_of.element.bytes())?;
            Some((tensor, Distance::of(float, tensor_of.reals(bytes), functions[k])))
        })?;
        // Sample by sample, so that the sums do not depend on the number of threads.
        for (tensor, distance) in found.into_iter().flatten() {
            sums[tensor.index()].add(distance);
        }
        Ok(())
    })?;
    let mut total = Distance::default();
    for &id in &graph.outputs {
        total.add(sums[source(graph, id).index()]);
    }
    let layers = graph.nodes.iter().filter(|n| sums[n.output.index()] != Distance::default()).map(|node| LayerError {
        tensor: graph.tensor(node.output).name.clone(),
        op: node.op.name().to_owned(),
        snr_db: sums[node.output.index()].snr_db(),
        bits: 8 * graph.tensor(node.output).element.bytes() as u8,
        alone_db: None,
        only_db: None,
    });
    Ok((total, layers.collect()))
}

/// The tensor that a view shows.
fn source(graph: &QuantGraph, id: TensorId) -> TensorId {
    let view = graph.nodes.iter().find(|n| n.output == id && n.op == super::graph::QuantOp::Reshape);
    view.map_or(id, |n| source(graph, n.inputs[0]))
}

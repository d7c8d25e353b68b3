//! A network's answers to examples, and how good they are.

use super::error::TrainError;
use super::examples::{Examples, Target};
use super::exec::Infer;
use super::loss::{Loss, Sums};
use crate::graph::{Graph, Tensor};

/// Examples of one run of the network: enough to keep all threads busy, few enough to stop soon.
const BATCH: usize = 256;

/// How good a network's answers are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// Number of examples.
    pub n: usize,
    /// How many are classified right.
    pub correct: usize,
    /// Mean cross entropy.
    pub loss: f64,
}

impl Evaluation {
    /// The share that is right.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.n.max(1) as f64
    }
}

/// The outputs of `graph` for all examples as they look in epoch 0, one row after another.
///
/// # Errors
/// If the graph cannot be executed.
pub fn predict(graph: &Graph, examples: &dyn Examples, threads: usize) -> Result<Vec<f32>, TrainError> {
    let mut outputs = Vec::new();
    for_batches(graph, examples, threads, |rows, _| {
        outputs.extend_from_slice(rows);
        true
    })?;
    Ok(outputs)
}

/// How good the outputs of `graph` are as logits of all examples.
///
/// # Errors
/// If the graph cannot be executed.
pub fn evaluate(graph: &Graph, examples: &dyn Examples, threads: usize) -> Result<Evaluation, TrainError> {
    let mut sums = Sums::default();
    let mut unused = Vec::new();
    for_batches(graph, examples, threads, |rows, targets| {
        unused.resize(rows.len(), 0.0);
        sums += Loss::default().batch(rows, targets, &mut unused);
        true
    })?;
    let n = examples.len();
    Ok(Evaluation { n, correct: sums.correct, loss: sums.loss / n.max(1) as f64 })
}

/// Runs `graph` on all examples as they look in epoch 0; hands over the outputs and targets of each batch, and ends early
/// if `each` returns `false`.
///
/// # Errors
/// If the graph cannot be executed.
pub fn for_batches(
    graph: &Graph,
    examples: &dyn Examples,
    threads: usize,
    mut each: impl FnMut(&[f32], &[Target<'_>]) -> bool,
) -> Result<(), TrainError> {
    let mut infer = Infer::new(graph, threads)?;
    let mut shape = graph.inputs.first().map(|&id| graph.shape(id).to_vec()).unwrap_or_default();
    let len: usize = shape.iter().skip(1).product();
    for first in (0..examples.len()).step_by(BATCH) {
        let batch = BATCH.min(examples.len() - first);
        let mut input = vec![0.0; batch * len];
        let rows = (first..).zip(input.chunks_exact_mut(len.max(1)));
        let targets: Vec<Target<'_>> = rows.map(|(index, input)| examples.draw(0, index, input)).collect();
        if let Some(size) = shape.first_mut() {
            *size = batch;
        }
        let outputs = infer.run(&Tensor::new(shape.clone(), input))?;
        if !each(outputs.first().map_or(&[], Tensor::data), &targets) {
            break;
        }
    }
    Ok(())
}

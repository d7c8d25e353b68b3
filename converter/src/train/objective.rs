//! What a training minimizes: a function of the outputs of a network and of what it was shown.

use super::error::TrainError;
use super::examples::Target;
use super::exec::Param;
use super::loss::{Loss, Sums};

/// The examples of a step.
#[derive(Clone, Copy)]
pub(crate) struct Batch<'a> {
    /// Counted from 0.
    pub(crate) epoch: usize,
    /// Which examples.
    pub(crate) indices: &'a [usize],
    /// What the network was shown, one row for each.
    pub(crate) input: &'a [f32],
    /// What is wanted of each.
    pub(crate) targets: &'a [Target<'a>],
}

/// Says how good outputs are.
pub(crate) trait Objective {
    /// The sums over the examples of a step, and, added to `grads`, which come as zeros, the gradients of the mean loss by the
    /// outputs. What an output has for each token of a text means something up to the end of that text.
    ///
    /// # Errors
    /// If a network that is asked about the examples cannot be executed.
    fn judge(&mut self, batch: Batch<'_>, outputs: &[Vec<f32>], grads: &mut [Vec<f32>]) -> Result<Sums, TrainError>;

    /// What a step sees instead of the parameters, in their order, if not themselves; its gradients count as theirs.
    fn shown(&self, _params: &[Param]) -> Option<Vec<Vec<f32>>> {
        None
    }

    /// All that it depends on.
    fn describe(&self) -> String;
}

impl Objective for Loss {
    fn judge(&mut self, batch: Batch<'_>, outputs: &[Vec<f32>], grads: &mut [Vec<f32>]) -> Result<Sums, TrainError> {
        let ([logits, ..], [grad, ..]) = (outputs, &mut *grads) else { return Ok(Sums::default()) };
        let mut sums = self.batch(logits, batch.targets, grad);
        if let (Some(hidden), [_, vectors, ..], [_, grad, ..]) = (self.hidden, outputs, grads) {
            sums.loss += hidden.batch(vectors, batch.targets, grad);
        }
        Ok(sums)
    }

    fn describe(&self) -> String {
        format!("{self:?}")
    }
}

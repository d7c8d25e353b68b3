//! Training: the float graph executed with gradients, and all that turns gradients into a trained network.

mod checkpoint;
mod ema;
mod error;
mod evaluate;
mod examples;
pub mod exec;
mod freeze;
mod loss;
mod objective;
mod optimizer;
mod schedule;
mod settings;
#[cfg(test)]
pub(crate) mod tests;
mod trainer;

pub use checkpoint::CheckpointError;
pub use error::TrainError;
pub use evaluate::{Evaluation, evaluate, for_batches, predict};
pub use examples::{Answers, Examples, Images, Target, TextExamples};
pub(crate) use loss::Sums;
pub use loss::{Distance, Distill, Hidden, Loss};
pub(crate) use objective::{Batch, Objective};
pub use settings::{Freeze, OptimizerSettings, Schedule, TrainSettings};
pub(crate) use trainer::fit_to;
pub use trainer::{Control, Epoch, Trained, fit};

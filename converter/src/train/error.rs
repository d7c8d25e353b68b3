//! Why a training ended without a network.

use super::checkpoint::CheckpointError;
use super::exec::ExecError;
use crate::data::DataError;
use std::path::PathBuf;

/// Why a training ended without a network.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A setting makes no sense.
    #[error("training settings: {0}")]
    Settings(String),
    /// There is nothing to learn from.
    #[error("there are no training examples")]
    NoExamples,
    /// The loss became NaN or infinite.
    #[error("the loss is {loss} at epoch {epoch}, step {step}: lower the learning rate, warm up longer, or clip gradients{}", kept(last_good.as_ref()))]
    Diverged {
        /// What the loss became.
        loss: f64,
        /// Counted from 1.
        epoch: usize,
        /// Step of the epoch, counted from 1.
        step: usize,
        /// The last checkpoint, if any was written.
        last_good: Option<PathBuf>,
    },
    /// Stopped from outside.
    #[error("interrupted at epoch {epoch}, step {step}{}", resumes(saved.as_ref()))]
    Interrupted {
        /// Counted from 1.
        epoch: usize,
        /// Steps of the epoch that are done.
        step: usize,
        /// The checkpoint to go on from, if one was asked for.
        saved: Option<PathBuf>,
    },
    /// So many images cannot be held out.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A checkpoint could not be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The network cannot be executed or trained.
    #[error(transparent)]
    Exec(#[from] ExecError),
}

fn kept(path: Option<&PathBuf>) -> String {
    path.map(|p| format!("; the last good state is in {}", p.display())).unwrap_or_default()
}

fn resumes(path: Option<&PathBuf>) -> String {
    path.map(|p| format!("; the same command goes on from {}", p.display())).unwrap_or_default()
}

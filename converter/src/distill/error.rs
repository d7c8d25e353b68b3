//! Why a teacher's answers could not be had.

use crate::artifact::ArtifactError;
use crate::train::TrainError;
use std::path::PathBuf;

/// Why a teacher's answers could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// A setting makes no sense.
    #[error("label settings: {0}")]
    Settings(&'static str),
    /// The file system said no; files that are written stay.
    #[error("teacher outputs: {0}")]
    File(#[from] ArtifactError),
    /// A file of the folder is no such file, or cut off.
    #[error("teacher outputs {} are damaged ({problem}); remove the file to make it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The folder is in use for something else.
    #[error(
        "{} holds outputs of another teacher, for other images or other augmentation; remove the folder or name another",
        path.display()
    )]
    Other {
        /// The file.
        path: PathBuf,
    },
    /// The teacher does not answer with numbers.
    #[error("the teacher answers image {image} (view {view}) with {value}: its weights or its normalization are wrong")]
    NotFinite {
        /// Index of the image.
        image: usize,
        /// The view.
        view: usize,
        /// What it says.
        value: f32,
    },
    /// Stopped from outside.
    #[error(
        "interrupted with the teacher's outputs for {done} of {total} images done; the same command goes on from there"
    )]
    Interrupted {
        /// Views of images that are stored.
        done: usize,
        /// All of them.
        total: usize,
    },
    /// A teacher could not be executed.
    #[error(transparent)]
    Run(#[from] TrainError),
}

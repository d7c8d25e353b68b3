//! Why a Hugging Face directory cannot be used.

use crate::graph::ShapeError;
use crate::teacher::safetensors::WeightsError;
use std::path::PathBuf;

/// Why a Hugging Face directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HfError {
    /// A file is not there.
    #[error("{} has no {file}; a directory needs config.json and model.safetensors", folder.display())]
    Missing {
        /// The directory.
        folder: PathBuf,
        /// The file.
        file: &'static str,
    },
    /// A file could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not JSON.
    #[error("{} is not JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The weights are in a form that is not read.
    #[error("{} {remedy}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What it is, and what to do.
        remedy: &'static str,
    },
    /// A field of `config.json` is missing or cannot be used.
    #[error("{}: `{field}` {problem}", file.display())]
    Field {
        /// The file.
        file: PathBuf,
        /// The field.
        field: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The sizes in `config.json` do not fit together.
    #[error("{} describes a network that cannot be: {source}", file.display())]
    Misfit {
        /// The file.
        file: PathBuf,
        /// The first node that fails.
        source: ShapeError,
    },
    /// The tensors are not those that `config.json` describes.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

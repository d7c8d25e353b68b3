//! The tensors of a directory, from whichever file of weights is there.

use super::HfError;
use crate::teacher::safetensors::{WeightsError, WeightsProblem, floats};
use crate::teacher::torch::Checkpoint;
use ::safetensors::tensor::{Dtype, SafeTensors};
use std::path::{Path, PathBuf};

/// The files that are read, the first of them that is there.
const FILES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
/// What says where parts of weights are.
const PARTS: [&str; 2] = ["model.safetensors.index.json", "pytorch_model.bin.index.json"];

/// A file of weights.
pub(super) struct File {
    pub(super) path: PathBuf,
    bytes: Vec<u8>,
}

/// The tensors of a file.
pub(super) enum Weights<'a> {
    Safe(SafeTensors<'a>),
    Torch(Checkpoint),
}

impl File {
    /// The file of a directory.
    pub(super) fn read(folder: &Path) -> Result<File, HfError> {
        let Some(path) = FILES.iter().map(|name| folder.join(name)).find(|path| path.is_file()) else {
            if let Some(name) = PARTS.iter().find(|name| folder.join(name).is_file()) {
                let remedy = "has its weights in parts; save it anew with a larger `max_shard_size`";
                return Err(HfError::Form { path: folder.join(name), remedy });
            }
            return Err(HfError::Missing {
                folder: folder.to_owned(),
                file: "model.safetensors (or pytorch_model.bin)",
            });
        };
        match std::fs::read(&path) {
            Ok(bytes) => Ok(File { path, bytes }),
            Err(error) => Err(WeightsError { path, problem: WeightsProblem::Read(error) }.into()),
        }
    }

    pub(super) fn weights(&self) -> Result<Weights<'_>, WeightsProblem> {
        if self.path.ends_with(FILES[0]) {
            SafeTensors::deserialize(&self.bytes).map(Weights::Safe).map_err(WeightsProblem::Damaged)
        } else {
            Checkpoint::read(&self.bytes).map(Weights::Torch).map_err(WeightsProblem::Pickle)
        }
    }
}

impl Weights<'_> {
    pub(super) fn names(&self) -> Vec<&str> {
        match self {
            Weights::Safe(file) => file.names(),
            Weights::Torch(file) => file.names().collect(),
        }
    }

    /// Shape and type of a tensor.
    pub(super) fn describe(&self, name: &str) -> Option<(Vec<usize>, Dtype)> {
        match self {
            Weights::Safe(file) => file.tensor(name).ok().map(|view| (view.shape().to_vec(), view.dtype())),
            Weights::Torch(file) => file.describe(name).map(|(shape, dtype)| (shape.to_vec(), dtype)),
        }
    }

    /// The elements of a tensor, if they are floats.
    pub(super) fn floats(&self, name: &str) -> Result<Option<Vec<f32>>, WeightsProblem> {
        match self {
            Weights::Safe(file) => Ok(file.tensor(name).ok().and_then(|view| floats(&view))),
            Weights::Torch(file) => file.floats(name).map_err(WeightsProblem::Pickle),
        }
    }
}

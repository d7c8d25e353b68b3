//! Teachers: trained networks with what is needed to show them images.

pub mod hf_dir;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod safetensors;

use crate::data::{Normalize, hex};
use crate::families::{self, FamilyError, Task};
use crate::graph::Graph;
use sha2::{Digest, Sha256};
use std::path::Path;

/// A trained network and how its input is made.
#[derive(Clone, Debug)]
pub struct Teacher {
    /// Takes `[batch, height, width, channels]`, gives `[batch, classes]`.
    pub graph: Graph,
    /// How pixels become its input.
    pub normalize: Normalize,
}

/// Why a teacher cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TeacherError {
    /// The shape that the weights should fill.
    #[error("the teacher's network")]
    Family(#[from] FamilyError),
    /// The file of weights.
    #[error(transparent)]
    Weights(#[from] safetensors::WeightsError),
    /// The network is for other images or other classes.
    #[error(
        "teacher `{name}` makes {found_output:?} of {found_input:?}, but the task has {classes} classes and images of {image:?}"
    )]
    Task {
        /// The network.
        name: String,
        /// Shape of its first input.
        found_input: Vec<usize>,
        /// Shape of its first output.
        found_output: Vec<usize>,
        /// What the images are.
        image: [usize; 3],
        /// How many classes there are.
        classes: usize,
    },
    /// The statistics are for another number of channels, or divide by zero.
    #[error("the teacher's normalization {normalize:?} does not fit images of {channels} channels")]
    Normalize {
        /// What was given.
        normalize: Normalize,
        /// Channels of the images.
        channels: usize,
    },
}

impl Teacher {
    /// A named network of a [family](crate::families) with weights from a `.safetensors` file.
    ///
    /// # Errors
    /// If there is no such network, or the file does not fill it exactly.
    pub fn from_weights(
        name: &str,
        task: &Task,
        weights: &Path,
        normalize: Normalize,
    ) -> Result<Teacher, TeacherError> {
        let mut graph = families::build(name, task, 0)?;
        safetensors::fill(&mut graph, weights)?;
        Teacher { graph, normalize }.check(task)
    }

    /// The teacher itself if it fits the task.
    ///
    /// # Errors
    /// If it does not.
    pub fn check(self, task: &Task) -> Result<Teacher, TeacherError> {
        let shape = |id: Option<&_>| id.map(|&id| self.graph.shape(id).to_vec()).unwrap_or_default();
        let (input, output) = (shape(self.graph.inputs.first()), shape(self.graph.outputs.first()));
        if input.get(1..) != Some(&task.image[..]) || output.get(1..) != Some(&[task.classes][..]) {
            return Err(TeacherError::Task {
                name: self.graph.name,
                found_input: input,
                found_output: output,
                image: task.image,
                classes: task.classes,
            });
        }
        let channels = task.image[2];
        if !self.normalize.fits(channels) {
            return Err(TeacherError::Normalize { normalize: self.normalize, channels });
        }
        Ok(self)
    }

    /// A hash of the network, its weights and its normalization, in hex: names what was cached of it.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for node in &self.graph.nodes {
            hasher.update(format!("{:?} {:?} {}\n", node.op, node.inputs, node.output.0));
        }
        for value in [&self.normalize.mean, &self.normalize.deviation].into_iter().flatten() {
            hasher.update(value.to_le_bytes());
        }
        for (_, tensor) in self.graph.params() {
            for value in tensor.data() {
                hasher.update(value.to_le_bytes());
            }
        }
        hex(&hasher.finalize())
    }
}

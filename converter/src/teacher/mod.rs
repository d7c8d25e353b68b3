//! Teachers: trained networks with what is needed to show them images or texts.

pub mod backbone;
pub mod hf_dir;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod safetensors;
pub mod torch;

use crate::data::{DataError, Normalize, Reader, hex};
use crate::families::distilbert::DistilBert;
use crate::families::{self, FamilyError, Input, Task};
use crate::graph::Graph;
use sha2::{Digest, Sha256};
use std::path::Path;

/// A trained network and how its input is made.
#[derive(Clone, Debug)]
pub struct Teacher {
    /// Takes `[batch, height, width, channels]` or ids `[batch, tokens]`, gives `[batch, classes]`.
    pub graph: Graph,
    /// How examples become its input.
    pub reader: Reader,
}

/// An encoder of texts as someone else has trained it.
#[derive(Clone, Debug)]
pub struct Pretrained {
    /// Takes ids `[batch, tokens]`.
    pub graph: Graph,
    /// What it was built from.
    pub net: DistilBert,
    /// The names of the classes, in order; empty where there are none.
    pub labels: Vec<String>,
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
    /// The network is for other inputs or other classes.
    #[error(
        "teacher `{name}` makes {found_output:?} of {found_input:?}, but the task has {classes} classes and {input}; \
         `[teacher.train]` with `freeze = true` gives it a head for other classes"
    )]
    Task {
        /// The network.
        name: String,
        /// Shape of its first input.
        found_input: Vec<usize>,
        /// Shape of its first output.
        found_output: Vec<usize>,
        /// What the examples are.
        input: Input,
        /// How many classes there are.
        classes: usize,
    },
    /// The examples cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
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
        Teacher { graph, reader: normalize.into() }.check(task)
    }

    /// The teacher itself if it fits the task.
    ///
    /// # Errors
    /// If it does not.
    pub fn check(self, task: &Task) -> Result<Teacher, TeacherError> {
        let shape = |id: Option<&_>| id.map(|&id| self.graph.shape(id).to_vec()).unwrap_or_default();
        let (input, output) = (shape(self.graph.inputs.first()), shape(self.graph.outputs.first()));
        let expected = match &task.input {
            Input::Image(image) => &image[..],
            Input::Text { tokens, .. } => std::slice::from_ref(tokens),
        };
        if input.get(1..) != Some(expected) || output.get(1..) != Some(&[task.classes][..]) {
            return Err(TeacherError::Task {
                name: self.graph.name,
                found_input: input,
                found_output: output,
                input: task.input,
                classes: task.classes,
            });
        }
        match (&self.reader, task.input) {
            (Reader::Pixels { normalize, .. }, Input::Image([.., channels])) if !normalize.fits(channels) => {
                Err(TeacherError::Normalize { normalize: normalize.clone(), channels })
            }
            _ => Ok(self),
        }
    }

    /// A hash of the network, its weights and how it reads, in hex: names what was cached of it.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for node in &self.graph.nodes {
            hasher.update(format!("{:?} {:?} {}\n", node.op, node.inputs, node.output.0));
        }
        match &self.reader {
            Reader::Pixels { normalize: Normalize { mean, deviation }, size } => {
                [mean, deviation].into_iter().flatten().for_each(|value| hasher.update(value.to_le_bytes()));
                size.iter().flatten().for_each(|&size| hasher.update((size as u64).to_le_bytes()));
            }
            // What the tokens are, whoever keeps answers to them says.
            Reader::Text { tokens, .. } => hasher.update(tokens.to_le_bytes()),
        }
        for (_, tensor) in self.graph.params() {
            for value in tensor.data() {
                hasher.update(value.to_le_bytes());
            }
        }
        hex(&hasher.finalize())
    }
}

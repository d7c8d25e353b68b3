//! Why an ONNX file cannot be read, or a graph not be written as one.

use crate::artifact::ArtifactError;
use crate::families::distilbert::RecognizeError;
use crate::graph::ShapeError;
use std::fmt;
use std::path::PathBuf;

/// Why an ONNX file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is missing or cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is cut off, damaged, or no ONNX model at all.
    #[error("{} is no complete ONNX model: {reason}; export or copy it again", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is missing.
        reason: String,
    },
    /// The operator set is outside the supported ones.
    #[error("{} uses opset {opset}; export it with opset {} to {}", path.display(), super::OPSETS.start(), super::OPSETS.end())]
    Opset {
        /// The file.
        path: PathBuf,
        /// Its operator set.
        opset: i64,
    },
    /// A stored tensor or an input is unusable.
    #[error("{}: tensor `{tensor}` {problem}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong, and the remedy where there is one.
        problem: String,
    },
    /// A node contradicts the standard.
    #[error("{}: {node} is not valid ONNX: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The node.
        node: Box<NodeInfo>,
        /// What is wrong.
        problem: String,
    },
    /// All nodes are known, but together they are no encoder that is.
    #[error(
        "{} is no encoder of the kind of BERT, DistilBERT, MiniLM or ELECTRA: {source}; export it from such a network, or import the \
         folder it was made from", path.display()
    )]
    Encoder {
        /// The file.
        path: PathBuf,
        /// The first part that differs.
        source: RecognizeError,
    },
    /// Longer texts than the file has positions for.
    #[error("{} takes no texts of {tokens} tokens, though it takes shorter ones: ask for fewer ({source})", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        tokens: usize,
        /// What failed.
        source: Box<ImportError>,
    },
    /// A node that has no counterpart in the float graph.
    #[error("{}: {node} is not supported: {problem}; supported is {instead}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The node.
        node: Box<NodeInfo>,
        /// What has no counterpart.
        problem: String,
        /// The nearest form that has one.
        instead: String,
    },
}

/// Why a graph cannot be written as ONNX.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// ONNX has no counterpart of a node.
    #[error("node `{node}` ({op}) has no ONNX form: {problem}")]
    Unsupported {
        /// The node.
        node: String,
        /// Its operator and attributes.
        op: String,
        /// What has no counterpart.
        problem: String,
    },
    /// The file cannot be written.
    #[error(transparent)]
    File(#[from] ArtifactError),
}

/// A node as messages describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// Its name, or that of its first output.
    pub name: String,
    /// Its operator, with the domain if it is not ONNX's own.
    pub op: String,
    /// The operator set it belongs to.
    pub opset: i64,
    /// Name and shape of each input.
    pub inputs: Vec<(String, Vec<usize>)>,
}

impl fmt::Display for NodeInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node `{}` ({} of opset {}", self.name, self.op, self.opset)?;
        for (i, (name, shape)) in self.inputs.iter().enumerate() {
            write!(f, "{} `{name}` {shape:?}", if i == 0 { " on" } else { "," })?;
        }
        f.write_str(")")
    }
}

/// What is wrong with a node, before it is known which node it is.
#[derive(Debug)]
pub(super) enum Problem {
    /// It contradicts the standard.
    Invalid(String),
    /// It has no counterpart in the float graph.
    Unsupported { problem: String, instead: String },
    /// A stored tensor that it reads is unusable.
    Tensor { tensor: String, problem: String },
}

impl Problem {
    pub(super) fn unsupported(problem: impl Into<String>, instead: impl Into<String>) -> Self {
        Problem::Unsupported { problem: problem.into(), instead: instead.into() }
    }

    pub(super) fn invalid(problem: impl Into<String>) -> Self {
        Problem::Invalid(problem.into())
    }
}

impl From<ShapeError> for Problem {
    fn from(error: ShapeError) -> Self {
        Problem::Invalid(error.problem)
    }
}

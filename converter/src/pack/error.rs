//! What can keep an int8 graph from becoming a model file.

use crate::quantize::QuantizeError;
use limbeck_runtime::SessionError;
use limbeck_runtime::format::emit::EmitError;

/// Why a model file could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A layer's integers are out of the contract's range.
    #[error(transparent)]
    Layer(#[from] QuantizeError),
    /// An operator's integers are out of the contract's range.
    #[error("node `{node}`: {problem}; calibrate with samples that excite this node")]
    Range {
        /// Name of the node.
        node: String,
        /// What is out of range.
        problem: String,
    },
    /// A label that would become two.
    #[error("the label {label:?} has a line break; labels are stored one a line")]
    Label {
        /// The label.
        label: String,
    },
    /// More tensors than a file can number.
    #[error("the graph has {count} tensors, a model file at most 65,535")]
    TooManyTensors {
        /// How many.
        count: usize,
    },
    /// Mean and standard deviation do not fit the image.
    #[error("input `{input}` has {channels} channels, which do not fit {given:?} means and standard deviations")]
    Channels {
        /// Name of the input.
        input: String,
        /// Its channels.
        channels: usize,
        /// Lengths of mean and standard deviation.
        given: [usize; 2],
    },
    /// The words of the tokenizer are not the rows of the network's table.
    #[error(
        "the vocabulary has {words} words, and the network {rows} rows to look them up in; take the vocabulary that it was trained with"
    )]
    Vocabulary {
        /// Words of the tokenizer.
        words: usize,
        /// Rows of the table; 0 if the network reads no text.
        rows: usize,
    },
    /// The section that holds the tokenizer is damaged.
    #[error("the vocabulary: {0}")]
    Tokenizer(limbeck_runtime::text::VocabularyRule),
    /// The format has no room for it, or its own check refuses it.
    #[error("the model file: {0}")]
    Emit(#[from] EmitError),
    /// The finished model does not run here.
    #[error("the model file was made but does not run: {0}")]
    Session(SessionError),
}

//! What can keep a graph from becoming int8, said with the node or tensor and the remedy.

use crate::graph::ShapeError;

/// Why a graph could not be quantized.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// A weight is NaN or infinite.
    #[error(
        "weight `{tensor}` holds {value} at element {index}; the training diverged or the file is damaged: \
         use an earlier checkpoint or a lower learning rate"
    )]
    NonFiniteWeight {
        /// Name of the parameter.
        tensor: String,
        /// Position in row-major order.
        index: usize,
        /// What stands there.
        value: f32,
    },
    /// An activation became NaN or infinite on the calibration samples.
    #[error(
        "tensor `{tensor}` becomes NaN or infinite on the calibration samples: \
         check the preprocessing of the samples and the weights before this tensor"
    )]
    NonFiniteActivation {
        /// Name of the value.
        tensor: String,
    },
    /// A node that has no int8 form.
    #[error("node `{node}` ({op}) cannot be quantized: {problem}; {remedy}")]
    Unsupported {
        /// Name of the node.
        node: String,
        /// Its operator.
        op: &'static str,
        /// What stands in the way.
        problem: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The samples do not fit the graph.
    #[error("calibration samples do not fit the graph: {problem}")]
    Samples {
        /// What was found and what is needed.
        problem: String,
    },
    /// Some order of summation could leave 32 bits.
    #[error(
        "layer `{layer}`, output channel {channel}: the accumulator could reach {bound}, outside 32 bits; \
         split the layer's {depth} inputs per output, or lower its weights' range"
    )]
    Overflow {
        /// Name of the node.
        layer: String,
        /// Output channel.
        channel: usize,
        /// The value that could be reached.
        bound: i64,
        /// Products in one sum.
        depth: usize,
    },
    /// A factor between accumulator and output that the contract has no multiplier for.
    #[error(
        "layer `{layer}`, output channel {channel}: the factor {factor:e} from sum to output has no multiplier; \
         calibrate with samples that excite this layer"
    )]
    Factor {
        /// Name of the node.
        layer: String,
        /// Output channel.
        channel: usize,
        /// Input scale times weight scale over output scale.
        factor: f64,
    },
    /// No scale serves all operators that share it.
    #[error(
        "no scale of tensor `{tensor}` suits all operators that share it: calibrate with samples that excite it, \
         or drop the concatenation that ties it to others"
    )]
    NoScale {
        /// Name of the value.
        tensor: String,
    },
    /// A setting is out of its range.
    #[error("quantization setting `{name}`: {problem}")]
    Setting {
        /// Name of the field.
        name: &'static str,
        /// What was found and what is allowed.
        problem: String,
    },
    /// A stored int8 graph cannot be read or written.
    #[error("the stored int8 graph: {problem}; delete it to have it made again")]
    Artifact {
        /// What is wrong with it.
        problem: String,
    },
    /// The graph's shapes are at odds.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The float graph could not be executed.
    #[error("running the float graph on the calibration samples: {0}")]
    Float(String),
    /// The int8 graph could not be executed on this computer.
    #[error("running the int8 graph on the calibration samples: {0}")]
    Int8(String),
}

//! The typed int8 graph: what the quantizer makes, the planner orders and the packer writes.

use super::scheme::{Affine, Weights};
use crate::graph::Window;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Names a tensor of one [`QuantGraph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TensorId(pub u32);

impl TensorId {
    /// Position in [`QuantGraph::tensors`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// An int8 activation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantTensor {
    /// The name that the float graph has for it.
    pub name: String,
    /// Rows, columns, channels; a vector of `n` is `[1, 1, n]`, a matrix `[1, rows, n]`. The batch is one.
    pub shape: [usize; 3],
    /// How its numbers stand for reals.
    pub affine: Affine,
}

impl QuantTensor {
    /// Bytes, which is elements.
    pub fn bytes(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Smallest and largest int8 number of an op's output: a fused activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clamp {
    /// Smallest.
    pub lo: i8,
    /// Largest.
    pub hi: i8,
}

impl Clamp {
    /// No activation.
    pub const NONE: Clamp = Clamp { lo: i8::MIN, hi: i8::MAX };
}

/// An int8 operator, named as in the runtime. Scales are those of the tensors that a node reads and writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum QuantOp {
    /// Convolution; weight rows are `[kernel rows, kernel columns, input channels]`.
    Conv2d {
        /// Kernel, stride, dilation, padding.
        window: Window,
        /// A row for each output channel.
        #[serde(skip)]
        weights: Weights,
        /// Fused activation.
        clamp: Clamp,
    },
    /// Convolution of each channel by itself; weight rows are `[kernel rows, kernel columns]`.
    Depthwise {
        /// Kernel, stride, dilation, padding.
        window: Window,
        /// A row for each output channel.
        #[serde(skip)]
        weights: Weights,
        /// Fused activation.
        clamp: Clamp,
    },
    /// Fully connected on the last axis.
    Linear {
        /// A row for each output.
        #[serde(skip)]
        weights: Weights,
        /// Fused activation.
        clamp: Clamp,
    },
    /// Sum of two tensors of one shape.
    Add {
        /// Fused activation.
        clamp: Clamp,
    },
    /// Product of two tensors; the second may have one pixel, which then stands for all.
    Mul {
        /// Fused activation.
        clamp: Clamp,
    },
    /// Any function of one value, as a table indexed by the value's byte.
    Lut {
        /// Entry `q as u8` is the result for `q`.
        #[serde(with = "table")]
        table: Box<[i8; 256]>,
    },
    /// Largest value under the window.
    MaxPool {
        /// Kernel, stride, dilation, padding.
        window: Window,
    },
    /// Mean under the window.
    AvgPool {
        /// Kernel, stride, dilation, padding.
        window: Window,
        /// Whether padding counts as zeros in the mean.
        count_pad: bool,
        /// Fused activation.
        clamp: Clamp,
    },
    /// Probabilities along the channels.
    Softmax,
    /// Tensors one after another along an axis of `[rows, columns, channels]`.
    Concat {
        /// The axis, 0 to 2.
        axis: usize,
    },
    /// A constant around a tensor.
    Pad {
        /// Elements before and after, for rows, columns and channels.
        pads: [(usize, usize); 3],
        /// What they are.
        value: i8,
    },
    /// Every so-manyth element of each axis: output `i` is input `start + i * step`.
    Slice {
        /// First row, column, channel.
        start: [usize; 3],
        /// Distance between rows, columns, channels.
        step: [usize; 3],
    },
    /// The same bytes under another shape; costs nothing.
    Reshape,
}

impl QuantOp {
    /// The runtime's name of the operator.
    pub fn name(&self) -> &'static str {
        match self {
            QuantOp::Conv2d { .. } => "conv2d",
            QuantOp::Depthwise { .. } => "depthwise",
            QuantOp::Linear { .. } => "linear",
            QuantOp::Add { .. } => "add",
            QuantOp::Mul { .. } => "mul",
            QuantOp::Lut { .. } => "lut",
            QuantOp::MaxPool { .. } => "max_pool",
            QuantOp::AvgPool { .. } => "avg_pool",
            QuantOp::Softmax => "softmax",
            QuantOp::Concat { .. } => "concat",
            QuantOp::Pad { .. } => "pad",
            QuantOp::Slice { .. } => "slice",
            QuantOp::Reshape => "reshape",
        }
    }

    /// The weights, for operators that have some.
    pub fn weights(&self) -> Option<&Weights> {
        match self {
            QuantOp::Conv2d { weights, .. } | QuantOp::Depthwise { weights, .. } | QuantOp::Linear { weights, .. } => {
                Some(weights)
            }
            _ => None,
        }
    }

    /// The fused activation.
    pub fn clamp(&self) -> Clamp {
        match self {
            QuantOp::Conv2d { clamp, .. }
            | QuantOp::Depthwise { clamp, .. }
            | QuantOp::Linear { clamp, .. }
            | QuantOp::Add { clamp }
            | QuantOp::Mul { clamp }
            | QuantOp::AvgPool { clamp, .. } => *clamp,
            _ => Clamp::NONE,
        }
    }
}

/// One operator applied to tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantNode {
    /// The name of the float node that it was made from.
    pub name: String,
    /// What it computes.
    pub op: QuantOp,
    /// What it reads.
    pub inputs: Vec<TensorId>,
    /// What it makes.
    pub output: TensorId,
}

/// An int8 network: nodes in execution order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantGraph {
    /// For messages and file names.
    pub name: String,
    /// Indexed by [`TensorId`].
    pub tensors: Vec<QuantTensor>,
    /// In execution order.
    pub nodes: Vec<QuantNode>,
    /// Given at each run.
    pub inputs: Vec<TensorId>,
    /// Returned by each run.
    pub outputs: Vec<TensorId>,
}

impl QuantGraph {
    /// The tensor of an id.
    pub fn tensor(&self, id: TensorId) -> &QuantTensor {
        &self.tensors[id.index()]
    }

    /// Adds a tensor.
    pub fn add_tensor(&mut self, name: impl Into<String>, shape: [usize; 3], affine: Affine) -> TensorId {
        let id = TensorId(self.tensors.len() as u32);
        self.tensors.push(QuantTensor { name: name.into(), shape, affine });
        id
    }

    /// Multiply-accumulates of one run of a node.
    pub fn macs(&self, node: &QuantNode) -> u64 {
        let [h, w, _] = self.tensor(node.output).shape;
        let weights = node.op.weights().map_or(0, |weights| weights.data.len());
        (h * w * weights) as u64
    }
}

impl fmt::Display for QuantGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tensor = |id: TensorId| {
            let QuantTensor { name, shape: [h, w, c], affine } = self.tensor(id);
            format!("{name}[{h}x{w}x{c} scale {:.6} zero {}]", affine.scale, affine.zero_point)
        };
        writeln!(f, "int8 graph {}", self.name)?;
        for &id in &self.inputs {
            writeln!(f, "  input {}", tensor(id))?;
        }
        for node in &self.nodes {
            let inputs: Vec<&str> = node.inputs.iter().map(|&id| self.tensor(id).name.as_str()).collect();
            write!(f, "  {} = {}({})", tensor(node.output), node.op.name(), inputs.join(", "))?;
            if let QuantOp::Conv2d { window, .. } | QuantOp::Depthwise { window, .. } = &node.op {
                write!(f, " kernel {:?} stride {:?}", window.kernel, window.stride)?;
            }
            let clamp = node.op.clamp();
            if clamp != Clamp::NONE {
                write!(f, " clamp {}..{}", clamp.lo, clamp.hi)?;
            }
            writeln!(f)?;
        }
        for &id in &self.outputs {
            writeln!(f, "  output {}", self.tensor(id).name)?;
        }
        Ok(())
    }
}

/// A table as a list of numbers.
mod table {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(table: &[i8; 256], serializer: S) -> Result<S::Ok, S::Error> {
        table.as_slice().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Box<[i8; 256]>, D::Error> {
        let entries = Vec::<i8>::deserialize(deserializer)?;
        entries.try_into().map_err(|e: Vec<i8>| D::Error::invalid_length(e.len(), &"256 entries"))
    }
}

//! The typed int8 graph: what the quantizer makes, the planner orders and the packer writes.

use super::scheme::{Affine, Table, Weights};
use crate::graph::{Pick, Window};
use limbeck_runtime::Element;
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

/// An activation: of int8, or where texts are read, of tokens and of int16.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuantTensor {
    /// The name that the float graph has for it.
    pub name: String,
    /// Rows, columns, channels; a vector of `n` is `[1, 1, n]`, a matrix `[1, rows, n]`. The batch is one.
    pub shape: [usize; 3],
    /// How its numbers stand for reals.
    pub affine: Affine,
    /// What its numbers are; int16 has zero point 0.
    #[serde(default, skip_serializing_if = "is_default", with = "element")]
    pub element: Element,
    /// Whether the rows are the most that a text can have tokens; a run has as many as its text. Then there is one column.
    #[serde(default, skip_serializing_if = "is_default")]
    pub sequence: bool,
}

impl QuantTensor {
    /// One of int8 that is no sequence.
    pub fn new(name: impl Into<String>, shape: [usize; 3], affine: Affine) -> Self {
        QuantTensor { name: name.into(), shape, affine, element: Element::Int8, sequence: false }
    }

    /// Bytes at the greatest length.
    pub fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.element.bytes()
    }

    /// The reals that bytes in memory stand for.
    pub fn reals<'a>(&self, bytes: &'a [i8]) -> Box<dyn Iterator<Item = f32> + 'a> {
        let affine = self.affine;
        let word = |pair: &[i8; 2]| pair.map(|byte| byte as u8);
        match self.element {
            Element::Int8 => Box::new(bytes.iter().map(move |&q| affine.dequantize(q))),
            Element::Int16 => {
                let real = move |pair| f32::from(i16::from_le_bytes(word(pair))) * affine.scale;
                Box::new(bytes.as_chunks().0.iter().map(real))
            }
            Element::Token => {
                Box::new(bytes.as_chunks().0.iter().map(move |pair| f32::from(u16::from_le_bytes(word(pair)))))
            }
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
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
    /// Rows of tables for tokens and their places, added: int16 of tokens.
    Embed {
        /// A row for each word of the vocabulary.
        #[serde(skip)]
        words: Table,
        /// A row for each place in a text.
        #[serde(skip)]
        positions: Table,
    },
    /// Each row brought to mean 0 and variance 1, then scaled and shifted; int8 or int16 of either.
    LayerNorm {
        /// Added to the variance.
        eps: f32,
        /// Scale of each channel.
        #[serde(skip)]
        gamma: Vec<f32>,
        /// Shift of each channel.
        #[serde(skip)]
        beta: Vec<f32>,
    },
    /// Each row a mean of all values, weighted by how alike queries and keys are. Reads queries, keys and values, all with
    /// zero point 0.
    Attention {
        /// Groups of channels.
        heads: usize,
    },
    /// One row for all: the first, as it is, or the mean as int8.
    Pick {
        /// Which.
        pick: Pick,
    },
    /// Sum of two tensors as int16; at least one of them is int16.
    Add16,
    /// The same reals in int8 instead of int16.
    Narrow,
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
            QuantOp::Embed { .. } => "embed",
            QuantOp::LayerNorm { .. } => "layer_norm",
            QuantOp::Attention { .. } => "attention",
            QuantOp::Pick { .. } => "pick",
            QuantOp::Add16 => "add16",
            QuantOp::Narrow => "narrow",
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

    /// Adds a tensor of int8.
    pub fn add_tensor(&mut self, name: impl Into<String>, shape: [usize; 3], affine: Affine) -> TensorId {
        self.push(QuantTensor::new(name, shape, affine))
    }

    /// Adds a tensor.
    pub fn push(&mut self, tensor: QuantTensor) -> TensorId {
        let id = TensorId(self.tensors.len() as u32);
        self.tensors.push(tensor);
        id
    }

    /// Adds a node after all others.
    pub fn push_node(&mut self, name: impl Into<String>, op: QuantOp, inputs: &[TensorId], output: TensorId) {
        self.nodes.push(QuantNode { name: name.into(), op, inputs: inputs.to_vec(), output });
    }

    /// Multiply-accumulates of one run of a node, at the greatest length.
    pub fn macs(&self, node: &QuantNode) -> u64 {
        let [h, w, c] = self.tensor(node.output).shape;
        let of_pixel = match &node.op {
            // Each row meets all rows twice: as a query, and to sum the values.
            QuantOp::Attention { .. } => 2 * h * c,
            op => op.weights().map_or(0, |weights| weights.data.len()),
        };
        (h * w * of_pixel) as u64
    }

    /// Rows of the smallest table of words, so the words that every text must be made of; `None` if no text is read.
    pub fn vocabulary(&self) -> Option<usize> {
        let rows = |node: &QuantNode| {
            if let QuantOp::Embed { words, .. } = &node.op { Some(words.scales.len()) } else { None }
        };
        self.nodes.iter().filter_map(rows).min()
    }
}

impl fmt::Display for QuantGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tensor = |id: TensorId| {
            let QuantTensor { name, shape: [h, w, c], affine, element, .. } = self.tensor(id);
            match element {
                Element::Int8 => format!("{name}[{h}x{w}x{c} scale {:.6} zero {}]", affine.scale, affine.zero_point),
                Element::Int16 => format!("{name}[{h}x{w}x{c} int16 scale {:.3e}]", affine.scale),
                Element::Token => format!("{name}[{h} tokens]"),
            }
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

/// What a tensor holds, by name.
mod element {
    use limbeck_runtime::Element;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    const NAMES: [(Element, &str); 3] = [(Element::Int8, "int8"), (Element::Int16, "int16"), (Element::Token, "token")];

    pub(super) fn serialize<S: Serializer>(element: &Element, serializer: S) -> Result<S::Ok, S::Error> {
        NAMES.iter().find(|(e, _)| e == element).map(|(_, name)| *name).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Element, D::Error> {
        let found = String::deserialize(deserializer)?;
        let known = NAMES.iter().find(|(_, name)| *name == found).map(|(element, _)| *element);
        known.ok_or_else(|| D::Error::unknown_variant(&found, &["int8", "int16", "token"]))
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

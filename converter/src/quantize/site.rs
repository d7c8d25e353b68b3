//! What the int8 half of an operator sees of the graph around it, and helpers to lower a node from there.

use super::error::QuantizeError;
use super::graph::{Clamp, QuantOp};
use super::scheme::{Affine, Weights};
use crate::graph::{Graph, Node, Tensor, Unary};
use limbeck_runtime::Element;

/// A node to be lowered, with the mappings around it.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The float graph, for one sample.
    pub graph: &'a Graph,
    /// The node.
    pub node: &'a Node,
    /// Mappings of the computed inputs that its int8 form reads.
    pub inputs: &'a [Affine],
    /// Mapping of what it makes, after the functions of `then`.
    pub output: Affine,
    /// What that holds.
    pub element: Element,
    /// Functions of one value applied to the result.
    pub then: &'a [Unary],
}

/// The int8 form of a node: the operator, and which of the computed inputs it reads, in its order.
pub type Lowered = Result<QuantOp, QuantizeError>;

impl<'a> Site<'a> {
    /// Shape of input number `i` of the node.
    pub fn shape(&self, i: usize) -> &'a [usize] {
        self.node.inputs.get(i).map_or(&[], |&id| self.graph.shape(id))
    }

    /// Shape of what the node makes.
    pub fn output_shape(&self) -> &'a [usize] {
        self.graph.shape(self.node.output)
    }

    /// The parameter that is input number `i`, if it is one.
    pub fn param(&self, i: usize) -> Option<&'a Tensor> {
        self.graph.param(*self.node.inputs.get(i)?).map(|t| &**t)
    }

    /// The parameter that is input number `i`.
    ///
    /// # Errors
    /// If that is computed: int8 weights are made beforehand.
    pub fn need_param(&self, i: usize, what: &str) -> Result<&'a Tensor, QuantizeError> {
        self.param(i).ok_or_else(|| {
            self.unsupported(
                format!("its {what} is computed while the graph runs"),
                "make it a constant, or use Mul or Add of two tensors instead",
            )
        })
    }

    /// The mapping of the first computed input.
    pub fn input(&self) -> Affine {
        self.inputs.first().copied().unwrap_or(self.output)
    }

    /// The clamp that the functions after the node amount to.
    pub fn clamp(&self) -> Clamp {
        let (mut lo, mut hi) = (f32::NEG_INFINITY, f32::INFINITY);
        for (min, max) in self.then.iter().filter_map(|f| f.as_clamp()) {
            (lo, hi) = (lo.max(min).min(max), hi.min(max).max(min));
        }
        Clamp { lo: self.output.quantize(lo), hi: self.output.quantize(hi) }
    }

    /// Rows of weights with a bias for each, in int8.
    pub fn weights(&self, rows: &[f32], bias: &[f32]) -> Weights {
        Weights::quantize(rows, bias, self.input(), self.output)
    }

    /// The table of `f` followed by the functions after the node.
    pub fn table(&self, f: impl Fn(f32) -> f32) -> QuantOp {
        let mut table = Box::new([0i8; 256]);
        for q in i8::MIN..=i8::MAX {
            let y = self.then.iter().fold(f(self.input().dequantize(q)), |y, g| g.apply(y));
            table[usize::from(q as u8)] = self.output.quantize(y);
        }
        QuantOp::Lut { table }
    }

    /// An error that names the node.
    pub fn unsupported(&self, problem: impl Into<String>, remedy: &'static str) -> QuantizeError {
        QuantizeError::Unsupported {
            node: self.node.name.clone(),
            op: self.node.op.name(),
            problem: problem.into(),
            remedy,
        }
    }
}

/// `[rows, columns, channels]` of a value with a batch of one; `None` if the batch is another or there are more axes.
pub(super) fn image_shape(shape: &[usize]) -> Option<[usize; 3]> {
    match *shape {
        [1, n] => Some([1, 1, n]),
        [1, rows, n] => Some([1, rows, n]),
        [1, h, w, c] => Some([h, w, c]),
        _ => None,
    }
}

/// The same of a value with rows for the tokens of a text, or of the tokens themselves.
pub(super) fn sequence_shape(shape: &[usize]) -> Option<[usize; 3]> {
    match *shape {
        [1, rows] => Some([rows, 1, 1]),
        [1, rows, n] => Some([rows, 1, n]),
        _ => None,
    }
}

/// Which axis of `[rows, columns, channels]` is axis `axis` of a value of rank `rank`; `None` for the batch.
pub fn image_axis(axis: usize, rank: usize) -> Option<usize> {
    (axis > 0 && axis < rank && rank <= 4).then(|| axis + 3 - rank)
}

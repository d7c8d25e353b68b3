//! What every operator gives the executor: forward, the gradients of its inputs and those of its parameters.
//!
//! A layer works on `items`: the graph's tensors with a first axis of one (or, in a graph that mixes its batch, the
//! whole tensors, as one item). Its buffers hold `n` items one after another. Stored operands (weights, constants) are
//! handed over by [`Layer::prepare`] whenever they change, in whatever order the layer's kernels like to read.

use super::buffer::Buffer;
use super::gemm::{Packed, Store};
use super::tokens::{Items, Unit};
use super::{ExecError, conv, depthwise, eltwise, layout, linear, matmul, norm, pool, rows, softmax, text};
use crate::graph::{Graph, Node, Op, ValueId};

/// Where the items (or, of texts, their tokens) of a computed value are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// Which buffer.
    pub(super) slot: usize,
    /// Whether `len` is for an item or for a token.
    pub(super) unit: Unit,
    /// Values in one of them.
    pub(super) len: usize,
    /// Whether the buffer holds only the items at hand.
    pub(super) local: bool,
}

impl Place {
    /// Where the values of some items are.
    pub(super) fn range(self, items: Items<'_>) -> std::ops::Range<usize> {
        let (first, n) = items.count(self.unit);
        let first = if self.local { 0 } else { first };
        first * self.len..(first + n) * self.len
    }
}

/// The computed operands of a layer for the items at hand.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) buffers: &'a [Buffer],
    /// One for each operand; `None` if it is stored.
    pub(super) places: &'a [Option<Place>],
    /// Which items.
    pub(super) items: Items<'a>,
}

impl<'a> Inputs<'a> {
    /// The items of a computed operand; nothing if it is stored or absent.
    pub(super) fn get(&self, operand: usize) -> &'a [f32] {
        match self.places.get(operand) {
            Some(&Some(place)) => &self.buffers[place.slot][place.range(self.items)],
            _ => &[],
        }
    }

    /// One item of an operand; of a stored one `stored`, which is the same for all items.
    pub(super) fn item(&self, operand: usize, item: usize, stored: &'a [f32]) -> &'a [f32] {
        match self.places.get(operand) {
            Some(&Some(Place { len, .. })) => &self.get(operand)[item * len..][..len],
            _ => stored,
        }
    }
}

/// Everything known when gradients are computed.
#[derive(Clone, Copy)]
pub(super) struct Point<'a> {
    /// Number of items, or of tokens if that is what the output has one of.
    pub(super) n: usize,
    /// What the layer read.
    pub(super) x: Inputs<'a>,
    /// What it made.
    pub(super) y: &'a [f32],
    /// Gradient of the loss by `y`.
    pub(super) dy: &'a [f32],
}

/// Working memory of one thread, kept between layers so that none allocates.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) image: Buffer,
    pub(super) packed: Packed,
    pub(super) scores: Buffer,
}

/// An operator ready to run.
pub(super) trait Layer: Send + Sync {
    /// Takes over the present values of a stored operand.
    fn prepare(&mut self, operand: usize, values: &[f32]) {
        let _ = (operand, values);
    }

    /// Computes `n` items (or tokens, see [`Point::n`]) of the output, all of whose elements it writes.
    fn forward(&self, n: usize, x: Inputs<'_>, y: &mut [f32], scratch: &mut Scratch);

    /// The gradient by a computed operand, put or added to `dx`.
    fn input_grad(&self, operand: usize, at: Point<'_>, dx: &mut [f32], store: Store, scratch: &mut Scratch);

    /// Whether [`Layer::param_grad`] adds to a few places of large tensors, so that all parts of a batch had better do so to
    /// one tensor, one after another.
    fn scatters(&self) -> bool {
        false
    }

    /// Shows the rows of a stored operand that [`Layer::param_grad`] adds to, if it [scatters](Layer::scatters).
    fn touches(&self, operand: usize, x: Inputs<'_>, touch: &mut dyn FnMut(usize)) {
        let _ = (operand, x, touch);
    }

    /// Adds the gradient by a stored operand, summed over the items, to `dw`.
    fn param_grad(&self, operand: usize, at: Point<'_>, dw: &mut [f32], scratch: &mut Scratch) {
        let _ = (operand, at, dw, scratch);
    }
}

/// The shapes of a node's operands and output, of one item each, and which operands are stored.
pub(super) struct Site<'a> {
    pub(super) node: &'a Node,
    pub(super) graph: &'a Graph,
}

impl Site<'_> {
    pub(super) fn shape(&self, operand: usize) -> &[usize] {
        self.graph.shape(self.node.inputs[operand])
    }

    pub(super) fn output(&self) -> &[usize] {
        self.graph.shape(self.node.output)
    }

    pub(super) fn stored(&self, operand: usize) -> bool {
        self.node.inputs.get(operand).is_some_and(|&id| self.graph.param(id).is_some())
    }

    /// An image's sizes; a tensor of less than four axes counts as one of a single row.
    pub(super) fn image(&self, id: ValueId) -> [usize; 4] {
        let mut sizes = [1; 4];
        let shape = self.graph.shape(id);
        for (size, &given) in sizes.iter_mut().rev().zip(shape.iter().rev()) {
            *size = given;
        }
        sizes
    }

    pub(super) fn unsupported(&self, problem: impl Into<String>) -> ExecError {
        ExecError::Unsupported { node: self.node.name.clone(), op: self.node.op.name(), problem: problem.into() }
    }
}

/// The layer of a node.
pub(super) fn build(site: &Site<'_>) -> Result<Box<dyn Layer>, ExecError> {
    let weights_stored = |from: usize| {
        let found = (from..site.node.inputs.len()).find(|&operand| !site.stored(operand));
        found.map_or(Ok(()), |operand| Err(site.unsupported(format!("operand {operand} must be stored, not computed"))))
    };
    Ok(match &site.node.op {
        Op::Conv2d { window, groups } => {
            weights_stored(1)?;
            if *groups > 1 && *groups == site.image(site.node.inputs[0])[3] {
                Box::new(depthwise::Depthwise::new(site, *window))
            } else {
                Box::new(conv::Conv::new(site, *window, *groups))
            }
        }
        Op::Linear => {
            weights_stored(1)?;
            Box::new(linear::Linear::new(site))
        }
        Op::BatchNorm { eps } => {
            weights_stored(1)?;
            Box::new(norm::Affine::new(site, *eps))
        }
        Op::Embedding => {
            weights_stored(1)?;
            if site.stored(0) {
                return Err(site.unsupported("the ids that it looks up must be given at each run"));
            }
            Box::new(text::Embedding::new(site))
        }
        Op::LayerNorm { eps } => {
            weights_stored(1)?;
            Box::new(rows::RowNorm::layer_norm(site, *eps))
        }
        Op::Normalize => Box::new(rows::RowNorm::to_length(site)),
        Op::Attention { heads } => Box::new(text::Attention::new(site, *heads)),
        Op::Pick(which) => Box::new(text::Pick::new(site, *which)),
        Op::MatMul => Box::new(matmul::MatMul::new(site)),
        Op::Unary(function) => Box::new(eltwise::Map(*function)),
        Op::Add => Box::new(eltwise::Binary::new(site, eltwise::Sign::Add)),
        Op::Mul => Box::new(eltwise::Binary::new(site, eltwise::Sign::Mul)),
        Op::MaxPool(window) => Box::new(pool::MaxPool::new(site, *window)),
        Op::AvgPool { window, count_pad } => Box::new(pool::AvgPool::new(site, *window, *count_pad)),
        Op::GlobalAvgPool => Box::new(pool::GlobalAvgPool::new(site)),
        Op::Softmax { axis } => Box::new(softmax::Softmax::new(site, *axis)),
        Op::Concat { axis } => Box::new(layout::Layout::concat(site, *axis)),
        Op::Pad { pads, value } => Box::new(layout::Layout::pad(site, pads, *value)),
        Op::Slice { axis, start, step, .. } => Box::new(layout::Layout::slice(site, *axis, *start, *step)),
        Op::Reshape(_) => Box::new(layout::Layout::reshape(site)),
        Op::Transpose(perm) => Box::new(layout::Layout::transpose(site, perm)),
    })
}

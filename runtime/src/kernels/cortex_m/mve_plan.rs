//! What a planner must know of the table for Helium: the order of its weights and its working memory, on every host.

use super::super::{Layout, Order, Scratch, scalar};
use crate::ops::{Conv2d, Depthwise};

/// Sixteen products, a vector, of each of two output channels.
pub(in super::super) const MVE_LAYOUT: Layout = Layout { n: 2, k: 16, order: Order::KMinor, input_offset: 0 };

/// Working memory of the table.
pub(in super::super) const MVE_SCRATCH: Scratch = Scratch {
    conv2d: |op| ConvPlan::of(op).bytes(),
    linear: |op| ConvPlan::of(&op.as_conv2d()).bytes(),
    depthwise: |op| DepthwisePlan::of(op).bytes(),
    ..scalar::SCRATCH
};

/// Output pixels that are computed together: with two channels, their sums fill the eight registers that can hold one.
pub(super) const TILE: usize = 4;

/// Bytes of a vector, and products in a group.
pub(super) const VECTOR: usize = 16;

/// Words of two prepared output channels.
pub(super) const PAIR_WORDS: usize = 8;

/// The parts of a convolution's scratch, in their order.
#[derive(Clone, Copy)]
pub(super) struct ConvPlan {
    /// Pixels in a tile: one where there is only one.
    pub(super) pixels: usize,
    /// Groups of the column of a pixel: all values that it sees.
    pub(super) groups: usize,
    /// Pairs of output channels, the last perhaps with one of padding.
    pub(super) pairs: usize,
    /// Bytes for what is put together: a kernel row of padding, and one for each pixel of a tile or a line of the image for all.
    pub(super) rows: usize,
}

impl ConvPlan {
    pub(super) const fn of(op: &Conv2d<'_>) -> Self {
        let row = MVE_LAYOUT.padded_row(op.row_len());
        let pixels = if op.output.pixels() == 1 { 1 } else { TILE };
        let rows = row.saturating_mul(pixels);
        let line = op.window.stride[1].saturating_mul(pixels - 1).saturating_mul(op.input.channels).saturating_add(row);
        ConvPlan {
            pixels,
            groups: (row / VECTOR).saturating_mul(op.window.kernel[0]),
            pairs: op.output.channels.div_ceil(2),
            // A window of one tap is never outside.
            rows: if op.window.taps() == 1 { 0 } else { row.saturating_add(if rows > line { rows } else { line }) },
        }
    }

    /// Bytes of the columns of a tile.
    pub(super) const fn columns(self) -> usize {
        self.groups.saturating_mul(self.pixels * VECTOR)
    }

    /// Words of the prepared channels.
    pub(super) const fn records(self) -> usize {
        self.pairs.saturating_mul(PAIR_WORDS)
    }

    const fn bytes(self) -> usize {
        self.columns().saturating_add(self.rows).saturating_add(self.records().saturating_mul(4))
    }
}

/// Words of sixteen prepared channels of a depthwise convolution: bias, left shift, multiplier, right shift.
pub(super) const BLOCK_WORDS: usize = 4 * VECTOR;

/// The parts of a depthwise convolution's scratch, in their order. None where it is left to scalar's: where channels share an input.
#[derive(Clone, Copy)]
pub(super) struct DepthwisePlan {
    /// Blocks of sixteen channels; the last shares some with the one before it, or is shorter where it is the only one.
    pub(super) blocks: usize,
    /// Taps of the window.
    pub(super) taps: usize,
    /// Bytes of a pixel of padding.
    pub(super) pixel: usize,
}

impl DepthwisePlan {
    pub(super) const fn of(op: &Depthwise<'_>) -> Self {
        let channels = if op.multiplicity() == 1 { op.output.channels } else { 0 };
        DepthwisePlan {
            blocks: channels.div_ceil(VECTOR),
            taps: op.window.taps(),
            pixel: channels.div_ceil(4).saturating_mul(4),
        }
    }

    /// Words of the prepared channels.
    pub(super) const fn records(self) -> usize {
        self.blocks.saturating_mul(BLOCK_WORDS)
    }

    /// Words of two lists of taps: one for pixels whose window is inside the image, one for the pixel at hand.
    pub(super) const fn lists(self) -> usize {
        if self.blocks == 0 { 0 } else { self.taps.saturating_mul(2) }
    }

    const fn bytes(self) -> usize {
        self.records().saturating_add(self.lists()).saturating_mul(4).saturating_add(self.pixel)
    }
}

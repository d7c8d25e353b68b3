//! What a planner must know of the table for cores without the DSP extension: the order of its weights and its working memory.

use super::super::{Layout, Order, Scratch, scalar};
use crate::ops::Conv2d;

/// Two products of one output channel.
pub(in super::super) const THUMB_LAYOUT: Layout = Layout { n: 1, k: 2, order: Order::KMinor, input_offset: 0 };

/// Working memory of the table.
pub(in super::super) const THUMB_SCRATCH: Scratch = Scratch {
    conv2d: |op| ThumbPlan::of(op).bytes(),
    linear: |op| ThumbPlan::of(&op.as_conv2d()).bytes(),
    ..scalar::SCRATCH
};

/// Output pixels that are computed together: three pairs, each with two registers for its sums.
pub(super) const TILE: usize = 6;

/// The parts of a convolution's scratch, in their order.
#[derive(Clone, Copy)]
pub(super) struct ThumbPlan {
    /// Groups of two products of an output channel.
    pub(super) groups: usize,
    /// Bytes for kernel rows that are put together: one of padding and one for each pixel of a tile.
    pub(super) rows: usize,
}

impl ThumbPlan {
    pub(super) const fn of(op: &Conv2d<'_>) -> Self {
        let row = THUMB_LAYOUT.padded_row(op.row_len());
        ThumbPlan {
            groups: (row / 2).saturating_mul(op.window.kernel[0]),
            // A window of one tap is never outside.
            rows: if op.window.taps() == 1 { 0 } else { row.saturating_mul(1 + TILE) },
        }
    }

    /// Words of the columns of a tile: one for each product of two pixels.
    pub(super) const fn columns(self) -> usize {
        self.groups.saturating_mul(TILE)
    }

    const fn bytes(self) -> usize {
        self.columns().saturating_mul(4).saturating_add(self.rows)
    }
}

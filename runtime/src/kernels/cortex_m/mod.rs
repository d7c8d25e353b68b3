//! Tables for Cortex-M; what the planner must know of them is here, compiled on every host.

#[cfg(all(target_arch = "arm", target_os = "none", feature = "isa-dsp"))]
pub(super) mod dsp;
#[cfg(all(target_arch = "arm", target_os = "none", feature = "isa-mve"))]
pub(super) mod mve;
mod mve_plan;
#[cfg(all(target_arch = "arm", target_os = "none", feature = "isa-thumb"))]
pub(super) mod thumb;
mod thumb_plan;

pub(super) use mve_plan::{MVE_LAYOUT, MVE_SCRATCH};
pub(super) use thumb_plan::{THUMB_LAYOUT, THUMB_SCRATCH};

use super::{Layout, Order, Scratch};
use crate::ops::{Attention, Conv2d, Depthwise};

/// Weights for the DSP extension: a 16-bit number holds the weights of two output channels.
pub(super) const DSP_LAYOUT: Layout = Layout { n: 2, k: 4, order: Order::Halves, input_offset: 0 };

/// Working memory of the DSP table.
pub(super) const DSP_SCRATCH: Scratch = Scratch {
    conv2d: |op| ConvScratch::of(op).bytes(),
    depthwise: |op| DepthwiseScratch::of(op).map_or(0, |parts| parts.words().saturating_mul(4)),
    linear: |op| ConvScratch::of(&op.as_conv2d()).bytes(),
    attention: |op| match AttentionScratch::of(op) {
        Some(parts) => parts.words().saturating_mul(4),
        None => (super::scalar::SCRATCH.attention)(op),
    },
};

/// Output pixels that the DSP table computes together: with two channels, the sums of three fill the registers.
const TILE: usize = 3;

/// Words of a prepared output channel: bias, multiplier, addend, shift.
const CHANNEL_WORDS: usize = 4;

/// Channels that a depthwise convolution of the DSP table computes together.
const QUAD: usize = 4;

/// The parts of a depthwise convolution's scratch, in words and in their order: prepared channels, weights and
/// lines of four channels, and sums.
#[derive(Clone, Copy)]
struct DepthwiseScratch {
    /// Words that hold the prepared channels.
    channels: usize,
    /// Kernel rows, and rows of the ring.
    rows: usize,
    /// Pairs of taps of a kernel row, one more than needed where outputs begin at odd places too.
    groups: usize,
    /// Forms of a pair: for outputs at even places and, with stride 1, for those at odd ones.
    forms: usize,
    /// Words of a channel's line.
    line: usize,
    /// Words of the sums of a row of outputs.
    sums: usize,
}

impl DepthwiseScratch {
    /// Nothing where the DSP table leaves it to scalar's: fewer than four channels, inputs shared, taps apart, strides above 2.
    const fn of(op: &Depthwise<'_>) -> Option<Self> {
        let ([rows, taps], [_, stride]) = (op.window.kernel, op.window.stride);
        let dense = op.window.dilation[0] == 1 && op.window.dilation[1] == 1;
        if op.multiplicity() != 1 || op.output.channels < QUAD || !dense || stride > 2 || rows == 0 || stride == 0 {
            return None;
        }
        let (groups, forms) = (taps / 2 + 1, 3 - stride);
        // Outputs come in fours; those that are not there are computed all the same.
        let fours = op.output.width.div_ceil(4);
        let line = fours.saturating_mul(2 * stride).saturating_add(groups + stride);
        Some(DepthwiseScratch {
            channels: QUAD * CHANNEL_WORDS,
            rows,
            groups,
            forms,
            line,
            sums: fours.saturating_mul(4),
        })
    }

    /// Words of the weights of a channel: all kernel rows, then all but the last again.
    const fn weights(self) -> usize {
        (2 * self.rows - 1).saturating_mul(self.groups * self.forms)
    }

    const fn words(self) -> usize {
        let ring = self.rows.saturating_mul(self.line);
        let quad = QUAD.saturating_mul(self.weights().saturating_add(ring));
        self.channels.saturating_add(quad).saturating_add(self.sums)
    }
}

/// The parts of a convolution's scratch, in their order.
#[derive(Clone, Copy)]
struct ConvScratch {
    /// Words that hold the prepared output channels.
    channels: usize,
    /// Words of the column of a pixel: all values that it sees, two to a word.
    column: usize,
    /// Pixels in a tile.
    pixels: usize,
    /// Bytes of kernel rows: one of padding where channels come in fours, else one for each pixel, put together value by value.
    rows: usize,
}

impl ConvScratch {
    const fn of(op: &Conv2d<'_>) -> Self {
        let row = DSP_LAYOUT.padded_row(op.row_len());
        ConvScratch {
            channels: DSP_LAYOUT.padded_channels(op.output.channels).saturating_mul(CHANNEL_WORDS),
            column: (row / 2).saturating_mul(op.window.kernel[0]),
            pixels: if op.output.pixels() < TILE { 1 } else { TILE },
            rows: if op.input.channels.is_multiple_of(4) { row } else { row.saturating_mul(TILE) },
        }
    }

    const fn columns(self) -> usize {
        self.column.saturating_mul(self.pixels)
    }

    const fn bytes(self) -> usize {
        self.channels.saturating_add(self.columns()).saturating_mul(4).saturating_add(self.rows)
    }
}

/// Rows of queries that the DSP table computes together.
const QUERIES: usize = 4;

/// The parts of an attention's scratch, in words and in their order.
#[derive(Clone, Copy)]
struct AttentionScratch {
    /// Words of the queries, two channels to a word.
    queries: usize,
    /// Words of the scores.
    scores: usize,
    /// Words of four channels of the values, two rows to a word.
    values: usize,
}

impl AttentionScratch {
    /// Nothing where the DSP table leaves it to scalar's: where the channels of a head do not come in fours.
    const fn of(op: &Attention) -> Option<Self> {
        if op.size == 0 || !op.size.is_multiple_of(4) || op.rows == 0 {
            return None;
        }
        Some(AttentionScratch {
            queries: op.size.saturating_mul(QUERIES / 2),
            scores: op.rows.saturating_mul(QUERIES),
            values: op.rows.div_ceil(2).saturating_mul(4),
        })
    }

    const fn words(self) -> usize {
        self.queries.saturating_add(self.scores).saturating_add(self.values)
    }
}

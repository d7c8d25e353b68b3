//! Tables for Cortex-M; what the planner must know of them is here, compiled on every host.

#[cfg(all(target_arch = "arm", target_os = "none", feature = "isa-dsp"))]
pub(super) mod dsp;

use super::{Layout, Order, Scratch};
use crate::ops::{Conv2d, Depthwise};

/// Weights for the DSP extension: a 16-bit number holds the weights of two output channels.
pub(super) const DSP_LAYOUT: Layout = Layout { n: 2, k: 4, order: Order::Halves, input_offset: 0 };

/// Working memory of the DSP table.
pub(super) const DSP_SCRATCH: Scratch = Scratch {
    conv2d: |op| ConvScratch::of(op).bytes(),
    depthwise: |op| depthwise_words(op).saturating_mul(4),
    linear: |op| ConvScratch::of(&op.as_conv2d()).bytes(),
    ..super::scalar::SCRATCH
};

/// Output pixels that the DSP table computes together: with two channels, the sums of three fill the registers.
const TILE: usize = 3;

/// Words of a prepared output channel: bias, multiplier, addend, shift.
const CHANNEL_WORDS: usize = 4;

/// Words of scratch of a depthwise convolution: its prepared channels. None where the DSP table leaves it to scalar's: where channels
/// do not come in fours, or share an input.
const fn depthwise_words(op: &Depthwise<'_>) -> usize {
    let channels = op.output.channels;
    if op.multiplicity() == 1 && channels.is_multiple_of(4) { channels.saturating_mul(CHANNEL_WORDS) } else { 0 }
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

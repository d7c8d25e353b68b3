//! Depthwise convolution: sixteen channels of four pixels at a time, tap by tap.

use core::arch::x86_64::*;

use super::requantize::{Range, Rescale, Wide, eight, load, store, widen};
use crate::kernels::band::Band;
use crate::kernels::x86_64::fill::{Image, fill};
use crate::ops::Depthwise;

/// Channels at a time.
const BLOCK: usize = 16;

/// Pixels at a time.
const PIXELS: usize = 4;

/// See [`crate::Kernels::depthwise`].
pub(super) fn depthwise(op: &Depthwise<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let band = Band::of_depthwise(op);
    if !op.fits(input, output) || output.is_empty() || scratch.len() < band.bytes(1) {
        return;
    }
    // SAFETY: the table is given out only if the CPU has the features (`available`).
    unsafe { multiply(op, &band, input, output, scratch) }
}

#[target_feature(enable = "avx2")]
fn multiply(op: &Depthwise<'_>, band: &Band, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let image = Image { values: input, shape: op.input, pad: op.window.pad, zero: op.input_zero };
    let channels = op.output.channels;
    let row = op.output.width * channels;
    for (i, output) in output.chunks_mut(band.outputs * row).enumerate() {
        fill(band, &image, i * band.outputs, scratch, |v| v as u8);
        for channel in (0..channels).step_by(BLOCK) {
            let block = Block::new(op, channel);
            for (y, row) in output.chunks_exact_mut(row).enumerate() {
                for (x, pixels) in row.chunks_mut(PIXELS * channels).enumerate() {
                    block.pixels(band, scratch, [y, x * PIXELS], pixels);
                }
            }
        }
    }
}

/// Sixteen channels and what requantizes them.
struct Block<'a> {
    op: &'a Depthwise<'a>,
    channel: usize,
    /// Number of channels that exist.
    len: usize,
    bias: Wide,
    rescale: Rescale,
    range: Range,
}

impl<'a> Block<'a> {
    #[target_feature(enable = "avx2")]
    fn new(op: &'a Depthwise<'a>, channel: usize) -> Self {
        let len = BLOCK.min(op.output.channels - channel);
        let mut bias = [0; BLOCK];
        bias[..len].copy_from_slice(&op.channels.bias[channel..][..len]);
        let bias = [eight(&bias[..8]), eight(&bias[8..])];
        Block {
            op,
            channel,
            len,
            bias,
            rescale: Rescale::load(&op.channels, channel, len),
            range: Range::new(op.range),
        }
    }

    /// Up to four neighbouring pixels from output pixel `[y, x]` of the band on.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn pixels(&self, band: &Band, scratch: &[u8], [y, x]: [usize; 2], output: &mut [i8]) {
        let Block { op, channel, len, .. } = *self;
        let channels = op.output.channels;
        let [rows, columns] = op.window.kernel;
        let last = output.len() / channels - 1;
        let mut starts = [0; PIXELS];
        for (i, start) in starts.iter_mut().enumerate() {
            let x = x + i.min(last);
            *start = (y * band.step[0] * band.columns + x * band.step[1]) * channels + channel;
        }
        // Each weight is paired with 0: the upper half of a value, which is its sign, must not count.
        let low = _mm256_set1_epi32(0xffff);
        let mut sums = [self.bias; PIXELS];
        for tap in 0..rows * columns {
            let [ky, kx] = [tap / columns, tap % columns];
            let weights = widen(load(&op.weights[tap * channels + channel..][..len]));
            let weights = [_mm256_and_si256(weights[0], low), _mm256_and_si256(weights[1], low)];
            let at = (ky * op.window.dilation[0] * band.columns + kx * op.window.dilation[1]) * channels;
            for (sum, start) in sums.iter_mut().zip(starts) {
                let values = widen(load(&scratch[start + at..][..BLOCK]));
                for ((sum, value), weight) in sum.iter_mut().zip(values).zip(weights) {
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(value, weight));
                }
            }
        }
        for (pixel, sum) in output.chunks_exact_mut(channels).zip(sums) {
            store(&mut pixel[channel..][..len], self.range.pack(self.rescale.apply(sum)));
        }
    }
}

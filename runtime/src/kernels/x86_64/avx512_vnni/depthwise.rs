//! Depthwise convolution: sixteen channels of eight pixels at a time, tap by tap.

use core::arch::x86_64::*;

use super::requantize::{Range, Rescale, first, parts};
use crate::kernels::band::Band;
use crate::kernels::x86_64::fill::{Image, fill};
use crate::ops::Depthwise;

/// Channels at a time.
const BLOCK: usize = 16;

/// Pixels at a time.
const PIXELS: usize = 8;

/// See [`crate::Kernels::depthwise`].
pub(super) fn depthwise(op: &Depthwise<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let band = Band::of_depthwise(op);
    if !op.fits(input, output) || output.is_empty() || scratch.len() < band.bytes(1) {
        return;
    }
    // SAFETY: the table is given out only if the CPU has the features (`available`).
    unsafe { multiply(op, &band, input, output, scratch) }
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
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
    /// The channels that exist.
    mask: __mmask16,
    bias: __m512i,
    rescale: Rescale,
    range: Range,
}

impl<'a> Block<'a> {
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    fn new(op: &'a Depthwise<'a>, channel: usize) -> Self {
        let n = BLOCK.min(op.output.channels - channel);
        let mask = first(n);
        let bias = &op.channels.bias[channel..][..n];
        // SAFETY: the mask has the length of the slice.
        let bias = unsafe { _mm512_maskz_loadu_epi32(mask, bias.as_ptr()) };
        Block { op, channel, mask, bias, rescale: Rescale::load(&op.channels, channel, n), range: Range::new(op.range) }
    }

    /// Up to eight neighbouring pixels from output pixel `[y, x]` of the band on.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    fn pixels(&self, band: &Band, scratch: &[u8], [y, x]: [usize; 2], output: &mut [i8]) {
        let Block { op, channel, mask, .. } = *self;
        let channels = op.output.channels;
        let [rows, columns] = op.window.kernel;
        let last = output.len() / channels - 1;
        let mut starts = [0; PIXELS];
        for (i, start) in starts.iter_mut().enumerate() {
            let x = x + i.min(last);
            *start = (y * band.step[0] * band.columns + x * band.step[1]) * channels + channel;
        }
        let mut sums = [self.bias; PIXELS];
        for tap in 0..rows * columns {
            let [ky, kx] = [tap / columns, tap % columns];
            let weights = &op.weights[tap * channels + channel..][..BLOCK.min(channels - channel)];
            // SAFETY: the mask has the length of the slice.
            let weights = _mm512_cvtepi8_epi32(unsafe { _mm_maskz_loadu_epi8(mask, weights.as_ptr()) });
            // Each weight paired with 0: the upper half of a value, which is its sign, must not count.
            let weights = _mm512_and_si512(weights, _mm512_set1_epi32(0xffff));
            let at = (ky * op.window.dilation[0] * band.columns + kx * op.window.dilation[1]) * channels;
            for (sum, start) in sums.iter_mut().zip(starts) {
                let values = &scratch[start + at..][..BLOCK];
                // SAFETY: the slice has sixteen values.
                let values = _mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(values.as_ptr().cast()) });
                *sum = _mm512_dpwssd_epi32(*sum, values, weights);
            }
        }
        for (four, output) in output.chunks_mut(4 * channels).enumerate() {
            let mut values = [_mm512_setzero_si512(); 4];
            for (value, &sum) in values.iter_mut().zip(&sums[four * 4..]) {
                *value = self.rescale.apply(self.rescale.shift_left(sum));
            }
            let bytes = parts(self.range.pack(values));
            for (pixel, part) in output.chunks_exact_mut(channels).zip(bytes) {
                // SAFETY: the mask ends with the pixel's channels.
                unsafe { _mm_mask_storeu_epi8(pixel.as_mut_ptr().add(channel), mask, part) };
            }
        }
    }
}

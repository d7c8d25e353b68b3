//! Depthwise convolution: sixteen channels of eight pixels at a time, tap by tap.

use core::arch::x86_64::*;

use super::requantize::{Range, Rescale, first, parts};
use crate::kernels::band::Band;
use crate::kernels::fill::Bands;
use crate::kernels::sweep::Pixels;
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
    let bands = Bands::of_depthwise(op, band, BLOCK, input);
    bands.each(
        scratch,
        output,
        |v| [v as u8],
        |pixels, values, output| {
            for channel in (0..op.output.channels).step_by(BLOCK) {
                Block::new(op, band, channel).sweep(pixels, values, output);
            }
        },
    );
}

/// Sixteen channels and what requantizes them.
struct Block<'a> {
    op: &'a Depthwise<'a>,
    band: &'a Band,
    channel: usize,
    /// The channels that exist.
    mask: __mmask16,
    bias: __m512i,
    rescale: Rescale,
    range: Range,
}

impl<'a> Block<'a> {
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    fn new(op: &'a Depthwise<'a>, band: &'a Band, channel: usize) -> Self {
        let n = BLOCK.min(op.output.channels - channel);
        let mask = first(n);
        let bias = &op.channels.bias[channel..][..n];
        // SAFETY: the mask has the length of the slice.
        let bias = unsafe { _mm512_maskz_loadu_epi32(mask, bias.as_ptr()) };
        Block {
            op,
            band,
            channel,
            mask,
            bias,
            rescale: Rescale::load(&op.channels, channel, n),
            range: Range::new(op.range),
        }
    }

    /// These channels of all pixels of a band.
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    fn sweep(&self, mut pixels: Pixels, scratch: &[u8], output: &mut [i8]) {
        let channels = self.op.output.channels;
        for output in output.chunks_mut(PIXELS * channels) {
            let starts = pixels.next(output.len() / channels).map(|at| scratch[at + self.channel..].as_ptr());
            // SAFETY: `Pixels::new` found that each offset has all taps of all channels and sixteen bytes more after it.
            let sums = unsafe { self.sums(&starts) };
            for (output, sums) in output.chunks_mut(4 * channels).zip(sums.chunks_exact(4)) {
                let mut values = [_mm512_setzero_si512(); 4];
                for (value, &sum) in values.iter_mut().zip(sums) {
                    *value = self.rescale.apply(self.rescale.shift_left(sum));
                }
                let bytes = parts(self.range.pack(values));
                for (pixel, part) in output.chunks_exact_mut(channels).zip(bytes) {
                    let pixel = &mut pixel[self.channel..];
                    // SAFETY: the mask ends with the pixel's channels.
                    unsafe { _mm_mask_storeu_epi8(pixel.as_mut_ptr(), self.mask, part) };
                }
            }
        }
    }

    /// Biases plus all products.
    ///
    /// # Safety
    ///
    /// From each of `starts` all taps must be readable, sixteen bytes each.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    unsafe fn sums(&self, starts: &[*const u8; PIXELS]) -> [__m512i; PIXELS] {
        let Block { op, band, channel, mask, .. } = *self;
        let channels = op.output.channels;
        let mut weights = op.weights.chunks_exact(channels);
        let mut sums = [self.bias; PIXELS];
        for ky in 0..op.window.kernel[0] {
            for (kx, weights) in weights.by_ref().take(op.window.kernel[1]).enumerate() {
                let weights = &weights[channel..];
                // SAFETY: the mask ends with the channels.
                let weights = _mm512_cvtepi8_epi32(unsafe { _mm_maskz_loadu_epi8(mask, weights.as_ptr()) });
                // Each weight is paired with 0: the upper half of a value, which is its sign, must not count.
                let weights = _mm512_and_si512(weights, _mm512_set1_epi32(0xffff));
                let at = (ky * op.window.dilation[0] * band.columns + kx * op.window.dilation[1]) * channels;
                for (sum, &start) in sums.iter_mut().zip(starts) {
                    // SAFETY: the caller's promise.
                    let values = _mm512_cvtepi8_epi32(unsafe { _mm_loadu_si128(start.add(at).cast()) });
                    *sum = _mm512_dpwssd_epi32(*sum, values, weights);
                }
            }
        }
        sums
    }
}

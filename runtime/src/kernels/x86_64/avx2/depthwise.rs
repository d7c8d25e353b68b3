//! Depthwise convolution: sixteen channels of four pixels at a time, tap by tap.

use core::arch::x86_64::*;

use super::requantize::{Range, Rescale, Wide, eight, load, store, widen};
use crate::kernels::band::Band;
use crate::kernels::fill::Bands;
use crate::kernels::sweep::Pixels;
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
    /// Number of channels that exist.
    len: usize,
    bias: Wide,
    rescale: Rescale,
    range: Range,
}

impl<'a> Block<'a> {
    #[target_feature(enable = "avx2")]
    fn new(op: &'a Depthwise<'a>, band: &'a Band, channel: usize) -> Self {
        let len = BLOCK.min(op.output.channels - channel);
        let mut bias = [0; BLOCK];
        bias[..len].copy_from_slice(&op.channels.bias[channel..][..len]);
        let bias = [eight(&bias[..8]), eight(&bias[8..])];
        Block {
            op,
            band,
            channel,
            len,
            bias,
            rescale: Rescale::load(&op.channels, channel, len),
            range: Range::new(op.range),
        }
    }

    /// These channels of all pixels of a band.
    #[target_feature(enable = "avx2")]
    fn sweep(&self, mut pixels: Pixels, scratch: &[u8], output: &mut [i8]) {
        let channels = self.op.output.channels;
        for output in output.chunks_mut(PIXELS * channels) {
            let starts = pixels.next(output.len() / channels).map(|at| scratch[at + self.channel..].as_ptr());
            // SAFETY: `Pixels::new` found that each offset has all taps of all channels and sixteen bytes more after it.
            let sums = unsafe { self.sums(&starts) };
            for (pixel, sum) in output.chunks_exact_mut(channels).zip(sums) {
                store(&mut pixel[self.channel..][..self.len], self.range.pack(self.rescale.apply(sum)));
            }
        }
    }

    /// Biases plus all products.
    ///
    /// # Safety
    ///
    /// From each of `starts` all taps must be readable, sixteen bytes each.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn sums(&self, starts: &[*const u8; PIXELS]) -> [Wide; PIXELS] {
        let Block { op, band, channel, len, .. } = *self;
        let channels = op.output.channels;
        // Each weight is paired with 0: the upper half of a value, which is its sign, must not count.
        let low = _mm256_set1_epi32(0xffff);
        let mut weights = op.weights.chunks_exact(channels);
        let mut sums = [self.bias; PIXELS];
        for ky in 0..op.window.kernel[0] {
            for (kx, weights) in weights.by_ref().take(op.window.kernel[1]).enumerate() {
                let [a, b] = widen(load(&weights[channel..][..len]));
                let weights = [_mm256_and_si256(a, low), _mm256_and_si256(b, low)];
                let at = (ky * op.window.dilation[0] * band.columns + kx * op.window.dilation[1]) * channels;
                for (sum, &start) in sums.iter_mut().zip(starts) {
                    // SAFETY: the caller's promise.
                    let values = widen(unsafe { _mm_loadu_si128(start.add(at).cast()) });
                    for ((sum, value), weight) in sum.iter_mut().zip(values).zip(weights) {
                        *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(value, weight));
                    }
                }
            }
        }
        sums
    }
}

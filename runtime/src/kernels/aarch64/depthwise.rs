//! Depthwise convolution: sixteen channels of four pixels at a time, two taps in 16 bits before their sum is widened.

use core::arch::aarch64::*;

use super::requantize::{Range, Rescale, load_sixteen, numbers, store};
use super::tile::Eight;
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

#[target_feature(enable = "neon")]
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
    /// How many of the channels exist.
    len: usize,
    bias: [Eight; 2],
    rescale: [Rescale; 2],
    range: Range,
}

impl<'a> Block<'a> {
    #[target_feature(enable = "neon")]
    fn new(op: &'a Depthwise<'a>, band: &'a Band, channel: usize) -> Self {
        let len = BLOCK.min(op.output.channels - channel);
        let mut bias = [0; BLOCK];
        bias[..len].copy_from_slice(&op.channels.bias[channel..][..len]);
        let rescale = |half: usize| {
            let from = (8 * half).min(len);
            Rescale::load(&op.channels, channel + from, (len - from).min(8))
        };
        Block {
            op,
            band,
            channel,
            len,
            bias: [numbers(&bias), numbers(&bias[8..])],
            rescale: [rescale(0), rescale(1)],
            range: Range::new(op.range),
        }
    }

    /// These channels of all pixels of a band.
    #[target_feature(enable = "neon")]
    fn sweep(&self, mut pixels: Pixels, scratch: &[u8], output: &mut [i8]) {
        let channels = self.op.output.channels;
        for output in output.chunks_mut(PIXELS * channels) {
            let starts = pixels.next(output.len() / channels).map(|at| scratch[at + self.channel..].as_ptr());
            // SAFETY: `Pixels::new` found that each offset has all taps of all channels and sixteen bytes more after it.
            let sums = unsafe { self.sums(&starts) };
            for (pixel, sums) in output.chunks_exact_mut(channels).zip(sums) {
                let halves = pixel[self.channel..][..self.len].chunks_mut(8);
                for ((out, sum), rescale) in halves.zip(sums).zip(&self.rescale) {
                    store(out, self.range.pack(rescale.apply(sum)));
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
    #[target_feature(enable = "neon")]
    unsafe fn sums(&self, starts: &[*const u8; PIXELS]) -> [[Eight; 2]; PIXELS] {
        let Block { op, band, channel, len, .. } = *self;
        let channels = op.output.channels;
        let [rows, columns] = op.window.kernel;
        let steps = [op.window.dilation[0] * band.columns, op.window.dilation[1]].map(|step| step * channels);
        // Where the values and the weights of each tap are.
        let mut taps = (0..rows).flat_map(|ky| (0..columns).map(move |kx| ky * steps[0] + kx * steps[1]));
        let mut weights = op.weights.chunks_exact(channels).map(|weights| load_sixteen(&weights[channel..][..len]));
        let mut sums = [self.bias; PIXELS];
        while let (Some(first), Some(first_weights)) = (taps.next(), weights.next()) {
            let second = taps.next().zip(weights.next());
            for (sums, &start) in sums.iter_mut().zip(starts) {
                // SAFETY: the caller's promise.
                let load = |at| unsafe { vld1q_s8(start.add(at).cast()) };
                let values = load(first);
                let mut products =
                    [vmull_s8(vget_low_s8(values), vget_low_s8(first_weights)), vmull_high_s8(values, first_weights)];
                if let Some((second, weights)) = second {
                    // Two products fit 16 bits, since weights are at least -127.
                    let values = load(second);
                    products[0] = vmlal_s8(products[0], vget_low_s8(values), vget_low_s8(weights));
                    products[1] = vmlal_high_s8(products[1], values, weights);
                }
                for (sum, products) in sums.iter_mut().zip(products) {
                    sum[0] = vaddw_s16(sum[0], vget_low_s16(products));
                    sum[1] = vaddw_high_s16(sum[1], products);
                }
            }
        }
        sums
    }
}

//! Depthwise convolution: eight channels of four pixels at a time, two taps in 16 bits before their sum is widened.

use core::arch::wasm32::*;

use super::requantize::{Eight, Range, Rescale, load, numbers, store};
use crate::kernels::band::Band;
use crate::kernels::fill::Bands;
use crate::kernels::sweep::Pixels;
use crate::ops::Depthwise;

/// Channels at a time.
const BLOCK: usize = 8;

/// Pixels at a time.
const PIXELS: usize = 4;

/// See [`crate::Kernels::depthwise`].
pub(super) fn depthwise(op: &Depthwise<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let band = Band::of_depthwise(op);
    if !op.fits(input, output) || output.is_empty() || scratch.len() < band.bytes(1) {
        return;
    }
    let bands = Bands::of_depthwise(op, &band, BLOCK, input);
    bands.each(
        scratch,
        output,
        |v| [v as u8],
        |pixels, values, output| {
            for channel in (0..op.output.channels).step_by(BLOCK) {
                Block::new(op, &band, channel).sweep(pixels, values, output);
            }
        },
    );
}

/// Eight channels and what requantizes them.
struct Block<'a> {
    op: &'a Depthwise<'a>,
    band: &'a Band,
    channel: usize,
    /// How many of the channels exist.
    len: usize,
    bias: Eight,
    rescale: Rescale,
    range: Range,
}

impl<'a> Block<'a> {
    fn new(op: &'a Depthwise<'a>, band: &'a Band, channel: usize) -> Self {
        let len = BLOCK.min(op.output.channels - channel);
        let mut bias = [0; BLOCK];
        bias[..len].copy_from_slice(&op.channels.bias[channel..][..len]);
        Block {
            op,
            band,
            channel,
            len,
            bias: numbers(&bias),
            rescale: Rescale::load(&op.channels, channel, len),
            range: Range::new(op.range),
        }
    }

    /// These channels of all pixels of a band.
    fn sweep(&self, mut pixels: Pixels, scratch: &[u8], output: &mut [i8]) {
        let channels = self.op.output.channels;
        for output in output.chunks_mut(PIXELS * channels) {
            let starts = pixels.next(output.len() / channels).map(|at| scratch[at + self.channel..].as_ptr());
            // SAFETY: `Pixels::new` found that each offset has all taps of all channels and eight bytes more after it.
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
    /// From each of `starts` all taps must be readable, eight bytes each.
    #[inline]
    unsafe fn sums(&self, starts: &[*const u8; PIXELS]) -> [Eight; PIXELS] {
        let Block { op, band, channel, len, .. } = *self;
        let channels = op.output.channels;
        let [rows, columns] = op.window.kernel;
        let steps = [op.window.dilation[0] * band.columns, op.window.dilation[1]].map(|step| step * channels);
        // Where the values and the weights of each tap are.
        let mut taps = (0..rows).flat_map(|ky| (0..columns).map(move |kx| ky * steps[0] + kx * steps[1]));
        let weights = op.weights.chunks_exact(channels);
        let mut weights = weights.map(|weights| i16x8_extend_low_i8x16(load(&weights[channel..][..len])));
        let mut sums = [self.bias; PIXELS];
        while let (Some(first), Some(first_weights)) = (taps.next(), weights.next()) {
            let second = taps.next().zip(weights.next());
            for (sum, &start) in sums.iter_mut().zip(starts) {
                // SAFETY: the caller's promise.
                let load = |at| unsafe { i16x8_load_extend_i8x8(start.add(at).cast()) };
                let mut products = i16x8_mul(load(first), first_weights);
                if let Some((second, weights)) = second {
                    // Two products fit 16 bits, since weights are at least -127.
                    products = i16x8_add(products, i16x8_mul(load(second), weights));
                }
                sum[0] = i32x4_add(sum[0], i32x4_extend_low_i16x8(products));
                sum[1] = i32x4_add(sum[1], i32x4_extend_high_i16x8(products));
            }
        }
        sums
    }
}

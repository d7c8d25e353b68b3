//! Convolution and fully connected layer: tiles of two output channels by three pixels, two products an instruction.
//!
//! **The idea.** `SMLAD` adds two 16-bit products to a 32-bit sum. A 16-bit number of the packed weights is `w0 + 256 * w1`, the
//! weights of two output channels for one input value `x` (`Order::Halves`). Multiplied as it lies, it adds
//! `x * w0 + 256 * x * w1` to a sum for both channels; its low byte, sign-extended by one `SXTB16` for two inputs, adds `x * w0` to a sum for
//! the first one. At the end the first sum is subtracted and the difference is 256 times the second channel's sum. So the second channel needs no
//! unpacking at all: 17 instructions do 24 multiply-accumulates, where unpacking both channels would take 21.
//!
//! **Why it is exact.** Sums wrap modulo 2^32. The difference is `256 * s` modulo 2^32, which gives back every `s` in
//! `[-2^23, 2^23)`. A product is at most 2^14 in magnitude, so 508 of them stay inside; longer columns are done in parts.

use core::array::from_fn;

use super::super::{ConvScratch, DSP_LAYOUT, TILE};
use super::gather::Gather;
use super::requantize::{Channel, Exact, Fast, FastAdd, Finish, is_full, prepare};
use super::tile::{Span, multiply};
use crate::ops::{Conv2d, Linear};

/// Groups of four products in a part of a column: 496 products, and a multiple of what the inner loop takes at once.
const PART: usize = 124;

/// See [`crate::kernels::Kernels::conv2d`].
pub(super) fn conv2d(op: &Conv2d<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let parts = ConvScratch::of(op);
    if !op.fits(input, output) || output.is_empty() || scratch.len() < parts.bytes() {
        return;
    }
    // SAFETY: any four bytes are a word.
    let (before, words, _) = unsafe { scratch.align_to_mut::<u32>() };
    let fits = before.is_empty() && words.len() >= parts.bytes() / 4 && parts.column > 0;
    if !fits || op.layout != DSP_LAYOUT || !op.weights.as_ptr().cast::<u32>().is_aligned() {
        return;
    }
    let (channels, words) = words.split_at_mut(parts.channels);
    let (columns, words) = words.split_at_mut(parts.columns());
    // SAFETY: a word is four bytes, and any byte is an int8.
    let rows = unsafe { words.align_to_mut::<i8>().1 };
    let job = Job { op, columns, column: parts.column, gather: Gather::new(op, input, &mut rows[..parts.rows]) };
    let (channels, fast) = prepare(op.channels, op.range, channels);
    match op.residual {
        None if fast => job.run(output, channels, Fast),
        Some(add) if fast && is_full(add.lo, add.hi) => job.run(output, channels, FastAdd(add)),
        residual => job.run(output, channels, Exact { channels: op.channels, range: op.range, residual }),
    }
}

/// A convolution with one tap over a row of pixels.
pub(super) fn linear(op: &Linear<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    if op.fits(input, output) {
        conv2d(&op.as_conv2d(), input, output, scratch);
    }
}

/// A convolution with its buffers.
struct Job<'a> {
    op: &'a Conv2d<'a>,
    columns: &'a mut [u32],
    /// Words of one column.
    column: usize,
    gather: Gather<'a>,
}

impl Job<'_> {
    /// All pixels, three by three, the last ones one by one.
    fn run<F: Finish>(mut self, output: &mut [i8], channels: &[Channel], finish: F) {
        let mut tiles = output.chunks_exact_mut(TILE * self.op.output.channels);
        let mut next = [0, 0];
        for pixels in tiles.by_ref() {
            self.tile::<TILE, F>(&mut next, pixels, channels, finish);
        }
        for pixel in tiles.into_remainder().chunks_exact_mut(self.op.output.channels) {
            self.tile::<1, F>(&mut next, pixel, channels, finish);
        }
    }

    /// `P` pixels from `next` on, all channels.
    #[inline(always)]
    fn tile<const P: usize, F: Finish>(
        &mut self,
        next: &mut [usize; 2],
        pixels: &mut [i8],
        channels: &[Channel],
        finish: F,
    ) {
        let at = from_fn(|_| {
            let this = *next;
            next[1] += 1;
            if next[1] == self.op.output.width {
                *next = [next[0] + 1, 0];
            }
            this
        });
        let columns = &mut self.columns[..P * self.column];
        self.gather.tile::<P>(at, columns);
        pairs::<P, F>(self.op, columns, pixels, channels, finish);
    }
}

/// All output channels, two by two, of the `P` pixels with these columns.
#[inline(always)]
fn pairs<const P: usize, F: Finish>(
    op: &Conv2d<'_>,
    columns: &[u32],
    pixels: &mut [i8],
    channels: &[Channel],
    finish: F,
) {
    let out = op.output.channels;
    assert!(pixels.len() == P * out);
    // A group is two words of each column, and eight bytes of a panel of weights.
    let groups = columns.len() / (2 * P);
    let whole = Span::<P>::of(columns);
    let panels = op.weights.chunks_exact(8 * groups).zip(channels.as_chunks::<2>().0).take(out.div_ceil(2));
    for (pair, (panel, [first, second])) in panels.enumerate() {
        let [mut low, mut high] = [[first.bias; P], [second.bias; P]];
        let mut part = |weights: &[i8], span: Span<'_, P>| {
            let mut both = low;
            // SAFETY: the weights have eight bytes for each group of the span, at a multiple of four (checked on entry).
            unsafe { multiply(weights.as_ptr(), span, &mut low, &mut both) };
            for p in 0..P {
                high[p] = high[p].wrapping_add(both[p].wrapping_sub(low[p]) >> 8);
            }
        };
        if groups <= PART {
            part(panel, whole);
        } else {
            for (weights, columns) in panel.chunks(8 * PART).zip(columns.chunks(2 * P * PART)) {
                part(weights, Span::of(columns));
            }
        }
        let o = 2 * pair;
        let both_stored = o + 1 < out;
        for (p, &sum) in low.iter().enumerate() {
            // SAFETY: `o` is below `out` and there are `P` pixels of `out` bytes (asserted at the top).
            finish.finish(first, o, sum, unsafe { pixels.get_unchecked_mut(p * out + o) });
        }
        if both_stored {
            for (p, &sum) in high.iter().enumerate() {
                // SAFETY: as above, for `o + 1`.
                finish.finish(second, o + 1, sum, unsafe { pixels.get_unchecked_mut(p * out + o + 1) });
            }
        }
    }
}

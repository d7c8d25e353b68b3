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

use super::super::{CHANNEL_WORDS, ConvScratch, DSP_LAYOUT, TILE};
use super::gather::Gather;
use super::insn::{add_high_word, add_low_product, saturate_byte};
use super::tile::{Span, multiply};
use crate::ops::{Add, Conv2d, Linear};

/// Groups of four products in a part of a column: 496 products, and a multiple of what the inner loop takes at once.
const PART: usize = 124;

/// An output channel, ready for use.
#[derive(Clone, Copy)]
#[repr(C)]
struct Channel {
    bias: i32,
    multiplier: i32,
    /// Zero point and rounding, before the shift.
    addend: i32,
    right: u32,
}

const _: () = assert!(size_of::<Channel>() == 4 * CHANNEL_WORDS);

/// See [`crate::kernels::Kernels::conv2d`].
pub(super) fn conv2d(op: &Conv2d<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let parts = ConvScratch::of(op);
    if !op.fits(input, output) || output.is_empty() || scratch.len() < parts.bytes() {
        return;
    }
    // SAFETY: any four bytes are a word.
    let (before, words, _) = unsafe { scratch.align_to_mut::<u32>() };
    let fits = before.is_empty() && words.len() >= parts.bytes() / 4;
    if !fits || op.layout != DSP_LAYOUT || !op.weights.as_ptr().cast::<u32>().is_aligned() {
        return;
    }
    let (channels, words) = words.split_at_mut(parts.channels);
    let (columns, words) = words.split_at_mut(parts.columns());
    // SAFETY: a word is four bytes, and any byte is an int8.
    let rows = unsafe { words.align_to_mut::<i8>().1 };
    let job = Job { op, columns, column: parts.column, gather: Gather::new(op, input, &mut rows[..parts.rows]) };
    match prepare(op, channels) {
        (channels, true) => match op.residual {
            None => job.run(output, channels, Fast),
            Some(add) => job.run(output, channels, FastAdd(add)),
        },
        (channels, false) => job.run(output, channels, Exact(op)),
    }
}

/// A convolution with one tap over a row of pixels.
pub(super) fn linear(op: &Linear<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    if op.fits(input, output) {
        conv2d(&op.as_conv2d(), input, output, scratch);
    }
}

/// Writes the output channels to `words`; the second result says whether [`Fast`] does for all of them.
fn prepare<'a>(op: &Conv2d<'_>, words: &'a mut [u32]) -> (&'a [Channel], bool) {
    let full = |lo: i8, hi: i8| lo == i8::MIN && hi == i8::MAX;
    let mut fast = full(op.range.lo, op.range.hi) && op.residual.is_none_or(|add| full(add.lo, add.hi));
    // SAFETY: a channel is words, and any words are a channel.
    let channels = unsafe { words.align_to_mut::<Channel>().1 };
    let given = op.channels.bias.iter().zip(op.channels.multiplier).zip(op.channels.shift);
    for (channel, ((&bias, &multiplier), &shift)) in channels.iter_mut().zip(given) {
        // A larger shift would not leave room for the zero point beside a rescaled sum; a left shift is rarer still.
        fast &= shift <= 22;
        let right = u32::from(shift & 31);
        let addend = i32::from(op.range.zero).wrapping_shl(right).wrapping_add(1 << (right.max(1) - 1));
        *channel = Channel { bias, multiplier, addend, right };
    }
    (channels, fast)
}

/// What becomes of a sum.
trait Finish: Copy {
    /// Requantizes `sum` of output channel number `o` and writes it to `out`.
    fn finish(self, channel: &Channel, o: usize, sum: i32, out: &mut i8);
}

/// Shift to the right of at most 22, none to the left, no clamp but that of int8: four instructions.
#[derive(Clone, Copy)]
struct Fast;

impl Fast {
    #[inline(always)]
    fn requantize(channel: &Channel, sum: i32) -> u32 {
        let high = add_high_word(sum as u32, channel.multiplier as u32, channel.addend as u32) as i32;
        saturate_byte(high.wrapping_shr(channel.right) as u32)
    }
}

impl Finish for Fast {
    #[inline(always)]
    fn finish(self, channel: &Channel, _: usize, sum: i32, out: &mut i8) {
        *out = Fast::requantize(channel, sum) as i8;
    }
}

/// [`Fast`], then the residual.
#[derive(Clone, Copy)]
struct FastAdd(Add);

impl Finish for FastAdd {
    #[inline(always)]
    fn finish(self, channel: &Channel, _: usize, sum: i32, out: &mut i8) {
        let [m0, m1] = self.0.multipliers.map(|m| m as u32);
        let sum = add_low_product(Fast::requantize(channel, sum), m0, self.0.bias as u32);
        let sum = add_low_product(*out as u32, m1, sum) as i32;
        *out = saturate_byte(sum.wrapping_shr(u32::from(self.0.shift)) as u32) as i8;
    }
}

/// As the contract writes it, for whatever the fast ways cannot do.
#[derive(Clone, Copy)]
struct Exact<'a>(&'a Conv2d<'a>);

impl Finish for Exact<'_> {
    #[inline(never)]
    fn finish(self, _: &Channel, o: usize, sum: i32, out: &mut i8) {
        let Conv2d { channels, range, residual, .. } = self.0;
        let value = range.requantize(sum, channels.multiplier[o], channels.shift[o]);
        *out = residual.map_or(value, |add| add.apply(value, *out));
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
        for p in 0..P {
            // SAFETY: `o` is below `out` and there are `P` pixels of `out` bytes (asserted at the top).
            finish.finish(first, o, low[p], unsafe { pixels.get_unchecked_mut(p * out + o) });
        }
        if both_stored {
            for p in 0..P {
                // SAFETY: as above, for `o + 1`.
                finish.finish(second, o + 1, high[p], unsafe { pixels.get_unchecked_mut(p * out + o + 1) });
            }
        }
    }
}

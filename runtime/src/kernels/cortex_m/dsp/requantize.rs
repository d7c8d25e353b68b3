//! From sums to bytes: channels prepared once for each op, and the ways to finish a sum.

use super::super::CHANNEL_WORDS;
use super::insn::{add_high_word, add_low_product, saturate_byte};
use crate::ops::Add;
use crate::quant::{Channels, Output};

/// An output channel, ready for use.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Channel {
    pub(super) bias: i32,
    multiplier: i32,
    /// Zero point and rounding, before the shift.
    addend: i32,
    right: u32,
}

const _: () = assert!(size_of::<Channel>() == 4 * CHANNEL_WORDS);

/// Writes the channels to `words`; the second result says whether [`Fast`] does for all of them.
pub(super) fn prepare<'a>(channels: Channels<'_>, range: Output, words: &'a mut [u32]) -> (&'a mut [Channel], bool) {
    let mut fast = is_full(range.lo, range.hi);
    // SAFETY: a channel is words, and any words are a channel.
    let prepared = unsafe { words.align_to_mut::<Channel>().1 };
    let given = channels.bias.iter().zip(channels.multiplier).zip(channels.shift);
    for (channel, ((&bias, &multiplier), &shift)) in prepared.iter_mut().zip(given) {
        // A larger shift would not leave room for the zero point beside a rescaled sum; a left shift is rarer still.
        fast &= shift <= 22;
        let right = u32::from(shift & 31);
        let addend = i32::from(range.zero).wrapping_shl(right).wrapping_add(1 << (right.max(1) - 1));
        *channel = Channel { bias, multiplier, addend, right };
    }
    (prepared, fast)
}

/// Whether a clamp is that of int8.
pub(super) const fn is_full(lo: i8, hi: i8) -> bool {
    lo == i8::MIN && hi == i8::MAX
}

/// What becomes of a sum.
pub(super) trait Finish: Copy {
    /// Requantizes `sum` of output channel number `o` and writes it to `out`.
    fn finish(self, channel: &Channel, o: usize, sum: i32, out: &mut i8);
}

/// Shift to the right of at most 22, none to the left, no clamp but that of int8: three instructions.
#[derive(Clone, Copy)]
pub(super) struct Fast;

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

/// [`Fast`], then a residual that is clamped to int8 only.
#[derive(Clone, Copy)]
pub(super) struct FastAdd(pub(super) Add);

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
pub(super) struct Exact<'a> {
    pub(super) channels: Channels<'a>,
    pub(super) range: Output,
    pub(super) residual: Option<Add>,
}

impl Finish for Exact<'_> {
    #[inline(never)]
    fn finish(self, _: &Channel, o: usize, sum: i32, out: &mut i8) {
        let value = self.range.requantize(sum, self.channels.multiplier[o], self.channels.shift[o]);
        *out = self.residual.map_or(value, |add| add.apply(value, *out));
    }
}

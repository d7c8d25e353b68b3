//! From sums in 32 bits to stored bytes, eight channels at a time.

use core::arch::wasm32::*;

use crate::ops::Add;
use crate::quant::{Channels, Output};

/// Eight values in 32 bits.
pub(super) type Eight = [v128; 2];

/// Multipliers and shifts of eight channels.
///
/// There is no shift by as many bits in each lane as one likes, so shifts are products with powers of two.
#[derive(Clone, Copy)]
pub(super) struct Rescale {
    multiplier: Eight,
    round: Eight,
    /// `2^(31 - right)`
    right: Eight,
    /// `2^left`
    left: Eight,
    /// Whether any channel has a left shift.
    shifts_left: bool,
}

impl Rescale {
    /// Of `n` channels from `first` on, eight at most; the others are arbitrary.
    pub(super) fn load(channels: &Channels<'_>, first: usize, n: usize) -> Rescale {
        let (mut multiplier, mut shift) = ([0; 8], [1; 8]);
        multiplier[..n].copy_from_slice(&channels.multiplier[first..][..n]);
        shift[..n].copy_from_slice(&channels.shift[first..][..n]);
        Rescale::new(multiplier, shift)
    }

    /// The same for all channels.
    pub(super) fn splat(multiplier: i32, shift: u8) -> Rescale {
        Rescale::new([multiplier; 8], [shift; 8])
    }

    fn new(multiplier: [i32; 8], shift: [u8; 8]) -> Rescale {
        let right = shift.map(|shift| u32::from(shift & 31));
        Rescale {
            multiplier: numbers(&multiplier),
            round: numbers(&right.map(|right| 1i32.wrapping_shl(right.wrapping_sub(1)))),
            right: numbers(&right.map(|right| 1i32.wrapping_shl(31 - right))),
            left: numbers(&shift.map(|shift| 1 << (shift >> 5))),
            shifts_left: shift.iter().any(|shift| shift >> 5 != 0),
        }
    }

    /// [`crate::quant::rescale`]
    #[inline]
    pub(super) fn apply(&self, mut sums: Eight) -> Eight {
        for (i, sum) in sums.iter_mut().enumerate() {
            if self.shifts_left {
                *sum = i32x4_mul(*sum, self.left[i]);
            }
            let [low, high] = products(*sum, self.multiplier[i]);
            let upper = i32x4_add(i32x4_shuffle::<1, 3, 5, 7>(low, high), self.round[i]);
            // The lower half of the product, shifted by 31, is what a shift to the right leaves.
            let [low, high] = products(upper, self.right[i]).map(|product| u64x2_shr(product, 31));
            *sum = i32x4_shuffle::<0, 2, 4, 6>(low, high);
        }
        sums
    }
}

/// The products of four pairs in 64 bits.
#[inline]
fn products(a: v128, b: v128) -> [v128; 2] {
    [i64x2_extmul_low_i32x4(a, b), i64x2_extmul_high_i32x4(a, b)]
}

/// Zero point and clamp of a tensor.
#[derive(Clone, Copy)]
pub(super) struct Range {
    zero: v128,
    lo: v128,
    hi: v128,
}

impl Range {
    pub(super) fn new(range: Output) -> Range {
        Range { zero: i16x8_splat(range.zero.into()), lo: i8x16_splat(range.lo), hi: i8x16_splat(range.hi) }
    }

    /// Eight values plus the zero point, clamped to bytes, in the lower half.
    #[inline]
    pub(super) fn pack(&self, [low, high]: Eight) -> v128 {
        // Saturation on the way changes nothing: what it cuts off is beyond `lo` or `hi`, with any zero point.
        let words = i16x8_add_sat(i16x8_narrow_i32x4(low, high), self.zero);
        i8x16_min(i8x16_max(i8x16_narrow_i16x8(words, words), self.lo), self.hi)
    }
}

/// [`Add`] for eight pairs.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    multipliers: v128,
    bias: v128,
    shift: u32,
    /// The clamp of the sum; the zero point is in the bias.
    range: Range,
}

impl Sum {
    pub(super) fn new(op: &Add) -> Sum {
        let [a, b] = op.multipliers.map(|m| u32::from(m as u16));
        Sum {
            multipliers: u32x4_splat(a | b << 16),
            bias: i32x4_splat(op.bias),
            shift: u32::from(op.shift & 31),
            range: Range::new(Output { zero: 0, lo: op.lo, hi: op.hi }),
        }
    }

    /// The sums of the eight bytes in the lower halves.
    #[inline]
    pub(super) fn apply(&self, a: v128, b: v128) -> v128 {
        let pairs = i8x16_shuffle::<0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23>(a, b);
        let pairs = [i16x8_extend_low_i8x16(pairs), i16x8_extend_high_i8x16(pairs)];
        let sums = pairs.map(|pairs| i32x4_add(i32x4_dot_i16x8(pairs, self.multipliers), self.bias));
        self.range.pack(sums.map(|sum| i32x4_shr(sum, self.shift)))
    }
}

/// Eight values of the lower half in 32 bits each.
#[inline]
pub(super) fn widen(values: v128) -> Eight {
    let words = i16x8_extend_low_i8x16(values);
    [i32x4_extend_low_i16x8(words), i32x4_extend_high_i16x8(words)]
}

/// The first eight values.
#[inline]
pub(super) fn numbers(values: &[i32]) -> Eight {
    let values = values[..8].as_ptr().cast::<v128>();
    // SAFETY: eight values.
    unsafe { [v128_load(values), v128_load(values.add(1))] }
}

/// Up to eight values in the lower half; missing ones are 0.
#[inline]
pub(super) fn load(values: &[i8]) -> v128 {
    if values.len() >= 8 {
        // SAFETY: eight bytes.
        return unsafe { v128_load64_zero(values.as_ptr().cast()) };
    }
    let mut bytes = [0; 8];
    bytes[..values.len()].copy_from_slice(values);
    load(&bytes)
}

/// Stores as many values of the lower half as there is room for, eight at most.
#[inline]
pub(super) fn store(values: &mut [i8], v: v128) {
    if values.len() >= 8 {
        // SAFETY: room for eight bytes.
        return unsafe { v128_store64_lane::<0>(v, values.as_mut_ptr().cast()) };
    }
    let mut bytes = [0; 8];
    store(&mut bytes, v);
    values.copy_from_slice(&bytes[..values.len()]);
}

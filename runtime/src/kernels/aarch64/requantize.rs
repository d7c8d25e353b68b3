//! From sums in 32 bits to stored bytes, eight channels at a time.

use core::arch::aarch64::*;

use super::tile::{Eight, Pair};
use crate::ops::Add;
use crate::quant::{Channels, Output};

/// Multipliers and shifts of eight channels.
///
/// [`crate::quant::rescale`] is two instructions: `SQDMULH` gives the product without its lower 31 bits, of which the lowest is one more
/// than the contract's upper half has, and `SRSHL` shifts by one more, with rounding. The floors compose, and since multipliers are positive nothing saturates.
#[derive(Clone, Copy)]
pub(super) struct Rescale {
    pub(super) multiplier: Eight,
    /// Negative, which shifts to the right.
    pub(super) right: Eight,
    pub(super) left: Eight,
    /// Whether any channel has a left shift.
    pub(super) shifts_left: bool,
}

impl Rescale {
    /// Of the first eight channels.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn eight(multiplier: &[i32], shift: &[u8]) -> Rescale {
        // SAFETY: eight bytes.
        let shift = vmovl_u8(unsafe { vld1_u8(shift[..8].as_ptr()) });
        Rescale::new(numbers(multiplier), [vmovl_u16(vget_low_u16(shift)), vmovl_high_u16(shift)])
    }

    /// Of `n` channels from `first` on, eight at most; the others are arbitrary.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn load(channels: &Channels<'_>, first: usize, n: usize) -> Rescale {
        let (mut multiplier, mut shift) = ([0; 8], [0; 8]);
        multiplier[..n].copy_from_slice(&channels.multiplier[first..][..n]);
        shift[..n].copy_from_slice(&channels.shift[first..][..n]);
        Rescale::eight(&multiplier, &shift)
    }

    /// The same for all channels.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn splat(multiplier: i32, shift: u8) -> Rescale {
        Rescale::new([vdupq_n_s32(multiplier); 2], [vdupq_n_u32(shift.into()); 2])
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn new(multiplier: Eight, shift: [uint32x4_t; 2]) -> Rescale {
        let right = shift.map(|shift| vmvnq_s32(vreinterpretq_s32_u32(vandq_u32(shift, vdupq_n_u32(31)))));
        let left = shift.map(|shift| vreinterpretq_s32_u32(vshrq_n_u32::<5>(shift)));
        let shifts_left = vmaxvq_s32(vorrq_s32(left[0], left[1])) != 0;
        Rescale { multiplier, right, left, shifts_left }
    }

    /// [`crate::quant::rescale`]
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn apply(&self, sums: Eight) -> Eight {
        self.apply_shifted(if self.shifts_left { self.shift_left(sums) } else { sums })
    }

    /// The left shift.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn shift_left(&self, [low, high]: Eight) -> Eight {
        [vshlq_s32(low, self.left[0]), vshlq_s32(high, self.left[1])]
    }

    /// What comes behind the left shift.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn apply_shifted(&self, [low, high]: Eight) -> Eight {
        let [low, high] = [vqdmulhq_s32(low, self.multiplier[0]), vqdmulhq_s32(high, self.multiplier[1])];
        [vrshlq_s32(low, self.right[0]), vrshlq_s32(high, self.right[1])]
    }
}

/// Zero point and clamp of a tensor.
#[derive(Clone, Copy)]
pub(super) struct Range {
    zero: int16x8_t,
    lo: int8x8_t,
    hi: int8x8_t,
}

impl Range {
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn new(range: Output) -> Range {
        Range { zero: vdupq_n_s16(range.zero.into()), lo: vdup_n_s8(range.lo), hi: vdup_n_s8(range.hi) }
    }

    /// Eight values plus the zero point, clamped to bytes.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn pack(&self, [low, high]: Eight) -> int8x8_t {
        // Saturation on the way changes nothing: what it cuts off is beyond `lo` or `hi`, with any zero point.
        let words = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(low), high), self.zero);
        vmin_s8(vmax_s8(vqmovn_s16(words), self.lo), self.hi)
    }

    /// The same for sixteen values, in any order.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn pack_two(&self, [a, b, c, d]: Pair) -> int8x16_t {
        let low = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(a), b), self.zero);
        let high = vqaddq_s16(vqmovn_high_s32(vqmovn_s32(c), d), self.zero);
        let bytes = vqmovn_high_s16(vqmovn_s16(low), high);
        vminq_s8(vmaxq_s8(bytes, vcombine_s8(self.lo, self.lo)), vcombine_s8(self.hi, self.hi))
    }
}

/// [`Add`] for eight pairs.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    multipliers: [i16; 2],
    bias: int32x4_t,
    /// Negative, which shifts to the right.
    shift: int32x4_t,
    /// The clamp of the sum; the zero point is in the bias.
    range: Range,
}

impl Sum {
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn new(op: &Add) -> Sum {
        Sum {
            multipliers: op.multipliers,
            bias: vdupq_n_s32(op.bias),
            shift: vdupq_n_s32(-i32::from(op.shift & 31)),
            range: Range::new(Output { zero: 0, lo: op.lo, hi: op.hi }),
        }
    }

    /// The sums of eight bytes.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn apply(&self, a: int8x8_t, b: int8x8_t) -> int8x8_t {
        self.range.pack(self.sums(vmovl_s8(a), vmovl_s8(b)))
    }

    /// The sums of sixteen bytes.
    #[inline]
    #[target_feature(enable = "neon")]
    pub(super) fn apply_two(&self, a: int8x16_t, b: int8x16_t) -> int8x16_t {
        let [low, high] = [
            self.sums(vmovl_s8(vget_low_s8(a)), vmovl_s8(vget_low_s8(b))),
            self.sums(vmovl_high_s8(a), vmovl_high_s8(b)),
        ];
        self.range.pack_two([low[0], low[1], high[0], high[1]])
    }

    #[inline]
    #[target_feature(enable = "neon")]
    fn sums(&self, a: int16x8_t, b: int16x8_t) -> Eight {
        let [m0, m1] = self.multipliers;
        let low = vmlal_n_s16(vmlal_n_s16(self.bias, vget_low_s16(a), m0), vget_low_s16(b), m1);
        let high = vmlal_high_n_s16(vmlal_high_n_s16(self.bias, a, m0), b, m1);
        [vshlq_s32(low, self.shift), vshlq_s32(high, self.shift)]
    }
}

/// Eight values in 32 bits each.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn widen(values: int8x8_t) -> Eight {
    let words = vmovl_s8(values);
    [vmovl_s16(vget_low_s16(words)), vmovl_high_s16(words)]
}

/// The first eight values.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn numbers(values: &[i32]) -> Eight {
    let values = values[..8].as_ptr();
    // SAFETY: eight values.
    unsafe { [vld1q_s32(values), vld1q_s32(values.add(4))] }
}

/// Up to eight values; missing ones are 0.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn load(values: &[i8]) -> int8x8_t {
    if values.len() >= 8 {
        // SAFETY: eight bytes.
        return unsafe { vld1_s8(values.as_ptr()) };
    }
    let mut bytes = [0; 8];
    bytes[..values.len()].copy_from_slice(values);
    load(&bytes)
}

/// Stores as many values as there is room for, eight at most.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn store(values: &mut [i8], v: int8x8_t) {
    if values.len() >= 8 {
        // SAFETY: room for eight bytes.
        return unsafe { vst1_s8(values.as_mut_ptr(), v) };
    }
    let mut bytes = [0; 8];
    store(&mut bytes, v);
    values.copy_from_slice(&bytes[..values.len()]);
}

/// Up to sixteen values; missing ones are 0.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn load_sixteen(values: &[i8]) -> int8x16_t {
    if values.len() >= 16 {
        // SAFETY: sixteen bytes.
        return unsafe { vld1q_s8(values.as_ptr()) };
    }
    let mut bytes = [0; 16];
    bytes[..values.len()].copy_from_slice(values);
    load_sixteen(&bytes)
}

/// Stores as many values as there is room for, sixteen at most.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn store_sixteen(values: &mut [i8], v: int8x16_t) {
    if values.len() >= 16 {
        // SAFETY: room for sixteen bytes.
        return unsafe { vst1q_s8(values.as_mut_ptr(), v) };
    }
    let mut bytes = [0; 16];
    store_sixteen(&mut bytes, v);
    values.copy_from_slice(&bytes[..values.len()]);
}

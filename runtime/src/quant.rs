//! The integer contract, version 1: every operation on numbers that a run performs, so that all devices give equal bytes.
//!
//! Whoever follows this page can compute every model file to the same bytes. `>>` is an arithmetic shift (floor), sums are
//! taken modulo 2^32 where not said otherwise (the converter proves that they do not wrap), `clamp(v, lo, hi)` is
//! `min(max(v, lo), hi)`.
//!
//! **Values.** A tensor of real numbers `r` is stored as int8 `q` with one scale and one zero point: `r = scale * (q - zero)`.
//! Weights are int8 in `[-127, 127]`, zero point 0, one scale for each output channel. Scales are known to the host
//! only: in the file they have become multipliers and shifts.
//!
//! **Sums of products** (convolution, depthwise, linear). `acc = bias[o] + sum((x + offset) * w)` in 32 bits, over all taps of the
//! window. A tap outside the image reads `x = input_zero`. `bias` already holds `-(input_zero + offset) * sum(w)`. `offset` is 0, or
//! 128 where the weights' layout says so (then `x + 128` is an unsigned byte); depthwise always has 0.
//!
//! **Requantize** ([`rescale`], [`Output::requantize`]). With multiplier `m` in `[2^30, 2^31)` and a shift byte that holds
//! `right` in 1..=30 (bits 0 to 4) and `left` in 0..=7 (bits 5 to 7), and with `s = 32 + right`:
//!
//! ```text
//! q = clamp(zero + (((acc << left) * m + 2^(s-1)) >> s), lo, hi)        the product in 64 bits
//! ```
//!
//! One rounding, ties toward plus infinity; the real factor is `m * 2^(left - s)`. Because `right >= 1` the same value is
//! `(high + 2^(right-1)) >> right` with `high` the upper 32 bits of the product (the floors compose), so one
//! high multiply, one addition and one shift do it on every core. Factors of 0.25 and more need `left > 0`; the converter proves
//! that `acc << left` fits 32 bits.
//!
//! **Add** ([`crate::ops::Add`]). `q = clamp((a * m0 + b * m1 + bias) >> shift, lo, hi)`, 16-bit multipliers, `shift` in 1..=22, all in 32 bits.
//! `bias` holds `-zero_a * m0 - zero_b * m1 + (zero_out << shift) + 2^(shift-1)`.
//! A residual fused into a convolution is exactly this, with `a` the convolution's own int8 result.
//!
//! **Mul** ([`crate::ops::Mul`]). `requantize((a - zero_a) * (b - zero_b))`.
//!
//! **Unary functions** ([`crate::ops::Lut`]). `q = table[x as u8]`: entry 0 is the value at 0, 127 at 127, 128 at -128, 255 at -1.
//!
//! **Max pool**: the largest value under the window; taps outside the image do not count.
//!
//! **Average pool** ([`crate::ops::AvgPool`]). `acc` is the sum of `x - input_zero` over the `n` taps inside the image, exact; it is
//! requantized with the only multiplier there is, or, where padding does not count in the mean, with multiplier number `n - 1`.
//!
//! **Softmax** ([`crate::ops::Softmax`]) of a row: with `d = max(x) - x`, `t = (d * step + 128) >> 8` (unsigned 32 bits, at most 2^24),
//! `e = EXP2[t & 255] >> min(t >> 8, 31)` ([`EXP2`]), `sum` of all `e` (exact), `r = floor(2^46 / sum)`:
//! `q = min((e * r + 2^37) >> 38, 255) - 128`. So the output's scale is 1/256 and its zero point -128.
//!
//! # Sequences
//!
//! A sequence has one row for each token of a run. **Tensors of 16 bits** are symmetric, `r = scale * q` with `q` in `[-32767, 32767]`.
//! `saturate(v)` limits `v` to what the output holds: that, or `[-128, 127]`.
//!
//! **Add16** ([`crate::ops::Add16`]). `q = saturate((a * m0 + b * m1 + bias) >> shift)`, 16-bit multipliers, `shift` in 1..=22, all in 32
//! bits, where no sum can overflow. An `a` of 8 bits counts 256 times, as the upper byte of 16 bits: then both multipliers use theirs.
//! `bias` holds `2^(shift-1)`, and for an `a` of 8 bits `-256 * zero_a * m0`.
//!
//! **Narrow** ([`crate::ops::Narrow`]), from 16 to 8 bits. `requantize(x)`.
//!
//! **Embedding** ([`crate::ops::Embed`]). `q = saturate((w * mw + p * mp + 2^(shift-1)) >> shift)`, in 32 bits: `w` of the token's row of one
//! table, `p` of the row of another that has the token's place, a 16-bit multiplier for each row of either. A token that is not
//! below the size `n` of the vocabulary reads row `token mod n`.
//!
//! **Layer normalization** ([`crate::ops::LayerNorm`]) of a row of `n` values, in 64 bits and exact up to the root:
//!
//! ```text
//! w = n * sum(x^2) - sum(x)^2 + eps               n^2 times the variance, and what keeps it from 0
//! f = min(floor(2^61 / floor(sqrt(w * 4^k))), 2^31 - 1)    with the k >= 0 that brings w * 4^k to [2^60, 2^62), or 0
//! z = ((n * x - sum(x)) * f + 2^(40-k)) >> (41-k)          20 bits after the point
//! q = saturate((((z * gain) >> 32) + bias) >> right)       gain and bias of the channel, right in 1..=30
//! ```
//!
//! `gain` is `gamma / output scale * 2^(12 + right)`, `bias` is `(beta / output scale + zero + 1/2) * 2^right`. The zero point of the
//! input has no influence, its scale only through `eps`.
//!
//! **Attention** ([`crate::ops::Attention`]), for each row of each head; `query`, `key`, `value` are int8 with zero point 0:
//!
//! ```text
//! s[j] = sum(query * key[j])                      over the channels of the head, for each row j
//! t[j] = rescale(max(s) - s[j], score multiplier, score shift)     the exponent, 8 bits after the point, unsigned
//! e[j] = (EXP2[t[j] & 255] + 2^h) >> (h + 1)      h = min(t[j] >> 8, 16); the largest is 2^14
//! Q    = floor(m * 2^24 / sum(e))                 in 64 bits; m in [2^30, 2^31)
//! q    = requantize(sum(e[j] * value[j]))         with Q >> x, which has 31 bits, and the right shift `right + 10 - x`
//! ```
//!
//! There are at most 1023 rows, so that the last sum has 32 bits. One division serves a row of a head. Where only one weight is not
//! 0 the result is `value * m * 2^(14 - 32 - right)`.
//!
//! **Mean** ([`crate::ops::Mean`]) of `n` rows. `acc` is the sum of `x - input_zero`; it is requantized with multiplier number `n - 1`.

use crate::error::OpRule;
use crate::format::bytes::Field;

/// Version of the contract that this page states; a model file names the version that it was made for.
pub const CONTRACT_VERSION: u16 = 1;

/// Smallest multiplier of [`rescale`]; the largest is `i32::MAX`.
pub const MIN_MULTIPLIER: i32 = 1 << 30;

/// Largest right shift beyond 32 bits.
pub const MAX_RIGHT: u8 = 30;

/// Largest left shift.
pub const MAX_LEFT: u8 = 7;

/// Puts a right shift (1..=30, beyond 32 bits) and a left shift (0..=7) into the byte that [`rescale`] reads; `None` out of range.
pub const fn shift_byte(right: u8, left: u8) -> Option<u8> {
    if right >= 1 && right <= MAX_RIGHT && left <= MAX_LEFT { Some(right | left << 5) } else { None }
}

/// Whether a multiplier and a shift byte are in the contract's ranges.
pub const fn is_rescale(multiplier: i32, shift: u8) -> bool {
    multiplier >= MIN_MULTIPLIER && shift & 31 >= 1 && shift & 31 <= MAX_RIGHT
}

/// `acc * multiplier * 2^(left - 32 - right)`, rounded once, ties toward plus infinity.
#[inline(always)]
pub const fn rescale(acc: i32, multiplier: i32, shift: u8) -> i32 {
    let right = (shift & 31) as u32;
    let product = (acc << (shift >> 5)) as i64 * multiplier as i64;
    let high = (product >> 32) as i32;
    // `high` is below 2^30 in magnitude and the rounding term at most 2^29; wrapping only says that nothing can panic here.
    high.wrapping_add(1i32.wrapping_shl(right.wrapping_sub(1))).wrapping_shr(right)
}

/// What becomes of a rescaled sum: zero point and clamp of the tensor that an op writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// Zero point.
    pub zero: i8,
    /// Smallest value, -128 or what an activation allows.
    pub lo: i8,
    /// Largest value, 127 or what an activation allows; not below `lo`.
    pub hi: i8,
}

impl Output {
    /// The full range of int8 about `zero`.
    pub const fn full(zero: i8) -> Self {
        Output { zero, lo: i8::MIN, hi: i8::MAX }
    }

    /// The lower bound is not above the upper one.
    pub(crate) fn check(self) -> Result<(), OpRule> {
        OpRule::Clamp.unless(self.lo <= self.hi)
    }

    /// `v` limited to `lo..=hi`.
    #[inline(always)]
    pub const fn clamp(self, v: i32) -> i8 {
        // The lower bound is applied first: that is the order of the contract, also for bounds that cross.
        let v = if v < self.lo as i32 { self.lo as i32 } else { v };
        (if v > self.hi as i32 { self.hi as i32 } else { v }) as i8
    }

    /// From a 32-bit sum to the stored byte.
    #[inline(always)]
    pub const fn requantize(self, acc: i32, multiplier: i32, shift: u8) -> i8 {
        self.clamp(rescale(acc, multiplier, shift).wrapping_add(self.zero as i32))
    }
}

/// Three bytes: zero point, lower, upper bound.
impl Field for Output {
    const BYTES: usize = 3;

    fn read(bytes: &[u8]) -> Self {
        let [zero, lo, hi] = Field::read(bytes);
        Output { zero, lo, hi }
    }

    fn write(&self, bytes: &mut [u8]) {
        [self.zero, self.lo, self.hi].write(bytes);
    }
}

/// Bias, multiplier and shift of each output channel, borrowed from the model file.
///
/// The three slices are padded to a whole number of the layout's panels, so that a kernel may always load a full panel:
/// bias 0, multiplier 2^30, shift 1.
#[derive(Clone, Copy, Debug)]
pub struct Channels<'a> {
    /// Added to the sum of products.
    pub bias: &'a [i32],
    /// In `[2^30, 2^31)`.
    pub multiplier: &'a [i32],
    /// See [`rescale`].
    pub shift: &'a [u8],
}

impl Channels<'_> {
    /// No channels.
    pub const NONE: Channels<'static> = Channels { bias: &[], multiplier: &[], shift: &[] };

    /// Every multiplier and shift, those of the padding too, is in the contract's range.
    pub(crate) fn check(&self, n: usize) -> Result<(), OpRule> {
        OpRule::Table.unless(self.bias.len() == n && self.covers(n))?;
        check_factors(self.multiplier, self.shift)
    }

    /// Whether there is an entry for each of `n` channels.
    pub const fn covers(&self, n: usize) -> bool {
        self.bias.len() >= n && self.multiplier.len() >= n && self.shift.len() >= n
    }
}

/// Every multiplier and shift is in the contract's range.
pub(crate) fn check_factors(multipliers: &[i32], shifts: &[u8]) -> Result<(), OpRule> {
    OpRule::Multiplier.unless(multipliers.iter().zip(shifts).all(|(&m, &s)| is_rescale(m, s)))
}

/// `round(2^15 * 2^(-i / 256))`: the powers of two that softmax reads.
pub const EXP2: [u16; 256] = exp2_table();

/// Made with integers only: repeated multiplication by `2^(-1/256)` in 62-bit fixed point, error far below half a unit.
const fn exp2_table() -> [u16; 256] {
    // 2^(-1/256) * 2^62, rounded.
    const STEP: u128 = 4_599_216_278_082_138_665;
    let mut table = [0; 256];
    let mut value: u128 = 1 << 62;
    let mut i = 0;
    while i < 256 {
        table[i] = ((value + (1 << 46)) >> 47) as u16;
        value = (value * STEP + (1 << 61)) >> 62;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, in numbers that cannot overflow.
    fn definition(acc: i32, multiplier: i32, right: u32, left: u32) -> i128 {
        let (product, s) = ((acc as i128) << left, 32 + right);
        (product * multiplier as i128 + (1 << (s - 1))) >> s
    }

    #[test]
    fn rescale_is_its_definition() {
        let mut rng = crate::Rng::new(3);
        for right in 1..=30 {
            for left in 0..=7 {
                let shift = shift_byte(right, left).unwrap();
                for i in 0..2000 {
                    let multiplier = match i % 5 {
                        0 => MIN_MULTIPLIER,
                        1 => i32::MAX,
                        _ => MIN_MULTIPLIER | (rng.word() >> 2) as i32,
                    };
                    // As large as `acc << left` allows, of every magnitude, and on both sides of ties.
                    let room = i32::MAX >> left;
                    let acc = match i % 7 {
                        0 => room,
                        1 => -room,
                        2 => (1i32 << right >> left.min(right)).saturating_mul(i / 7 - 100).clamp(-room, room),
                        _ => (rng.word() as i32 >> rng.below(32)).clamp(-room, room),
                    };
                    let expected = definition(acc, multiplier, right.into(), left.into());
                    assert_eq!(rescale(acc, multiplier, shift) as i128, expected, "{acc} {multiplier} {right} {left}");
                }
            }
        }
    }

    #[test]
    fn ties_round_up() {
        // A multiplier of 2^30 and a right shift of 1 with left 2 is one half.
        let half = shift_byte(1, 2).unwrap();
        assert_eq!([-3, -2, -1, 0, 1, 2, 3].map(|acc| rescale(acc, 1 << 30, half)), [-1, -1, 0, 0, 1, 1, 2]);
    }

    #[test]
    fn no_input_panics() {
        for acc in [i32::MIN, -1, 0, i32::MAX] {
            for multiplier in [i32::MIN, -1, 0, i32::MAX] {
                for shift in 0..=255 {
                    let _ = Output { zero: 127, lo: 5, hi: -5 }.requantize(acc, multiplier, shift);
                }
            }
        }
    }

    #[test]
    fn ranges_of_shifts() {
        assert_eq!(shift_byte(1, 0), Some(1));
        assert_eq!(shift_byte(30, 7), Some(30 | 7 << 5));
        for (right, left) in [(0, 0), (31, 0), (1, 8)] {
            assert_eq!(shift_byte(right, left), None);
        }
        for shift in 0..=255u8 {
            assert_eq!(is_rescale(MIN_MULTIPLIER, shift), (1..=30).contains(&(shift & 31)));
        }
        assert!(!is_rescale(MIN_MULTIPLIER - 1, 1) && !is_rescale(-MIN_MULTIPLIER, 1) && is_rescale(i32::MAX, 1));
    }

    #[test]
    fn powers_of_two_are_rounded_right() {
        for (i, &e) in EXP2.iter().enumerate() {
            assert_eq!(e, (32768.0 * (-(i as f64) / 256.0).exp2()).round() as u16, "{i}");
        }
    }
}

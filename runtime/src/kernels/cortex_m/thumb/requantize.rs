//! From sums to bytes, on cores of which some have no long multiplication.

use super::products::Pairs;
use crate::ops::Conv2d;
use crate::quant::Output;

/// `(op, multiplier and shift, sums, output)`: requantizes the sums of an output channel of some pixels and writes a byte of each; `output`
/// begins with the first one's. A function of its own, so that it has all registers.
pub(super) type Finish = fn(&Conv2d<'_>, (i32, u8), &Pairs, &mut [i8]);

/// Whether [`fast`] does for all channels: shifts to the right only, which leave room for the zero point beside a rescaled sum, no
/// residual, and no clamp but that of int8.
pub(super) fn is_fast(op: &Conv2d<'_>) -> bool {
    let Output { lo, hi, .. } = op.range;
    op.residual.is_none() && lo == i8::MIN && hi == i8::MAX && op.channels.shift.iter().all(|&shift| shift <= 22)
}

/// The sums of two pixels.
#[inline(always)]
fn sums([words, second]: [i32; 2]) -> [i32; 2] {
    [words.wrapping_sub(second << 16), second]
}

/// See [`is_fast`].
#[inline(never)]
pub(super) fn fast(op: &Conv2d<'_>, (multiplier, shift): (i32, u8), pairs: &Pairs, output: &mut [i8]) {
    let right = u32::from(shift & 31);
    let addend = i32::from(op.range.zero).wrapping_shl(right).wrapping_add(1i32.wrapping_shl(right.wrapping_sub(1)));
    let mut outputs = output.chunks_mut(op.output.channels);
    for &pair in pairs {
        for (sum, out) in sums(pair).into_iter().zip(outputs.by_ref()) {
            let value = high_word(sum, multiplier).wrapping_add(addend).wrapping_shr(right);
            out[0] = value.clamp(i8::MIN.into(), i8::MAX.into()) as i8;
        }
    }
}

/// As the contract writes it.
#[inline(never)]
pub(super) fn exact(op: &Conv2d<'_>, (multiplier, shift): (i32, u8), pairs: &Pairs, output: &mut [i8]) {
    let Conv2d { range, residual, .. } = *op;
    let [left, right] = [shift >> 5, shift & 31].map(u32::from);
    let half = 1i32.wrapping_shl(right.wrapping_sub(1));
    let mut outputs = output.chunks_mut(op.output.channels);
    for &pair in pairs {
        for (sum, out) in sums(pair).into_iter().zip(outputs.by_ref()) {
            let value = high_word(sum << left, multiplier).wrapping_add(half).wrapping_shr(right);
            let value = range.clamp(value.wrapping_add(range.zero.into()));
            out[0] = residual.map_or(value, |add| add.apply(value, out[0]));
        }
    }
}

/// The upper 32 bits of a product. Armv7-M has an instruction for it; what tells it from Armv6-M here is that it has atomic exchanges.
#[cfg(target_has_atomic = "32")]
#[inline(always)]
const fn high_word(a: i32, multiplier: i32) -> i32 {
    ((a as i64 * multiplier as i64) >> 32) as i32
}

/// The upper 32 bits of a product, by halves; the multiplier is not negative.
#[cfg(not(target_has_atomic = "32"))]
#[inline(always)]
const fn high_word(a: i32, multiplier: i32) -> i32 {
    let [a_high, a_low] = [a >> 16, a & 0xffff];
    let [m_high, m_low] = [multiplier >> 16, multiplier & 0xffff];
    // Below 2^31: 2^16 times 2^15, less than what is added.
    let low = a_low.wrapping_mul(m_high).wrapping_add(((a_low as u32).wrapping_mul(m_low as u32) >> 16) as i32);
    let middle = a_high.wrapping_mul(m_low);
    let carry = ((low & 0xffff) + (middle & 0xffff)) >> 16;
    a_high.wrapping_mul(m_high).wrapping_add(low >> 16).wrapping_add(middle >> 16).wrapping_add(carry)
}

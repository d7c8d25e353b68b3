//! Layer normalization: sums and results of eight values at a time.

use core::arch::aarch64::*;

use super::eltwise::{load_words, store_words, widen_words};
use super::requantize::{load, numbers, store};
use super::tile::Eight;
use crate::ops::{InverseRoot, LayerNorm};
use crate::tensor::{Number, Values, ValuesMut};

/// See [`crate::Kernels::layer_norm`].
pub(super) fn layer_norm(op: &LayerNorm<'_>, input: Values<'_>, output: ValuesMut<'_>) {
    if !op.fits(input.len(), output.len()) {
        return;
    }
    // SAFETY: the table is given out only if the CPU has the features (`available`).
    unsafe {
        match (input, output) {
            (Values::Int8(x), ValuesMut::Int8(y)) => rows(op, x, y),
            (Values::Int8(x), ValuesMut::Int16(y)) => rows(op, x, y),
            (Values::Int16(x), ValuesMut::Int8(y)) => rows(op, x, y),
            (Values::Int16(x), ValuesMut::Int16(y)) => rows(op, x, y),
        }
    }
}

/// A number that is loaded and stored eight at a time.
trait EightNumbers: Number {
    /// Eight values in 16 bits each.
    ///
    /// # Safety
    ///
    /// The CPU has the features of this table.
    unsafe fn load(values: &[Self; 8]) -> int16x8_t;

    /// Stores eight saturated values.
    ///
    /// # Safety
    ///
    /// As for `load`.
    unsafe fn store(values: &mut [Self; 8], v: Eight);
}

impl EightNumbers for i8 {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load(values: &[i8; 8]) -> int16x8_t {
        vmovl_s8(load(values))
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn store(values: &mut [i8; 8], [low, high]: Eight) {
        store(values, vqmovn_s16(vqmovn_high_s32(vqmovn_s32(low), high)));
    }
}

impl EightNumbers for i16 {
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load(values: &[i16; 8]) -> int16x8_t {
        load_words(values)
    }

    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn store(values: &mut [i16; 8], v: Eight) {
        store_words(values, v);
    }
}

#[target_feature(enable = "neon")]
fn rows<X: EightNumbers, Y: EightNumbers>(op: &LayerNorm<'_>, input: &[X], output: &mut [Y]) {
    let n = op.gains.len();
    for (x, y) in input.chunks_exact(n).zip(output.chunks_exact_mut(n)) {
        let (sum, squares) = sums(x);
        let root = op.root(sum, squares);
        let done = write(op, root, sum, x, y);
        for ((y, &x), (&gain, &bias)) in y.iter_mut().zip(x).zip(op.gains.iter().zip(op.bias)).skip(done) {
            let deviation = (n as i32).wrapping_mul(x.into()).wrapping_sub(sum);
            *y = Y::saturate(op.apply(root.apply(deviation), gain, bias));
        }
    }
}

/// The sum of a row, and the sum of its squares.
#[inline]
#[target_feature(enable = "neon")]
fn sums<X: EightNumbers>(row: &[X]) -> (i32, u64) {
    let (eights, rest) = row.as_chunks::<8>();
    let (mut sum, mut squares) = (vdupq_n_s32(0), [vdupq_n_u64(0); 2]);
    for values in eights {
        // SAFETY: this function has the features.
        let x = unsafe { X::load(values) };
        sum = vpadalq_s16(sum, x);
        let low = vmull_s16(vget_low_s16(x), vget_low_s16(x));
        squares[0] = vpadalq_u32(squares[0], vreinterpretq_u32_s32(low));
        squares[1] = vpadalq_u32(squares[1], vreinterpretq_u32_s32(vmull_high_s16(x, x)));
    }
    let (mut sum, mut squares) = (vaddvq_s32(sum), vaddvq_u64(vaddq_u64(squares[0], squares[1])));
    for &x in rest {
        let x: i32 = x.into();
        sum = sum.wrapping_add(x);
        squares = squares.wrapping_add(x.wrapping_mul(x) as u64);
    }
    (sum, squares)
}

/// Whole eights of a row brought to mean 0 and variance 1, scaled and shifted; returns how many values these are.
#[inline]
#[target_feature(enable = "neon")]
fn write<X: EightNumbers, Y: EightNumbers>(
    op: &LayerNorm<'_>,
    root: InverseRoot,
    sum: i32,
    x: &[X],
    y: &mut [Y],
) -> usize {
    // A deviation is below sqrt(n) * 2^(shift - 10), so what is missing of a shift by 32 can be made up for by one to the left.
    // Then the product without its lower 31 bits, shifted by the rest with rounding, is the contract's.
    let [left, rest] = [32u32.saturating_sub(root.shift), root.shift.max(32) - 31];
    let n = vdupq_n_s32((op.gains.len() as i32).wrapping_shl(left));
    let less_sum = vdupq_n_s32(sum.wrapping_neg().wrapping_shl(left));
    let (factor, rest) = (vdupq_n_s32(root.factor), vdupq_n_s32(-(rest as i32)));
    let right = vdupq_n_s32(-i32::from(op.right & 31));
    let (inputs, _) = x.as_chunks::<8>();
    let (outputs, _) = y.as_chunks_mut::<8>();
    let parameters = op.gains.chunks_exact(8).zip(op.bias.chunks_exact(8));
    for ((x, y), (gains, bias)) in inputs.iter().zip(outputs).zip(parameters) {
        // SAFETY: this function has the features.
        let mut values = widen_words(unsafe { X::load(x) });
        for ((value, gain), bias) in values.iter_mut().zip(numbers(gains)).zip(numbers(bias)) {
            let deviation = vmlaq_s32(less_sum, *value, n);
            let units = vrshlq_s32(vqdmulhq_s32(deviation, factor), rest);
            // The product without its lower 31 bits, then 32. Units are far below 2^31, so nothing saturates.
            let scaled = vshrq_n_s32::<1>(vqdmulhq_s32(units, gain));
            *value = vshlq_s32(vaddq_s32(scaled, bias), right);
        }
        // SAFETY: this function has the features.
        unsafe { Y::store(y, values) };
    }
    inputs.len() * 8
}

//! Ops on single elements: sums, product, table, change of size.

use core::arch::aarch64::*;

use super::requantize::{Range, Rescale, Sum, load, load_sixteen, store, store_sixteen};
use super::tile::Eight;
use crate::ops::{Add, Add16, Lut, Mul, Narrow};
use crate::tensor::Values;

/// See [`crate::Kernels::add`].
pub(super) fn add(op: &Add, a: &[i8], output: &mut [i8]) {
    // SAFETY: the table is given out only if the CPU has the features (`available`).
    unsafe { add_rows(op, a, output) }
}

#[target_feature(enable = "neon")]
fn add_rows(op: &Add, a: &[i8], output: &mut [i8]) {
    let sum = Sum::new(op);
    for row in output.chunks_mut(a.len().max(1)) {
        for (a, b) in a.chunks(8).zip(row.chunks_mut(8)) {
            let value = sum.apply(load(a), load(b));
            store(b, value);
        }
    }
}

/// See [`crate::Kernels::mul`].
pub(super) fn mul(op: &Mul, a: &[i8], output: &mut [i8]) {
    // SAFETY: the table is given out only if the CPU has the features (`available`).
    unsafe { mul_rows(op, a, output) }
}

#[target_feature(enable = "neon")]
fn mul_rows(op: &Mul, a: &[i8], output: &mut [i8]) {
    let [za, zb] = op.zeros.map(|zero| vdup_n_s8(zero));
    let rescale = Rescale::splat(op.multiplier, op.shift);
    let range = Range::new(op.range);
    for row in output.chunks_mut(a.len().max(1)) {
        for (a, b) in a.chunks(8).zip(row.chunks_mut(8)) {
            let (a, held) = (vsubl_s8(load(a), za), vsubl_s8(load(b), zb));
            let products = [vmull_s16(vget_low_s16(a), vget_low_s16(held)), vmull_high_s16(a, held)];
            store(b, range.pack(rescale.apply(products)));
        }
    }
}

/// See [`crate::Kernels::lut`].
pub(super) fn lut(op: &Lut<'_>, output: &mut [i8]) {
    // SAFETY: the table is given out only if the CPU has the features (`available`).
    unsafe { look_up(op, output) }
}

#[target_feature(enable = "neon")]
fn look_up(op: &Lut<'_>, output: &mut [i8]) {
    let table: &[i8; 256] = op.table;
    // SAFETY: four times sixteen bytes from each of these places are inside the table.
    let parts = [0, 64, 128, 192].map(|at| unsafe { vld1q_s8_x4(table.as_ptr().add(at)) });
    let quarter = vdupq_n_u8(64);
    let (vectors, rest) = output.as_chunks_mut::<16>();
    for values in vectors {
        let mut at = vreinterpretq_u8_s8(load_sixteen(values));
        // A place outside the part leaves what an earlier one found.
        let mut found = vqtbl4q_s8(parts[0], at);
        for part in &parts[1..] {
            at = vsubq_u8(at, quarter);
            found = vqtbx4q_s8(found, *part, at);
        }
        store_sixteen(values, found);
    }
    for v in rest {
        *v = op.apply(*v);
    }
}

/// See [`crate::Kernels::add16`].
pub(super) fn add16(op: &Add16, a: Values<'_>, output: &mut [i16]) {
    // SAFETY: the table is given out only if the CPU has the features (`available`). An operand of 8 bits counts 256 times.
    unsafe {
        match a {
            Values::Int8(a) => sums(op, a, output, |a| vshll_n_s8::<8>(load(a)), |a| i16::from(a) << 8),
            Values::Int16(a) => sums(op, a, output, |a| load_words(a), |a| a),
        }
    }
}

/// `wide` makes 16 bits of eight values, `one` of a single one.
#[inline]
#[target_feature(enable = "neon")]
fn sums<T: Copy>(op: &Add16, a: &[T], output: &mut [i16], wide: impl Fn(&[T]) -> int16x8_t, one: impl Fn(T) -> i16) {
    if a.len() != output.len() {
        return;
    }
    let [m0, m1] = op.multipliers;
    let (bias, shift) = (vdupq_n_s32(op.bias), vdupq_n_s32(-i32::from(op.shift & 31)));
    let (values, rest) = a.as_chunks::<8>();
    let (outputs, last) = output.as_chunks_mut::<8>();
    for (a, b) in values.iter().zip(outputs) {
        let (a, held) = (wide(a), load_words(b));
        let low = vmlal_n_s16(vmlal_n_s16(bias, vget_low_s16(a), m0), vget_low_s16(held), m1);
        let high = vmlal_high_n_s16(vmlal_high_n_s16(bias, a, m0), held, m1);
        store_words(b, [vshlq_s32(low, shift), vshlq_s32(high, shift)]);
    }
    for (v, &a) in last.iter_mut().zip(rest) {
        *v = op.apply(one(a), *v);
    }
}

/// See [`crate::Kernels::narrow`].
pub(super) fn narrow(op: &Narrow, input: &[i16], output: &mut [i8]) {
    if input.len() == output.len() {
        // SAFETY: the table is given out only if the CPU has the features (`available`).
        unsafe { narrowed(op, input, output) }
    }
}

#[target_feature(enable = "neon")]
fn narrowed(op: &Narrow, input: &[i16], output: &mut [i8]) {
    let rescale = Rescale::splat(op.multiplier, op.shift);
    let range = Range::new(op.range);
    let (values, rest) = input.as_chunks::<8>();
    let (outputs, last) = output.as_chunks_mut::<8>();
    for (x, y) in values.iter().zip(outputs) {
        store(y, range.pack(rescale.apply(widen_words(load_words(x)))));
    }
    for (v, &x) in last.iter_mut().zip(rest) {
        *v = op.apply(x);
    }
}

/// Eight values in 32 bits each.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn widen_words(words: int16x8_t) -> Eight {
    [vmovl_s16(vget_low_s16(words)), vmovl_high_s16(words)]
}

/// The first eight values.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn load_words(values: &[i16]) -> int16x8_t {
    // SAFETY: eight values.
    unsafe { vld1q_s16(values[..8].as_ptr()) }
}

/// Stores eight values, limited to what a tensor of 16 bits holds.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn store_words(values: &mut [i16], [low, high]: Eight) {
    let words = vmaxq_s16(vqmovn_high_s32(vqmovn_s32(low), high), vdupq_n_s16(-i16::MAX));
    // SAFETY: room for eight values.
    unsafe { vst1q_s16(values[..8].as_mut_ptr(), words) }
}

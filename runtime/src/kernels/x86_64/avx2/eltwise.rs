//! Ops on single elements: sum and product.

use core::arch::x86_64::*;

use super::requantize::{Range, Rescale, Sum, load, store, widen};
use crate::ops::{Add, Mul};

/// See [`crate::Kernels::add`].
pub(super) fn add(op: &Add, a: &[i8], output: &mut [i8]) {
    // SAFETY: the table is given out only if the CPU has the features (`available`).
    unsafe { add_rows(op, a, output) }
}

/// See [`crate::Kernels::mul`].
pub(super) fn mul(op: &Mul, a: &[i8], output: &mut [i8]) {
    // SAFETY: the table is given out only if the CPU has the features (`available`).
    unsafe { mul_rows(op, a, output) }
}

#[target_feature(enable = "avx2")]
fn add_rows(op: &Add, a: &[i8], output: &mut [i8]) {
    let sum = Sum::new(op);
    for row in output.chunks_mut(a.len().max(1)) {
        for (a, b) in a.chunks(16).zip(row.chunks_mut(16)) {
            let value = sum.apply(load(a), load(b));
            store(b, value);
        }
    }
}

#[target_feature(enable = "avx2")]
fn mul_rows(op: &Mul, a: &[i8], output: &mut [i8]) {
    let [za, zb] = op.zeros.map(|zero| zero as i32);
    let (za, zb) = (_mm256_set1_epi32(za), _mm256_set1_epi32(zb));
    let rescale = Rescale::splat(op.multiplier, op.shift);
    let range = Range::new(op.range);
    for row in output.chunks_mut(a.len().max(1)) {
        for (a, b) in a.chunks(16).zip(row.chunks_mut(16)) {
            let mut values = widen(load(a));
            for (value, b) in values.iter_mut().zip(widen(load(b))) {
                *value = _mm256_mullo_epi32(_mm256_sub_epi32(*value, za), _mm256_sub_epi32(b, zb));
            }
            store(b, range.pack(rescale.apply(values)));
        }
    }
}

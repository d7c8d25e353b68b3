//! Ops on single elements: sum, product, table.

use core::arch::x86_64::*;

use super::requantize::{Range, Rescale, Sum, parts};
use crate::kernels::scalar;
use crate::kernels::x86_64::has;
use crate::ops::{Add, Lut, Mul};

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

/// See [`crate::Kernels::lut`]. Without VBMI a table is read byte by byte, which is as fast as shuffles of sixteen.
pub(super) fn lut(op: &Lut<'_>, output: &mut [i8]) {
    if has!("avx512vbmi") {
        // SAFETY: the CPU has the features.
        unsafe { permute(op, output) }
    } else {
        (scalar::KERNELS.lut)(op, output);
    }
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn add_rows(op: &Add, a: &[i8], output: &mut [i8]) {
    let sum = Sum::new(op);
    for row in output.chunks_mut(a.len().max(1)) {
        for (a, b) in a.chunks(64).zip(row.chunks_mut(64)) {
            let mut values = widen(a);
            for (value, b) in values.iter_mut().zip(widen(b)) {
                *value = sum.apply(*value, b);
            }
            store(b, sum.range.pack(values));
        }
    }
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn mul_rows(op: &Mul, a: &[i8], output: &mut [i8]) {
    let [za, zb] = op.zeros.map(|zero| _mm512_set1_epi32(zero as i32));
    let low = _mm512_set1_epi32(0xffff);
    let rescale = Rescale::splat(op.multiplier, op.shift);
    let range = Range::new(op.range);
    for row in output.chunks_mut(a.len().max(1)) {
        for (a, b) in a.chunks(64).zip(row.chunks_mut(64)) {
            let mut values = widen(a);
            for (value, b) in values.iter_mut().zip(widen(b)) {
                // The upper half of a value, which is its sign, is paired with 0.
                let b = _mm512_and_si512(_mm512_sub_epi32(b, zb), low);
                let product = _mm512_madd_epi16(_mm512_sub_epi32(*value, za), b);
                *value = rescale.apply(rescale.shift_left(product));
            }
            store(b, range.pack(values));
        }
    }
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni,avx512vbmi")]
fn permute(op: &Lut<'_>, output: &mut [i8]) {
    let table = op.table.as_ptr();
    // SAFETY: a table has 256 bytes.
    let [t0, t1, t2, t3] = unsafe { [0, 64, 128, 192].map(|at| _mm512_loadu_epi8(table.add(at))) };
    for values in output.chunks_mut(64) {
        let x = load(values);
        let low = _mm512_permutex2var_epi8(t0, x, t1);
        let high = _mm512_permutex2var_epi8(t2, x, t3);
        store(values, _mm512_mask_blend_epi8(_mm512_movepi8_mask(x), low, high));
    }
}

/// Up to 64 values.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn load(values: &[i8]) -> __m512i {
    // SAFETY: the mask has the length of the slice.
    unsafe { _mm512_maskz_loadu_epi8(mask(values), values.as_ptr()) }
}

/// Up to 64 values, in 32 bits each.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn widen(values: &[i8]) -> [__m512i; 4] {
    let mut wide = [_mm512_setzero_si512(); 4];
    for (wide, part) in wide.iter_mut().zip(parts(load(values))) {
        *wide = _mm512_cvtepi8_epi32(part);
    }
    wide
}

/// Stores as many values as there is room for.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn store(values: &mut [i8], v: __m512i) {
    // SAFETY: the mask has the length of the slice.
    unsafe { _mm512_mask_storeu_epi8(values.as_mut_ptr(), mask(values), v) }
}

/// As many ones as there are values, 64 at most.
#[inline]
fn mask(values: &[i8]) -> __mmask64 {
    if values.len() >= 64 { !0 } else { !(!0 << values.len()) }
}

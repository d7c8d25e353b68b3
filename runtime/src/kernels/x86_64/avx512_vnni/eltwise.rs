//! Ops on single elements: sums, product, table, change of size.

use core::arch::x86_64::*;

use super::requantize::{Range, Rescale, Sum, first, parts};
use crate::kernels::scalar;
use crate::kernels::x86_64::has;
use crate::ops::{Add, Add16, Lut, Mul, Narrow};
use crate::tensor::Values;

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

/// See [`crate::Kernels::add16`].
pub(super) fn add16(op: &Add16, a: Values<'_>, output: &mut [i16]) {
    if a.len() == output.len() {
        // SAFETY: the table is given out only if the CPU has the features (`available`).
        unsafe {
            match a {
                Values::Int8(a) => sums16(op, a, output, |a| _mm512_slli_epi16::<8>(words_of_bytes(a))),
                Values::Int16(a) => sums16(op, a, output, |a| words(a)),
            }
        }
    }
}

/// See [`crate::Kernels::narrow`].
pub(super) fn narrow(op: &Narrow, input: &[i16], output: &mut [i8]) {
    if input.len() == output.len() {
        // SAFETY: the table is given out only if the CPU has the features (`available`).
        unsafe { narrowed(op, input, output) }
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

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn narrowed(op: &Narrow, input: &[i16], output: &mut [i8]) {
    let rescale = Rescale::splat(op.multiplier, op.shift);
    let range = Range::new(op.range);
    for (x, y) in input.chunks(64).zip(output.chunks_mut(64)) {
        let mut values = [_mm512_setzero_si512(); 4];
        for (value, x) in values.iter_mut().zip(x.chunks(16)) {
            // SAFETY: the mask has the length of the slice.
            let x = unsafe { _mm256_maskz_loadu_epi16(first(x.len()), x.as_ptr()) };
            *value = rescale.apply(rescale.shift_left(_mm512_cvtepi16_epi32(x)));
        }
        store(y, range.pack(values));
    }
}

/// `a` and `output` have the same length; `wide` loads up to 32 values of `a` in 16 bits.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
unsafe fn sums16<T>(op: &Add16, a: &[T], output: &mut [i16], wide: impl Fn(&[T]) -> __m512i) {
    let [m0, m1] = op.multipliers.map(|m| m as u16 as u32);
    let multipliers = _mm512_set1_epi32((m0 | m1 << 16) as i32);
    let bias = _mm512_set1_epi32(op.bias);
    let shift = _mm_cvtsi32_si128(i32::from(op.shift) & 31);
    for (a, b) in a.chunks(32).zip(output.chunks_mut(32)) {
        let (a, held) = (wide(a), words(b));
        // The pairs of each 128 bits come in two halves, and go together again in the same order.
        let pairs = [_mm512_unpacklo_epi16(a, held), _mm512_unpackhi_epi16(a, held)];
        let [low, high] = pairs.map(|pair| _mm512_sra_epi32(_mm512_dpwssd_epi32(bias, pair, multipliers), shift));
        let sums = _mm512_max_epi16(_mm512_packs_epi32(low, high), _mm512_set1_epi16(-i16::MAX));
        // SAFETY: the mask has the length of the slice.
        unsafe { _mm512_mask_storeu_epi16(b.as_mut_ptr(), mask(b.len()) as __mmask32, sums) };
    }
}

/// Up to 32 values.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn words(values: &[i16]) -> __m512i {
    // SAFETY: the mask has the length of the slice, 32 at most.
    unsafe { _mm512_maskz_loadu_epi16(mask(values.len()) as __mmask32, values.as_ptr()) }
}

/// Up to 32 values, in 16 bits each.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn words_of_bytes(values: &[i8]) -> __m512i {
    // SAFETY: the mask has the length of the slice, 32 at most.
    _mm512_cvtepi8_epi16(unsafe { _mm256_maskz_loadu_epi8(mask(values.len()) as __mmask32, values.as_ptr()) })
}

/// Up to 64 values.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn load(values: &[i8]) -> __m512i {
    // SAFETY: the mask has the length of the slice.
    unsafe { _mm512_maskz_loadu_epi8(mask(values.len()), values.as_ptr()) }
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
    unsafe { _mm512_mask_storeu_epi8(values.as_mut_ptr(), mask(values.len()), v) }
}

/// A mask of the first `n` of 64.
const fn mask(n: usize) -> __mmask64 {
    if n >= 64 { !0 } else { !(!0 << n) }
}

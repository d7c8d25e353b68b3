//! Layer normalization: sums of 32 values at a time, then sixteen results.

use core::arch::x86_64::*;

use super::requantize::first;
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

/// A number that is loaded and stored sixteen at a time, in 32 bits each.
trait Sixteen: Number {
    /// Up to sixteen values; missing ones are 0.
    ///
    /// # Safety
    ///
    /// The CPU has the features of this table.
    unsafe fn load(values: &[Self]) -> __m512i;

    /// Stores as many saturated values as there is room for, sixteen at most.
    ///
    /// # Safety
    ///
    /// As for `load`.
    unsafe fn store(values: &mut [Self], v: __m512i);
}

impl Sixteen for i8 {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    unsafe fn load(values: &[i8]) -> __m512i {
        // SAFETY: the mask has the length of the slice, or less.
        _mm512_cvtepi8_epi32(unsafe { _mm_maskz_loadu_epi8(first(values.len()), values.as_ptr()) })
    }

    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    unsafe fn store(values: &mut [i8], v: __m512i) {
        // SAFETY: the mask has the length of the slice, or less.
        unsafe { _mm_mask_storeu_epi8(values.as_mut_ptr(), first(values.len()), _mm512_cvtsepi32_epi8(v)) }
    }
}

impl Sixteen for i16 {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    unsafe fn load(values: &[i16]) -> __m512i {
        // SAFETY: the mask has the length of the slice, or less.
        _mm512_cvtepi16_epi32(unsafe { _mm256_maskz_loadu_epi16(first(values.len()), values.as_ptr()) })
    }

    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    unsafe fn store(values: &mut [i16], v: __m512i) {
        let v = _mm512_max_epi32(v, _mm512_set1_epi32(-i32::from(i16::MAX)));
        // SAFETY: the mask has the length of the slice, or less.
        unsafe { _mm256_mask_storeu_epi16(values.as_mut_ptr(), first(values.len()), _mm512_cvtsepi32_epi16(v)) }
    }
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn rows<X: Sixteen, Y: Sixteen>(op: &LayerNorm<'_>, input: &[X], output: &mut [Y]) {
    let n = op.gains.len();
    for (x, y) in input.chunks_exact(n).zip(output.chunks_exact_mut(n)) {
        let (sum, squares) = sums(x);
        write(op, op.root(sum, squares), sum, x, y);
    }
}

/// The sum of a row, and the sum of its squares.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn sums<X: Sixteen>(row: &[X]) -> (i32, u64) {
    let low = _mm512_set1_epi64(0xffff_ffff);
    let mut sum = _mm512_setzero_si512();
    let mut squares = [_mm512_setzero_si512(); 2];
    for values in row.chunks(16) {
        // SAFETY: this function has the features.
        let x = unsafe { X::load(values) };
        sum = _mm512_add_epi32(sum, x);
        // The upper half of a value is its sign: with it, a square would count 1 more.
        let square = _mm512_madd_epi16(x, _mm512_maskz_mov_epi16(0x5555_5555, x));
        squares[0] = _mm512_add_epi64(squares[0], _mm512_and_si512(square, low));
        squares[1] = _mm512_add_epi64(squares[1], _mm512_srli_epi64::<32>(square));
    }
    let squares = _mm512_reduce_add_epi64(_mm512_add_epi64(squares[0], squares[1]));
    (_mm512_reduce_add_epi32(sum), squares as u64)
}

/// A row brought to mean 0 and variance 1, scaled and shifted.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn write<X: Sixteen, Y: Sixteen>(op: &LayerNorm<'_>, root: InverseRoot, sum: i32, x: &[X], y: &mut [Y]) {
    // A value is a pair of 16 bits, of which the number of channels multiplies the lower one.
    let n = _mm512_set1_epi32(op.gains.len() as i32);
    let less_sum = _mm512_set1_epi32(sum.wrapping_neg());
    let factor = _mm512_set1_epi32(root.factor);
    let half = _mm512_set1_epi64(1 << (root.shift - 1));
    let [shift, right] = [root.shift as i32, i32::from(op.right) & 31].map(|count| _mm_cvtsi32_si128(count));
    let units = |product| _mm512_sra_epi64(_mm512_add_epi64(product, half), shift);
    let parameters = op.gains.chunks(16).zip(op.bias.chunks(16));
    for ((x, y), (gains, bias)) in x.chunks(16).zip(y.chunks_mut(16)).zip(parameters) {
        let mask = first(gains.len());
        // SAFETY: this function has the features; the mask has the length of both slices.
        let [x, gains, bias] = unsafe {
            let numbers = |values: &[i32]| _mm512_maskz_loadu_epi32(mask, values.as_ptr());
            [X::load(x), numbers(gains), numbers(bias)]
        };
        let deviation = _mm512_dpwssd_epi32(less_sum, x, n);
        let even = units(_mm512_mul_epi32(deviation, factor));
        let odd = units(_mm512_mul_epi32(_mm512_srli_epi64::<32>(deviation), factor));
        let even = _mm512_mul_epi32(even, gains);
        let odd = _mm512_mul_epi32(odd, _mm512_srli_epi64::<32>(gains));
        // Upper halves of the even products move down between those of the odd ones.
        let high = _mm512_mask_shuffle_epi32::<0b11_11_01_01>(odd, 0x5555, even);
        // SAFETY: this function has the features.
        unsafe { Y::store(y, _mm512_sra_epi32(_mm512_add_epi32(high, bias), right)) };
    }
}

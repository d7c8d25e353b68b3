//! Pools: the channels of a pixel side by side, the window clipped to the image.

use core::arch::x86_64::*;

use super::requantize::{Range, Rescale, load, store, widen};
use crate::kernels::under::for_each_block;
use crate::ops::{AvgPool, MaxPool};

/// See [`crate::Kernels::max_pool`].
pub(super) fn max_pool(op: &MaxPool, input: &[i8], output: &mut [i8]) {
    if op.fits(input, output) {
        // SAFETY: the table is given out only if the CPU has the features (`available`).
        unsafe { maxima(op, input, output) }
    }
}

/// See [`crate::Kernels::avg_pool`].
pub(super) fn avg_pool(op: &AvgPool<'_>, input: &[i8], output: &mut [i8]) {
    if op.fits(input, output) {
        // SAFETY: the table is given out only if the CPU has the features (`available`).
        unsafe { means(op, input, output) }
    }
}

#[target_feature(enable = "avx2")]
fn maxima(op: &MaxPool, input: &[i8], output: &mut [i8]) {
    for_each_block::<16>(op, output, |under, channel, out| {
        let mut max = _mm_set1_epi8(i8::MIN);
        under.each(input, channel, out.len(), |values| max = _mm_max_epi8(max, load(values)));
        store(out, max);
    });
}

#[target_feature(enable = "avx2")]
fn means(op: &AvgPool<'_>, input: &[i8], output: &mut [i8]) {
    let range = Range::new(op.range);
    for_each_block::<16>(&op.pool, output, |under, channel, out| {
        let n = under.pixels();
        let (multiplier, shift) = op.factor(n);
        let mut sums = [_mm256_set1_epi32((n as i32).wrapping_mul(-(op.input_zero as i32))); 2];
        under.each(input, channel, out.len(), |values| {
            for (sum, value) in sums.iter_mut().zip(widen(load(values))) {
                *sum = _mm256_add_epi32(*sum, value);
            }
        });
        store(out, range.pack(Rescale::splat(multiplier, shift).apply(sums)));
    });
}

//! Pools: the channels of a pixel side by side, the window clipped to the image.

use core::arch::x86_64::*;

use super::requantize::{Range, Rescale};
use crate::kernels::under::for_each_block;
use crate::ops::{AvgPool, MaxPool};

/// Channels at a time.
const BLOCK: usize = 64;

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

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn maxima(op: &MaxPool, input: &[i8], output: &mut [i8]) {
    for_each_block::<BLOCK>(op, output, |under, channel, out| {
        let mask = first(out.len());
        let mut max = _mm512_set1_epi8(i8::MIN);
        under.each(input, channel, out.len(), |values| {
            // SAFETY: the mask has the length of both slices.
            max = _mm512_max_epi8(max, unsafe { _mm512_mask_loadu_epi8(max, mask, values.as_ptr()) });
        });
        // SAFETY: as before.
        unsafe { _mm512_mask_storeu_epi8(out.as_mut_ptr(), mask, max) };
    });
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn means(op: &AvgPool<'_>, input: &[i8], output: &mut [i8]) {
    let range = Range::new(op.range);
    for_each_block::<BLOCK>(&op.pool, output, |under, channel, out| {
        let n = under.pixels();
        let (multiplier, shift) = op.factor(n);
        let rescale = Rescale::splat(multiplier, shift);
        let mask = first(out.len());
        let mut sums = [_mm512_set1_epi32((n as i32).wrapping_mul(-(op.input_zero as i32))); BLOCK / 16];
        under.each(input, channel, out.len(), |values| {
            for (quarter, sum) in sums.iter_mut().enumerate() {
                let mask = (mask >> (quarter * 16)) as __mmask16;
                // SAFETY: the masks have the length of the slice; a masked load reads nothing else.
                let values = unsafe { _mm_maskz_loadu_epi8(mask, values.as_ptr().wrapping_add(quarter * 16)) };
                *sum = _mm512_add_epi32(*sum, _mm512_cvtepi8_epi32(values));
            }
        });
        for sum in &mut sums {
            *sum = rescale.apply(rescale.shift_left(*sum));
        }
        // SAFETY: the mask has the length of the slice.
        unsafe { _mm512_mask_storeu_epi8(out.as_mut_ptr(), mask, range.pack(sums)) };
    });
}

/// The first `len` of a block's channels.
const fn first(len: usize) -> __mmask64 {
    if len == BLOCK { !0 } else { !(!0 << len) }
}

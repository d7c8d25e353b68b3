//! Pools: the channels of a pixel side by side, the window clipped to the image.

use core::arch::aarch64::*;

use super::requantize::{Range, Rescale, load, load_sixteen, store, store_sixteen, widen};
use crate::kernels::under::for_each_block;
use crate::ops::{AvgPool, MaxPool};

/// See [`crate::Kernels::max_pool`].
pub(super) fn max_pool(op: &MaxPool, input: &[i8], output: &mut [i8]) {
    if op.fits(input, output) {
        // SAFETY: the table is given out only if the CPU has the features (`available`).
        unsafe { maxima(op, input, output) }
    }
}

#[target_feature(enable = "neon")]
fn maxima(op: &MaxPool, input: &[i8], output: &mut [i8]) {
    for_each_block::<16>(op, output, |under, channel, out| {
        let mut max = vdupq_n_s8(i8::MIN);
        under.each(input, channel, out.len(), |values| max = vmaxq_s8(max, load_sixteen(values)));
        store_sixteen(out, max);
    });
}

/// See [`crate::Kernels::avg_pool`].
pub(super) fn avg_pool(op: &AvgPool<'_>, input: &[i8], output: &mut [i8]) {
    if op.fits(input, output) {
        // SAFETY: the table is given out only if the CPU has the features (`available`).
        unsafe { means(op, input, output) }
    }
}

#[target_feature(enable = "neon")]
fn means(op: &AvgPool<'_>, input: &[i8], output: &mut [i8]) {
    let range = Range::new(op.range);
    for_each_block::<8>(&op.pool, output, |under, channel, out| {
        let n = under.pixels();
        let (multiplier, shift) = op.factor(n);
        let mut sums = [vdupq_n_s32((n as i32).wrapping_mul(-(op.input_zero as i32))); 2];
        under.each(input, channel, out.len(), |values| {
            for (sum, value) in sums.iter_mut().zip(widen(load(values))) {
                *sum = vaddq_s32(*sum, value);
            }
        });
        store(out, range.pack(Rescale::splat(multiplier, shift).apply(sums)));
    });
}

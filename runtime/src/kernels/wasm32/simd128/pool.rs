//! Pools: the channels of a pixel side by side, the window clipped to the image.

use core::arch::wasm32::*;

use super::requantize::{Range, Rescale, load, store, widen};
use crate::kernels::under::for_each_block;
use crate::ops::{AvgPool, MaxPool};

/// See [`crate::Kernels::max_pool`].
pub(super) fn max_pool(op: &MaxPool, input: &[i8], output: &mut [i8]) {
    if !op.fits(input, output) {
        return;
    }
    for_each_block::<8>(op, output, |under, channel, out| {
        let mut max = i8x16_splat(i8::MIN);
        under.each(input, channel, out.len(), |values| max = i8x16_max(max, load(values)));
        store(out, max);
    });
}

/// See [`crate::Kernels::avg_pool`].
pub(super) fn avg_pool(op: &AvgPool<'_>, input: &[i8], output: &mut [i8]) {
    if !op.fits(input, output) {
        return;
    }
    let range = Range::new(op.range);
    for_each_block::<8>(&op.pool, output, |under, channel, out| {
        let n = under.pixels();
        let (multiplier, shift) = op.factor(n);
        let mut sums = [i32x4_splat((n as i32).wrapping_mul(-(op.input_zero as i32))); 2];
        under.each(input, channel, out.len(), |values| {
            for (sum, value) in sums.iter_mut().zip(widen(load(values))) {
                *sum = i32x4_add(*sum, value);
            }
        });
        store(out, range.pack(Rescale::splat(multiplier, shift).apply(sums)));
    });
}

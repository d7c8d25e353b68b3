//! Pools: the channels of a pixel side by side, the window clipped to the image.

use core::arch::aarch64::*;

use super::requantize::{Range, Rescale, load, load_sixteen, store, store_sixteen, widen};
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
    let channels = op.output.channels;
    for (i, pixel) in output.chunks_exact_mut(channels.max(1)).enumerate() {
        let rows = op.window.under(0, i / op.output.width, op.input.height);
        let columns = op.window.under(1, i % op.output.width, op.input.width);
        for (block, out) in pixel.chunks_mut(16).enumerate() {
            let mut max = vdupq_n_s8(i8::MIN);
            for y in rows.clone() {
                for x in columns.clone() {
                    let values = &input[(y * op.input.width + x) * channels + block * 16..][..out.len()];
                    max = vmaxq_s8(max, load_sixteen(values));
                }
            }
            store_sixteen(out, max);
        }
    }
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
    let MaxPool { input: image, output: shape, window } = op.pool;
    let channels = shape.channels;
    let range = Range::new(op.range);
    for (i, pixel) in output.chunks_exact_mut(channels.max(1)).enumerate() {
        let [rows, columns] =
            [window.under(0, i / shape.width, image.height), window.under(1, i % shape.width, image.width)];
        let n = rows.len() * columns.len();
        let (multiplier, shift) = op.factor(n);
        let rescale = Rescale::splat(multiplier, shift);
        let start = vdupq_n_s32((n as i32).wrapping_mul(-(op.input_zero as i32)));
        for (block, out) in pixel.chunks_mut(8).enumerate() {
            let mut sums = [start; 2];
            for y in rows.clone() {
                for x in columns.clone() {
                    let values = &input[(y * image.width + x) * channels + block * 8..][..out.len()];
                    for (sum, value) in sums.iter_mut().zip(widen(load(values))) {
                        *sum = vaddq_s32(*sum, value);
                    }
                }
            }
            store(out, range.pack(rescale.apply(sums)));
        }
    }
}

//! Pools: the channels of a pixel side by side, the window clipped to the image.

use core::arch::wasm32::*;

use super::requantize::{Range, Rescale, load, store, widen};
use crate::ops::{AvgPool, MaxPool};

/// See [`crate::Kernels::max_pool`].
pub(super) fn max_pool(op: &MaxPool, input: &[i8], output: &mut [i8]) {
    if !op.fits(input, output) {
        return;
    }
    let channels = op.output.channels;
    for (i, pixel) in output.chunks_exact_mut(channels.max(1)).enumerate() {
        let rows = op.window.under(0, i / op.output.width, op.input.height);
        let columns = op.window.under(1, i % op.output.width, op.input.width);
        for (block, out) in pixel.chunks_mut(8).enumerate() {
            let mut max = i8x16_splat(i8::MIN);
            for y in rows.clone() {
                for x in columns.clone() {
                    let values = &input[(y * op.input.width + x) * channels + block * 8..][..out.len()];
                    max = i8x16_max(max, load(values));
                }
            }
            store(out, max);
        }
    }
}

/// See [`crate::Kernels::avg_pool`].
pub(super) fn avg_pool(op: &AvgPool<'_>, input: &[i8], output: &mut [i8]) {
    if !op.fits(input, output) {
        return;
    }
    let MaxPool { input: image, output: shape, window } = op.pool;
    let channels = shape.channels;
    let range = Range::new(op.range);
    for (i, pixel) in output.chunks_exact_mut(channels.max(1)).enumerate() {
        let [rows, columns] =
            [window.under(0, i / shape.width, image.height), window.under(1, i % shape.width, image.width)];
        let n = rows.len() * columns.len();
        let (multiplier, shift) = op.factor(n);
        let rescale = Rescale::splat(multiplier, shift);
        let start = i32x4_splat((n as i32).wrapping_mul(-(op.input_zero as i32)));
        for (block, out) in pixel.chunks_mut(8).enumerate() {
            let mut sums = [start; 2];
            for y in rows.clone() {
                for x in columns.clone() {
                    let values = &input[(y * image.width + x) * channels + block * 8..][..out.len()];
                    for (sum, value) in sums.iter_mut().zip(widen(load(values))) {
                        *sum = i32x4_add(*sum, value);
                    }
                }
            }
            store(out, range.pack(rescale.apply(sums)));
        }
    }
}

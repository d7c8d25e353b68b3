//! Pools: the channels of a pixel side by side, the window clipped to the image.

use core::arch::x86_64::*;

use super::requantize::{Range, Rescale};
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

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn maxima(op: &MaxPool, input: &[i8], output: &mut [i8]) {
    let channels = op.output.channels;
    for (i, pixel) in output.chunks_exact_mut(channels.max(1)).enumerate() {
        let rows = op.window.under(0, i / op.output.width, op.input.height);
        let columns = op.window.under(1, i % op.output.width, op.input.width);
        for (block, out) in pixel.chunks_mut(64).enumerate() {
            let mask = if out.len() == 64 { !0 } else { !(!0 << out.len()) };
            let mut max = _mm512_set1_epi8(i8::MIN);
            for y in rows.clone() {
                for x in columns.clone() {
                    let values = &input[(y * op.input.width + x) * channels + block * 64..][..out.len()];
                    // SAFETY: the mask has the length of both slices.
                    max = _mm512_max_epi8(max, unsafe { _mm512_mask_loadu_epi8(max, mask, values.as_ptr()) });
                }
            }
            // SAFETY: as before.
            unsafe { _mm512_mask_storeu_epi8(out.as_mut_ptr(), mask, max) };
        }
    }
}

#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
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
        let start = _mm512_set1_epi32((n as i32).wrapping_mul(-(op.input_zero as i32)));
        for (block, out) in pixel.chunks_mut(64).enumerate() {
            let mask: __mmask64 = if out.len() == 64 { !0 } else { !(!0 << out.len()) };
            let mut sums = [start; 4];
            for y in rows.clone() {
                for x in columns.clone() {
                    let values = &input[(y * image.width + x) * channels + block * 64..][..out.len()];
                    for (quarter, sum) in sums.iter_mut().enumerate() {
                        let mask = (mask >> (quarter * 16)) as __mmask16;
                        // SAFETY: the masks have the length of the slice; a masked load reads nothing else.
                        let values = unsafe { _mm_maskz_loadu_epi8(mask, values.as_ptr().wrapping_add(quarter * 16)) };
                        *sum = _mm512_add_epi32(*sum, _mm512_cvtepi8_epi32(values));
                    }
                }
            }
            for sum in &mut sums {
                *sum = rescale.apply(rescale.shift_left(*sum));
            }
            // SAFETY: as before.
            unsafe { _mm512_mask_storeu_epi8(out.as_mut_ptr(), mask, range.pack(sums)) };
        }
    }
}

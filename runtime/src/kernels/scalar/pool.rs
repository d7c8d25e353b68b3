//! Pools: the window is clipped to the image, so padding is never read.

use core::iter::StepBy;
use core::ops::Range;

use crate::ops::{AvgPool, MaxPool, Mean};
use crate::tensor::{Number, Values};

/// Rows or columns of the image under a window.
type Lines = StepBy<Range<usize>>;

/// Largest value of each channel under the window.
pub(super) fn max_pool(op: &MaxPool, input: &[i8], output: &mut [i8]) {
    if !op.fits(input, output) {
        return;
    }
    for_each_window(op, output, |rows, columns, pixel| {
        pixel.fill(i8::MIN);
        for_each_pixel(op, input, rows, columns, |values| {
            for (out, &v) in pixel.iter_mut().zip(values) {
                *out = v.max(*out);
            }
        });
    });
}

/// Mean of each channel under the window.
pub(super) fn avg_pool(op: &AvgPool<'_>, input: &[i8], output: &mut [i8]) {
    if !op.fits(input, output) {
        return;
    }
    for_each_window(&op.pool, output, |rows, columns, pixel| {
        let n = rows.len() * columns.len();
        let (multiplier, shift) = op.factor(n);
        // Four channels at a time, so that the sums stay in registers.
        for (block, out) in pixel.chunks_mut(4).enumerate() {
            let mut sums = [(n as i32).wrapping_mul(-(op.input_zero as i32)); 4];
            for_each_pixel(&op.pool, input, rows.clone(), columns.clone(), |values| {
                for (sum, &v) in sums.iter_mut().zip(values.get(block * 4..).unwrap_or(&[])) {
                    *sum = sum.wrapping_add(v as i32);
                }
            });
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = op.range.requantize(sum, multiplier, shift);
            }
        }
    });
}

/// Mean of each channel over all rows.
#[inline(always)]
pub(super) fn mean(op: &Mean<'_>, input: Values<'_>, output: &mut [i8]) {
    #[inline(always)]
    fn means(op: &Mean<'_>, input: &[impl Number], output: &mut [i8]) {
        if !op.fits(input.len(), output.len()) {
            return;
        }
        let channels = output.len();
        let (multiplier, shift) = op.factor();
        for (c, out) in output.iter_mut().enumerate() {
            let mut sum = (op.rows as i32).wrapping_mul(-(op.input_zero as i32));
            for row in input.chunks_exact(channels) {
                sum = sum.wrapping_add(row[c].into());
            }
            *out = op.range.requantize(sum, multiplier, shift);
        }
    }
    match input {
        Values::Int8(input) => means(op, input, output),
        Values::Int16(input) => means(op, input, output),
    }
}

/// Calls `each` with what lies under each window and the output pixel that it makes.
fn for_each_window(op: &MaxPool, output: &mut [i8], mut each: impl FnMut(Lines, Lines, &mut [i8])) {
    let mut pixels = output.chunks_exact_mut(op.output.channels.max(1));
    for y in 0..op.output.height {
        let rows = op.window.under(0, y, op.input.height);
        for (x, pixel) in pixels.by_ref().take(op.output.width).enumerate() {
            each(rows.clone(), op.window.under(1, x, op.input.width), pixel);
        }
    }
}

/// Calls `each` with the channels of each pixel in `rows` and `columns`.
fn for_each_pixel(op: &MaxPool, input: &[i8], rows: Lines, columns: Lines, mut each: impl FnMut(&[i8])) {
    let channels = op.input.channels;
    for y in rows {
        for x in columns.clone() {
            each(input.get((y * op.input.width + x) * channels..).and_then(|v| v.get(..channels)).unwrap_or(&[]));
        }
    }
}

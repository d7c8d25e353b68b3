//! Convolution and fully connected layer: exact sums of products, then one requantization.

use core::array::from_fn;

use crate::kernels::Layout;
use crate::ops::{Conv2d, Linear};

/// Every output value is `requantize(bias + sum((x + offset) * w))`, then the residual is added if there is one.
pub(super) fn conv2d(op: &Conv2d<'_>, input: &[i8], output: &mut [i8], _scratch: &mut [u8]) {
    if !op.fits(input, output) || output.is_empty() {
        return;
    }
    let mut pixels = output.chunks_exact_mut(op.output.channels);
    for y in 0..op.output.height {
        for (x, pixel) in pixels.by_ref().take(op.output.width).enumerate() {
            // Four channels at a time: an input value is loaded once for four products.
            for (block, out) in pixel.chunks_mut(4).enumerate() {
                let first = block * 4;
                if op.layout == Layout::PLAIN && out.len() == 4 {
                    store(op, first, &plain_sums::<4>(op, input, [y, x], first), out);
                } else {
                    let sums: [i32; 4] = from_fn(|i| if i < out.len() { sum(op, input, [y, x], first + i) } else { 0 });
                    store(op, first, &sums, out);
                }
            }
        }
    }
}

/// A convolution with one tap over a row of `rows` pixels.
pub(super) fn linear(op: &Linear<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    if op.fits(input, output) {
        conv2d(&op.as_conv2d(), input, output, scratch);
    }
}

/// The definition, for every layout: all taps in order, those outside the image reading `input_zero`.
fn sum(op: &Conv2d<'_>, input: &[i8], [y, x]: [usize; 2], o: usize) -> i32 {
    let offset = op.layout.input_offset as i32;
    let channels = op.input.channels;
    let [rows, columns] = [op.window.inside(0, y, op.input.height), op.window.inside(1, x, op.input.width)];
    let mut sum = op.channels.bias[o];
    for ky in 0..op.window.kernel[0] {
        for kx in 0..op.window.kernel[1] {
            let inside = rows.contains(&ky) && columns.contains(&kx);
            let pixel = op.window.read(0, y, ky).wrapping_mul(op.input.width).wrapping_add(op.window.read(1, x, kx));
            for c in 0..channels {
                let value = if inside { input[pixel * channels + c] } else { op.input_zero };
                let weight = op.weight(o, ky, kx * channels + c);
                sum = sum.wrapping_add((value as i32 + offset) * weight as i32);
            }
        }
    }
    sum
}

/// The same for `N` output channels of the plain layout, taking runs of neighbouring values.
fn plain_sums<const N: usize>(op: &Conv2d<'_>, input: &[i8], [y, x]: [usize; 2], first: usize) -> [i32; N] {
    let [rows, columns] = [op.window.inside(0, y, op.input.height), op.window.inside(1, x, op.input.width)];
    let [row_len, channels] = [op.row_len(), op.input.channels];
    // Dense taps inside the image read one run of values; spread ones a pixel each.
    let run = if op.window.dilation[1] == 1 { columns.len() } else { 1 };
    let mut sums = from_fn(|i| op.channels.bias[first + i]);
    for ky in 0..op.window.kernel[0] {
        let row = op.window.read(0, y, ky).wrapping_mul(op.input.width);
        let weights: [&[i8]; N] =
            from_fn(|i| &op.weights[((first + i) * op.window.kernel[0] + ky) * row_len..][..row_len]);
        let mut kx = 0;
        while kx < op.window.kernel[1] {
            if rows.contains(&ky) && columns.contains(&kx) {
                let pixel = row + op.window.read(1, x, kx);
                add_products(&mut sums, weights, kx * channels, &input[pixel * channels..][..run * channels]);
                kx += run;
            } else {
                if op.input_zero != 0 {
                    add_padding(&mut sums, weights, kx * channels, channels, op.input_zero);
                }
                kx += 1;
            }
        }
    }
    sums
}

/// `sums[i] += sum(values * weights[i][from..])`
#[inline(always)]
fn add_products<const N: usize>(sums: &mut [i32; N], weights: [&[i8]; N], from: usize, values: &[i8]) {
    let weights = weights.map(|w| &w[from..][..values.len()]);
    for (k, &value) in values.iter().enumerate() {
        for (sum, w) in sums.iter_mut().zip(&weights) {
            *sum = sum.wrapping_add(value as i32 * w[k] as i32);
        }
    }
}

/// `sums[i] += zero * sum(weights[i][from..][..len])`
fn add_padding<const N: usize>(sums: &mut [i32; N], weights: [&[i8]; N], from: usize, len: usize, zero: i8) {
    for (sum, w) in sums.iter_mut().zip(weights) {
        for &w in &w[from..][..len] {
            *sum = sum.wrapping_add(zero as i32 * w as i32);
        }
    }
}

/// Requantizes the sums of the channels from `first` on and adds the residual.
fn store(op: &Conv2d<'_>, first: usize, sums: &[i32], out: &mut [i8]) {
    for (i, (out, &sum)) in out.iter_mut().zip(sums).enumerate() {
        let o = first + i;
        let value = op.range.requantize(sum, op.channels.multiplier[o], op.channels.shift[o]);
        *out = op.residual.map_or(value, |add| add.apply(value, *out));
    }
}

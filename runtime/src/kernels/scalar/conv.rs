//! Convolution and fully connected layer: exact sums of products, then one requantization.

use super::place::Place;
use crate::kernels::Layout;
use crate::ops::{Conv2d, Linear};

/// Output channels that are summed together: an input value is loaded once for so many products.
const LANES: usize = Layout::LANES.n as usize;

/// Every output value is `requantize(bias + sum((x + offset) * w))`, then the residual is added if there is one.
pub(super) fn conv2d(op: &Conv2d<'_>, input: &[i8], output: &mut [i8], _scratch: &mut [u8]) {
    if !op.fits(input, output) || output.is_empty() {
        return;
    }
    let mut pixels = output.chunks_exact_mut(op.output.channels);
    for y in 0..op.output.height {
        for (x, pixel) in pixels.by_ref().take(op.output.width).enumerate() {
            let place = Place::new(&op.window, op.input, [y, x]);
            if op.layout == Layout::LANES {
                for (panel, out) in pixel.chunks_mut(LANES).enumerate() {
                    let mut sums = [0; LANES];
                    panel_sums(op, input, &place, panel, &mut sums);
                    store(op, panel * LANES, &sums, out);
                }
            } else {
                for (o, out) in pixel.chunks_exact_mut(1).enumerate() {
                    store(op, o, &[sum(op, input, &place, o)], out);
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
fn sum(op: &Conv2d<'_>, input: &[i8], place: &Place, o: usize) -> i32 {
    let mut sum = op.channels.bias[o];
    for ky in 0..op.window.kernel[0] {
        for kx in 0..op.window.kernel[1] {
            let pixel = if place.holds(ky, kx) { Some(place.read(&op.window, op.input, ky, kx)) } else { None };
            for c in 0..op.input.channels {
                let value = pixel.map_or(op.input_zero, |pixel| input[pixel + c]);
                let weight = op.weight(o, ky, kx * op.input.channels + c);
                sum = sum.wrapping_add((value as i32 + op.layout.input_offset as i32) * weight as i32);
            }
        }
    }
    sum
}

/// The same for a panel of its own layout, by runs of neighbouring values.
fn panel_sums(op: &Conv2d<'_>, input: &[i8], place: &Place, panel: usize, sums: &mut [i32; LANES]) {
    let [channels, row_len] = [op.input.channels, op.row_len()];
    let Place { rows, columns, .. } = place;
    sums.copy_from_slice(&op.channels.bias[panel * LANES..][..LANES]);
    let panel = &op.weights.as_chunks().0[panel * op.window.kernel[0] * row_len..][..op.window.kernel[0] * row_len];
    if op.input_zero != 0 && !place.is_full(&op.window) {
        add_padding(op, place, panel, sums);
    }
    // Dense taps read one run of values, spread ones a pixel each.
    let run = if op.window.dilation[1] == 1 { row_len } else { channels };
    for ky in rows.clone() {
        let mut from = place.read(&op.window, op.input, ky, columns.start);
        let row = &panel[ky * row_len..][..row_len];
        for weights in row[columns.start * channels..columns.end * channels].chunks(run) {
            add_products(sums, weights, &input[from..]);
            from += op.window.dilation[1] * channels;
        }
    }
}

/// `sums[i] += sum(weights[..][i] * values)`, as many values as there are weights.
// A function of its own, so that the loop has all registers of a small core to itself.
#[inline(never)]
fn add_products(sums: &mut [i32; LANES], weights: &[[i8; LANES]], values: &[i8]) {
    let mut totals = *sums;
    for (weights, &value) in weights.iter().zip(values) {
        for (total, &w) in totals.iter_mut().zip(weights) {
            *total = total.wrapping_add(value as i32 * w as i32);
        }
    }
    *sums = totals;
}

/// The products of the taps outside the image.
#[cold]
fn add_padding(op: &Conv2d<'_>, place: &Place, panel: &[[i8; LANES]], sums: &mut [i32; LANES]) {
    for (tap, weights) in panel.chunks_exact(op.input.channels).enumerate() {
        let [ky, kx] = [tap / op.window.kernel[1], tap % op.window.kernel[1]];
        if !place.holds(ky, kx) {
            for weights in weights {
                for (sum, &w) in sums.iter_mut().zip(weights) {
                    *sum = sum.wrapping_add(op.input_zero as i32 * w as i32);
                }
            }
        }
    }
}

/// Requantizes the sums of the channels from `first` on and adds the residual.
#[inline(always)]
fn store(op: &Conv2d<'_>, first: usize, sums: &[i32], out: &mut [i8]) {
    let factors = op.channels.multiplier[first..].iter().zip(&op.channels.shift[first..]);
    for ((out, &sum), (&multiplier, &shift)) in out.iter_mut().zip(sums).zip(factors) {
        let value = op.range.requantize(sum, multiplier, shift);
        *out = op.residual.map_or(value, |add| add.apply(value, *out));
    }
}

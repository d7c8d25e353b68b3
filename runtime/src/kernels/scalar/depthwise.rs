//! Depthwise convolution: as a convolution, with one input channel for each output channel.

use core::array::from_fn;

use super::place::Place;
use crate::ops::Depthwise;

/// Every output value is `requantize(bias + sum(x * w))` over the taps of its own channel.
pub(super) fn depthwise(op: &Depthwise<'_>, input: &[i8], output: &mut [i8], _scratch: &mut [u8]) {
    if !op.fits(input, output) || output.is_empty() {
        return;
    }
    // Where each output has an input channel of its own, four at a time.
    let blocks = if op.multiplicity() == 1 { op.output.channels & !3 } else { 0 };
    let mut pixels = output.chunks_exact_mut(op.output.channels);
    for y in 0..op.output.height {
        for (x, pixel) in pixels.by_ref().take(op.output.width).enumerate() {
            let place = Place::new(&op.window, op.input, [y, x]);
            let (fours, ones) = pixel.split_at_mut(blocks);
            for (i, out) in fours.chunks_exact_mut(4).enumerate() {
                store::<4>(op, i * 4, sums(op, input, &place, i * 4), out);
            }
            for (i, out) in ones.chunks_exact_mut(1).enumerate() {
                store::<1>(op, blocks + i, sums(op, input, &place, blocks + i), out);
            }
        }
    }
}

/// The sums of `N` channels from `first` on; taps outside the image read `input_zero`.
fn sums<const N: usize>(op: &Depthwise<'_>, input: &[i8], place: &Place, first: usize) -> [i32; N] {
    let channel = first / op.multiplicity();
    let is_padding_seen = op.input_zero != 0 && !place.is_full(&op.window);
    let mut sums = from_fn(|i| op.channels.bias[first + i]);
    let mut add = |ky: usize, kx: usize, values: [i8; N]| {
        let weights = &op.weights[(ky * op.window.kernel[1] + kx) * op.output.channels + first..][..N];
        for ((sum, value), &weight) in sums.iter_mut().zip(values).zip(weights) {
            *sum = sum.wrapping_add(value as i32 * weight as i32);
        }
    };
    for ky in place.rows.clone() {
        let row = place.read(&op.window, op.input, ky, place.columns.start) + channel;
        for (i, kx) in place.columns.clone().enumerate() {
            let values = &input[row + i * op.window.dilation[1] * op.input.channels..][..N];
            add(ky, kx, from_fn(|i| values[i]));
        }
    }
    for ky in 0..if is_padding_seen { op.window.kernel[0] } else { 0 } {
        for kx in (0..op.window.kernel[1]).filter(|&kx| !place.holds(ky, kx)) {
            add(ky, kx, [op.input_zero; N]);
        }
    }
    sums
}

/// Requantizes the sums of the channels from `first` on.
fn store<const N: usize>(op: &Depthwise<'_>, first: usize, sums: [i32; N], out: &mut [i8]) {
    for (i, (out, sum)) in out.iter_mut().zip(sums).enumerate() {
        *out = op.range.requantize(sum, op.channels.multiplier[first + i], op.channels.shift[first + i]);
    }
}

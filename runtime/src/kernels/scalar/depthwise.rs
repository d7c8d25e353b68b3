//! Depthwise convolution: as a convolution, with one input channel for each output channel.

use crate::ops::Depthwise;

/// Every output value is `requantize(bias + sum(x * w))` over the taps of its own channel.
pub(super) fn depthwise(op: &Depthwise<'_>, input: &[i8], output: &mut [i8], _scratch: &mut [u8]) {
    if !op.fits(input, output) || output.is_empty() {
        return;
    }
    let [channels, multiplicity] = [op.output.channels, op.multiplicity()];
    let mut pixels = output.chunks_exact_mut(channels);
    for y in 0..op.output.height {
        let rows = op.window.inside(0, y, op.input.height);
        for (x, pixel) in pixels.by_ref().take(op.output.width).enumerate() {
            let columns = op.window.inside(1, x, op.input.width);
            for (o, out) in pixel.iter_mut().enumerate() {
                let mut sum = op.channels.bias[o];
                for ky in 0..op.window.kernel[0] {
                    for kx in 0..op.window.kernel[1] {
                        let value = if rows.contains(&ky) && columns.contains(&kx) {
                            let pixel = op.window.read(0, y, ky) * op.input.width + op.window.read(1, x, kx);
                            input[pixel * op.input.channels + o / multiplicity]
                        } else {
                            op.input_zero
                        };
                        let weight = op.weights[(ky * op.window.kernel[1] + kx) * channels + o];
                        sum = sum.wrapping_add(value as i32 * weight as i32);
                    }
                }
                *out = op.range.requantize(sum, op.channels.multiplier[o], op.channels.shift[o]);
            }
        }
    }
}

//! Depthwise convolution: four channels at a time, the taps inside the image only.
//!
//! A tap outside the image reads the zero point. So the sums start as if every tap did, and each tap inside adds
//! `(x - zero) * w`; the subtraction comes free with the widening.

use super::super::depthwise_words;
use super::insn::{add_even_bytes, add_high_product, add_low_product, add_odd_bytes, even_bytes, odd_bytes};
use super::requantize::{Channel, Exact, Fast, Finish, prepare};
use crate::kernels::scalar;
use crate::ops::Depthwise;

/// See [`crate::kernels::Kernels::depthwise`].
pub(super) fn depthwise(op: &Depthwise<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let needed = depthwise_words(op);
    if needed == 0 {
        return (scalar::KERNELS.depthwise)(op, input, output, scratch);
    }
    if !op.fits(input, output) || output.is_empty() {
        return;
    }
    // SAFETY: any four bytes are a word.
    let (before, words, _) = unsafe { scratch.align_to_mut::<u32>() };
    let Some(words) = words.get_mut(..needed).filter(|_| before.is_empty()) else { return };
    let (channels, fast) = prepare(op.channels, op.range, words);
    let zero = i32::from(op.input_zero);
    for weights in op.weights.chunks_exact(op.output.channels).take(op.window.taps()) {
        for (channel, &weight) in channels.iter_mut().zip(weights) {
            channel.bias = channel.bias.wrapping_add(zero * i32::from(weight));
        }
    }
    match fast {
        true => run(op, input, output, channels, Fast),
        false => run(op, input, output, channels, Exact { channels: op.channels, range: op.range, residual: None }),
    }
}

#[inline(always)]
fn run<F: Finish>(op: &Depthwise<'_>, input: &[i8], output: &mut [i8], channels: &[Channel], finish: F) {
    let count = op.output.channels;
    let less_zero = u32::from((-i16::from(op.input_zero)) as u16) * 0x0001_0001;
    let mut pixels = output.chunks_exact_mut(count);
    for y in 0..op.output.height {
        let rows = op.window.inside(0, y, op.input.height);
        for (x, pixel) in pixels.by_ref().take(op.output.width).enumerate() {
            let columns = op.window.inside(1, x, op.input.width);
            let first = op.window.read(0, y, rows.start) * op.input.width + op.window.read(1, x, columns.start);
            let first_tap = rows.start * op.window.kernel[1] + columns.start;
            // Of values and weights: from one tap to the next, and from behind a row of taps to the next row.
            let right = [op.window.dilation[1] * count, count];
            let down = [op.window.dilation[0] * op.input.width * count, op.window.kernel[1] * count];
            let down = [0, 1].map(|i| down[i].wrapping_sub(columns.len() * right[i]));
            let quads = pixel.as_chunks_mut::<4>().0.iter_mut().zip(channels.as_chunks::<4>().0);
            for (quad, (out, channels)) in quads.enumerate() {
                let [mut s0, mut s1, mut s2, mut s3] = channels.each_ref().map(|c| c.bias as u32);
                let [mut value, mut weight] = [first, first_tap].map(|first| first * count + 4 * quad);
                for _ in rows.clone() {
                    for _ in columns.clone() {
                        let (values, weights) = (word(input, value), word(op.weights, weight));
                        let [even, odd] = [add_even_bytes(less_zero, values), add_odd_bytes(less_zero, values)];
                        let [even_weights, odd_weights] = [even_bytes(weights), odd_bytes(weights)];
                        s0 = add_low_product(even, even_weights, s0);
                        s1 = add_low_product(odd, odd_weights, s1);
                        s2 = add_high_product(even, even_weights, s2);
                        s3 = add_high_product(odd, odd_weights, s3);
                        value += right[0];
                        weight += right[1];
                    }
                    value = value.wrapping_add(down[0]);
                    weight = weight.wrapping_add(down[1]);
                }
                for (i, (out, sum)) in out.iter_mut().zip([s0, s1, s2, s3]).enumerate() {
                    finish.finish(&channels[i], 4 * quad + i, sum as i32, out);
                }
            }
        }
    }
}

/// Four bytes from `at` on.
#[inline(always)]
fn word(bytes: &[i8], at: usize) -> u32 {
    debug_assert!(at + 4 <= bytes.len());
    // SAFETY: `Depthwise::fits` has compared the lengths with the shapes, and the callers' places lie inside the shapes: taps are
    // inside the image, and a quad of channels inside a pixel. The core loads unaligned words.
    unsafe { bytes.as_ptr().add(at).cast::<u32>().read_unaligned() }
}

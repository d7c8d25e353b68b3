//! Depthwise convolution: four channels at a time, the taps inside the image only.
//!
//! A tap outside the image reads the zero point. So the sums start as if every tap did, and each tap inside adds
//! `(x - zero) * w`; the subtraction comes free with the widening.

use core::arch::asm;

use super::super::depthwise_words;
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
            // From one tap to the next, of values and of weights.
            let right = [op.window.dilation[1] * count, count];
            let down = [op.window.dilation[0] * op.input.width * count, op.window.kernel[1] * count];
            let rows = if columns.is_empty() { 0..0 } else { rows.clone() };
            let quads = pixel.as_chunks_mut::<4>().0.iter_mut().zip(channels.as_chunks::<4>().0);
            for (quad, (out, channels)) in quads.enumerate() {
                let mut sums = channels.each_ref().map(|c| c.bias);
                let [mut value, mut weight] = [first, first_tap].map(|first| first * count + 4 * quad);
                for _ in rows.clone() {
                    // SAFETY: `Depthwise::fits` has compared the lengths with the shapes; the taps of the row are inside the
                    // image, and a quad of channels inside a pixel.
                    unsafe {
                        let [values, weights] = [input.as_ptr().add(value), op.weights.as_ptr().add(weight)];
                        add_row(values, weights, right, columns.len(), less_zero, &mut sums);
                    }
                    value += down[0];
                    weight += down[1];
                }
                for (i, (out, sum)) in out.iter_mut().zip(sums).enumerate() {
                    finish.finish(&channels[i], 4 * quad + i, sum, out);
                }
            }
        }
    }
}

/// Adds the products of a row of taps for four channels: 14 instructions for 4 multiply-accumulates.
///
/// # Safety
/// `taps` is not 0, and there are four bytes at `values` and `weights` and every step `right` of each for all taps.
#[inline(always)]
unsafe fn add_row(
    values: *const i8,
    weights: *const i8,
    right: [usize; 2],
    taps: usize,
    less_zero: u32,
    [s0, s1, s2, s3]: &mut [i32; 4],
) {
    // SAFETY: reads what the caller says is there, at any address; r6 and r7 are restored.
    unsafe {
        asm!(
            "push {{r6, r7}}",
            "mov r7, lr",
            "2:",
            "ldr r11, [r0]",
            "ldr r12, [r1]",
            "add r0, r0, r2",
            "add r1, r1, r3",
            "sxtab16 lr, r10, r11",
            "sxtb16 r6, r12",
            "smlabb r4, lr, r6, r4",
            "smlatt r8, lr, r6, r8",
            "sxtab16 lr, r10, r11, ror #8",
            "sxtb16 r6, r12, ror #8",
            "smlabb r5, lr, r6, r5",
            "smlatt r9, lr, r6, r9",
            "subs r7, r7, #1",
            "bne 2b",
            "pop {{r6, r7}}",
            inout("r0") values => _, inout("r1") weights => _,
            in("r2") right[0], in("r3") right[1], in("r10") less_zero,
            inout("r4") *s0, inout("r5") *s1, inout("r8") *s2, inout("r9") *s3,
            out("r11") _, out("r12") _, inout("lr") taps => _,
        );
    }
}

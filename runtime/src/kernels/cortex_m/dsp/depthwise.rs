//! Depthwise convolution: four channels at a time, two taps an instruction.
//!
//! **The idea.** The rows of the image that a row of outputs sees are kept in a ring, turned from channels-last into a line of 16-bit
//! values for each channel, two neighbours to a word, padding included. Then `SMLAD` does two taps at once: of outputs that begin at an
//! even place with the weights `(w0, w1) (w2, 0)`, of those at an odd one with `(0, w0) (w1, w2)`; and a word of the line, once loaded, serves
//! up to four outputs. A row of the image is turned once, whatever the kernel's height.
//!
//! The ring's first row may lie anywhere in it. So the weights are written twice, one kernel after another: then those of all rows, in
//! the ring's order, are always one piece.

use core::arch::asm;

use super::super::{DepthwiseScratch, QUAD};
use super::insn::{add_products, even_bytes, four, high_lanes, low_lanes, odd_bytes};
use super::requantize::{Channel, Exact, Fast, Finish, prepare};
use crate::kernels::scalar;
use crate::ops::Depthwise;
use crate::quant::Channels;

/// See [`crate::kernels::Kernels::depthwise`].
pub(super) fn depthwise(op: &Depthwise<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let Some(parts) = DepthwiseScratch::of(op) else {
        return (scalar::KERNELS.depthwise)(op, input, output, scratch);
    };
    if !op.fits(input, output) || output.is_empty() {
        return;
    }
    // SAFETY: any four bytes are a word.
    let (before, words, _) = unsafe { scratch.align_to_mut::<u32>() };
    let Some(words) = words.get_mut(..parts.words()).filter(|_| before.is_empty()) else { return };
    let (prepared, words) = words.split_at_mut(parts.channels);
    let (weights, words) = words.split_at_mut(QUAD * parts.weights());
    let (ring, sums) = words.split_at_mut(QUAD * parts.rows * parts.line);
    // SAFETY: any four words are four sums.
    let sums = unsafe { sums.align_to_mut::<[i32; 4]>().1 };
    let buffers = &mut Buffers { weights, ring, sums };
    let count = op.output.channels;
    for first in (0..count).step_by(QUAD).map(|first| first.min(count - QUAD)) {
        let Channels { bias, multiplier, shift } = op.channels;
        let quad = first..first + QUAD;
        let quad = Channels { bias: &bias[quad.clone()], multiplier: &multiplier[quad.clone()], shift: &shift[quad] };
        let (channels, fast) = prepare(quad, op.range, prepared);
        let job = Job { op, input, first, parts, channels };
        job.arrange(buffers.weights);
        match fast {
            true => job.run(buffers, output, Fast),
            false => job.run(buffers, output, Exact { channels: op.channels, range: op.range, residual: None }),
        }
    }
}

/// Working memory, in parts.
struct Buffers<'a> {
    /// Of each of four channels.
    weights: &'a mut [u32],
    /// Rows of lines of four channels.
    ring: &'a mut [u32],
    /// Of a row of outputs of one channel.
    sums: &'a mut [[i32; 4]],
}

/// Four channels of a convolution.
struct Job<'a> {
    op: &'a Depthwise<'a>,
    input: &'a [i8],
    /// The first of the channels.
    first: usize,
    parts: DepthwiseScratch,
    channels: &'a [Channel],
}

impl Job<'_> {
    /// Writes the weights: for each channel all kernel rows, then all but the last again.
    #[inline(never)]
    fn arrange(&self, weights: &mut [u32]) {
        let DepthwiseScratch { rows, groups, forms, .. } = self.parts;
        let width = self.op.window.kernel[1];
        let tap = |row: usize, tap: usize| match tap < width {
            true => four(self.op.weights, (row * width + tap) * self.op.output.channels + self.first),
            false => 0,
        };
        let (size, again) = (self.parts.weights(), rows * groups * forms);
        let mut at = 0;
        for row in 0..rows {
            let mut before = 0;
            for group in 0..groups {
                let [left, right] = [tap(row, 2 * group), tap(row, 2 * group + 1)];
                for pairs in [pairs(left, right), pairs(before, left)].iter().take(forms) {
                    for (channel, &pair) in pairs.iter().enumerate() {
                        weights[channel * size + at] = pair;
                        if at + again < size {
                            weights[channel * size + at + again] = pair;
                        }
                    }
                    at += 1;
                }
                before = right;
            }
        }
    }

    /// All rows of outputs.
    #[inline(always)]
    fn run<F: Finish>(&self, Buffers { weights, ring, sums }: &mut Buffers<'_>, output: &mut [i8], finish: F) {
        let (op, parts) = (self.op, self.parts);
        let kernel = parts.rows * parts.groups * parts.forms;
        let sum = parts.function();
        assert!(!sums.is_empty() && parts.rows > 0 && ring.len() == QUAD * parts.rows * parts.line);
        let mut turned = 0;
        for (y, outputs) in output.chunks_exact_mut(op.output.width * op.output.channels).enumerate() {
            let top = y * op.window.stride[0];
            for row in turned.max(top)..top + parts.rows {
                let at = row % parts.rows * QUAD * parts.line;
                self.turn(row, &mut ring[at..at + QUAD * parts.line]);
            }
            turned = top + parts.rows;
            let begin = (parts.rows - top % parts.rows) % parts.rows * parts.groups * parts.forms;
            for (i, channel) in self.channels.iter().enumerate() {
                let (weights, values) = (&weights[i * parts.weights() + begin..][..kernel], &ring[i * parts.line..]);
                match sum {
                    Some(sum) => {
                        let end = sums.as_mut_ptr_range().end;
                        let (values, weights) = (values.as_ptr(), weights.as_ptr());
                        let mut frame = Frame {
                            values,
                            weights,
                            rows: parts.rows,
                            bias: channel.bias,
                            sums: sums.as_mut_ptr(),
                            end,
                        };
                        // SAFETY: `parts` has room for all that so many sums read, and there are some (asserted above).
                        unsafe { sum(&mut frame, 4 * QUAD * parts.line) };
                    }
                    None => any(parts, weights, values, channel.bias, sums),
                }
                self.store(self.first + i, channel, sums, outputs, finish);
            }
        }
    }

    /// Makes output channel number `o` of a row of pixels from its sums.
    #[inline(never)]
    fn store<F: Finish>(&self, o: usize, channel: &Channel, sums: &[[i32; 4]], outputs: &mut [i8], finish: F) {
        let count = self.op.output.channels;
        let mut fours = outputs.chunks_exact_mut(4 * count);
        let mut sums = sums.iter();
        for (pixels, sums) in fours.by_ref().zip(sums.by_ref()) {
            for (i, &sum) in sums.iter().enumerate() {
                // SAFETY: there are four pixels, and `o` is one of their channels.
                finish.finish(channel, o, sum, unsafe { pixels.get_unchecked_mut(i * count + o) });
            }
        }
        let pixels = fours.into_remainder().chunks_exact_mut(count);
        for (pixel, &sum) in pixels.zip(sums.as_slice().as_flattened()) {
            finish.finish(channel, o, sum, &mut pixel[o]);
        }
    }

    /// Writes a row of the padded image, row 0 the first of the padding, into the lines of the four channels.
    #[inline(never)]
    fn turn(&self, row: usize, lines: &mut [u32]) {
        let (op, DepthwiseScratch { line, .. }) = (self.op, self.parts);
        // What is behind the last word that an output sees is of no use.
        let seen = ((op.output.width - 1) * op.window.stride[1] + op.window.kernel[1]).div_ceil(2).min(line);
        let (count, width, pad) = (op.input.channels, op.input.width, op.window.pad[1]);
        let row = row.wrapping_sub(op.window.pad[0]);
        let values = row.checked_mul(width * count).and_then(|start| self.input.get(start..start + width * count));
        let Some(values) = values.filter(|_| lines.len() == QUAD * line) else {
            return lines.fill(u32::from(op.input_zero as i16 as u16) * 0x0001_0001);
        };
        // Words whose two pixels are both inside the image.
        let start = pad.div_ceil(2).min(seen);
        let end = usize::midpoint(width, pad).clamp(start, seen);
        let outside = u32::from(op.input_zero as u8) * 0x0101_0101;
        let value = |x: usize| if x < width { four(values, x * count + self.first) } else { outside };
        for i in (0..start).chain(end..seen) {
            // Left of the image the number wraps, and is not below its width.
            let x = (2 * i).wrapping_sub(pad);
            for (channel, pair) in pairs(value(x), value(x.wrapping_add(1))).into_iter().enumerate() {
                lines[channel * line + i] = pair;
            }
        }
        let mut from = values.as_ptr().wrapping_add((2 * start).wrapping_sub(pad).wrapping_mul(count) + self.first);
        let mut to = lines.as_mut_ptr().wrapping_add(start);
        for _ in start..end {
            // SAFETY: both pixels are in the row, and the four channels in a pixel; each of four lines has the word.
            unsafe {
                let [left, right] = [from, from.add(count)].map(|four| four.cast::<u32>().read_unaligned());
                for (channel, pair) in pairs(left, right).into_iter().enumerate() {
                    to.add(channel * line).write(pair);
                }
            }
            (from, to) = (from.wrapping_add(2 * count), to.wrapping_add(1));
        }
    }
}

/// For each of four channels, the value of the left and of the right pixel.
#[inline(always)]
fn pairs(left: u32, right: u32) -> [u32; QUAD] {
    let [even, odd] = [[even_bytes(left), even_bytes(right)], [odd_bytes(left), odd_bytes(right)]];
    [low_lanes(even[0], even[1]), low_lanes(odd[0], odd[1]), high_lanes(even[0], even[1]), high_lanes(odd[0], odd[1])]
}

impl DepthwiseScratch {
    /// What makes the sums of a row of outputs, if there is a function for this kernel.
    fn function(self) -> Option<unsafe fn(&mut Frame, usize)> {
        match (self.forms, self.groups) {
            (1, 2) => Some(apart_2),
            (2, 2) => Some(dense_2),
            (2, 3) => Some(dense_3),
            _ => None,
        }
    }
}

/// The sums of a row of outputs of one channel, for every kernel: `weights` in the ring's order, `values` from the channel's line in the
/// ring's first row on.
#[inline(never)]
fn any(parts: DepthwiseScratch, weights: &[u32], values: &[u32], bias: i32, sums: &mut [[i32; 4]]) {
    let DepthwiseScratch { groups, forms, line, .. } = parts;
    for (output, sum) in sums.as_flattened_mut().iter_mut().enumerate() {
        // With stride 1 outputs begin in turn at an even and at an odd place, both in the same word.
        let (word, form) = (output / forms, output % forms);
        *sum = bias;
        for (row, weights) in weights.chunks_exact(groups * forms).enumerate() {
            let values = &values[row * QUAD * line + word..][..groups];
            for (weights, &value) in weights.chunks_exact(forms).zip(values) {
                *sum = add_products(weights[form], value, *sum as u32) as i32;
            }
        }
    }
}

/// What the loops over a row of outputs keep in memory: nearly all registers hold what their inner loops need.
#[repr(C)]
struct Frame {
    /// Where the next outputs begin.
    values: *const u32,
    weights: *const u32,
    rows: usize,
    bias: i32,
    /// Where their sums go.
    sums: *mut [i32; 4],
    end: *mut [i32; 4],
}

/// A function that makes the sums of a row of outputs, four by four. The lines are the instructions of a row of the kernel: weights come
/// from r3 to r6 and r7, values from r2 to r11 and r12, sums are r5, r8, r9 and r10; r4 counts the rows.
macro_rules! sums {
    ($(#[$doc:meta])* $name:ident, $next:literal bytes, $($line:literal)*) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// The frame's pointers have what its numbers say, the values of the next row `step` bytes on; neither rows nor sums are none.
        unsafe fn $name(frame: &mut Frame, step: usize) {
            // SAFETY: reads and writes what the caller says is there; r6 and r7, which Rust does not give out by name, are restored.
            unsafe {
                asm!(
                    "push {{r6, r7}}",
                    "3:",
                    "ldm r0, {{r2, r3, r4, r5}}",
                    concat!("add r11, r2, #", $next),
                    "str r11, [r0]",
                    "mov r8, r5",
                    "mov r9, r5",
                    "mov r10, r5",
                    "2:",
                    $($line,)*
                    "add r2, r2, r1",
                    "subs r4, r4, #1",
                    "bne 2b",
                    "ldrd r11, r12, [r0, #16]",
                    "strd r5, r8, [r11], #8",
                    "strd r9, r10, [r11], #8",
                    "str r11, [r0, #16]",
                    "cmp r11, r12",
                    "bne 3b",
                    "pop {{r6, r7}}",
                    in("r0") frame, in("r1") step,
                    out("r2") _, out("r3") _, out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
                    out("r12") _,
                );
            }
        }
    };
}

sums! {
    /// Stride 1, two or three taps in a row: 16 instructions for 12 multiply-accumulates.
    dense_2, 8 bytes,
    "ldrd r6, r7, [r3], #8" "ldrd r11, r12, [r2]"
    "smlad r5, r6, r11, r5" "smlad r8, r7, r11, r8" "smlad r9, r6, r12, r9" "smlad r10, r7, r12, r10"
    "ldrd r6, r7, [r3], #8" "ldr r11, [r2, #8]"
    "smlad r5, r6, r12, r5" "smlad r8, r7, r12, r8" "smlad r9, r6, r11, r9" "smlad r10, r7, r11, r10"
}

sums! {
    /// Stride 1, four or five taps in a row: 22 instructions for 20 multiply-accumulates.
    dense_3, 8 bytes,
    "ldrd r6, r7, [r3], #8" "ldrd r11, r12, [r2]"
    "smlad r5, r6, r11, r5" "smlad r8, r7, r11, r8" "smlad r9, r6, r12, r9" "smlad r10, r7, r12, r10"
    "ldrd r6, r7, [r3], #8" "ldr r11, [r2, #8]"
    "smlad r5, r6, r12, r5" "smlad r8, r7, r12, r8" "smlad r9, r6, r11, r9" "smlad r10, r7, r11, r10"
    "ldrd r6, r7, [r3], #8" "ldr r12, [r2, #12]"
    "smlad r5, r6, r11, r5" "smlad r8, r7, r11, r8" "smlad r9, r6, r12, r9" "smlad r10, r7, r12, r10"
}

sums! {
    /// Stride 2, two or three taps in a row: 15 instructions for 12 multiply-accumulates.
    apart_2, 16 bytes,
    "ldrd r6, r7, [r3], #8" "ldrd r11, r12, [r2]"
    "smlad r5, r6, r11, r5" "smlad r5, r7, r12, r5" "smlad r8, r6, r12, r8"
    "ldrd r11, r12, [r2, #8]"
    "smlad r8, r7, r11, r8" "smlad r9, r6, r11, r9" "smlad r9, r7, r12, r9" "smlad r10, r6, r12, r10"
    "ldr r11, [r2, #16]"
    "smlad r10, r7, r11, r10"
}

//! Pools: four channels at a time.

use core::iter::StepBy;
use core::ops::Range;

use super::insn::{add_even_bytes, add_odd_bytes, max_bytes};
use crate::kernels::scalar;
use crate::ops::{AvgPool, MaxPool};

/// Pixels whose 16-bit sums cannot overflow: 256 * -128 is the smallest lane.
const PART: u32 = 256;

/// See [`crate::kernels::Kernels::max_pool`].
pub(super) fn max_pool(op: &MaxPool, input: &[i8], output: &mut [i8]) {
    if !op.output.channels.is_multiple_of(4) {
        return (scalar::KERNELS.max_pool)(op, input, output);
    }
    if !op.fits(input, output) {
        return;
    }
    for_each_quad(op, output, |window, channel, out| {
        let mut largest = 0x8080_8080;
        window.each(op, input, channel, |values| largest = max_bytes(values, largest));
        *out = largest.to_le_bytes().map(|v| v as i8);
    });
}

/// See [`crate::kernels::Kernels::avg_pool`].
pub(super) fn avg_pool(op: &AvgPool<'_>, input: &[i8], output: &mut [i8]) {
    if !op.pool.output.channels.is_multiple_of(4) {
        return (scalar::KERNELS.avg_pool)(op, input, output);
    }
    if !op.fits(input, output) {
        return;
    }
    for_each_quad(&op.pool, output, |window, channel, out| {
        let pixels = window.rows.len() * window.columns.len();
        let mut sums = [(pixels as i32).wrapping_mul(-i32::from(op.input_zero)); 4];
        let (mut even, mut odd, mut left) = (0, 0, PART);
        window.each(&op.pool, input, channel, |values| {
            (even, odd, left) = (add_even_bytes(even, values), add_odd_bytes(odd, values), left - 1);
            if left == 0 {
                add_lanes(&mut sums, even, odd);
                (even, odd, left) = (0, 0, PART);
            }
        });
        add_lanes(&mut sums, even, odd);
        let (multiplier, shift) = op.factor(pixels);
        *out = sums.map(|sum| op.range.requantize(sum, multiplier, shift));
    });
}

fn add_lanes(sums: &mut [i32; 4], even: u32, odd: u32) {
    let lanes = [even, odd, even >> 16, odd >> 16];
    for (sum, lane) in sums.iter_mut().zip(lanes) {
        *sum = sum.wrapping_add(i32::from(lane as i16));
    }
}

/// The rows and columns of the image under a window.
#[derive(Clone)]
struct Under {
    rows: StepBy<Range<usize>>,
    columns: StepBy<Range<usize>>,
}

impl Under {
    /// Calls `each` with four channels of every pixel.
    #[inline(always)]
    fn each(&self, op: &MaxPool, input: &[i8], channel: usize, mut each: impl FnMut(u32)) {
        for y in self.rows.clone() {
            let line = y * op.input.width;
            for x in self.columns.clone() {
                let four = input.get((line + x) * op.input.channels + channel..).and_then(|v| v.first_chunk::<4>());
                each(u32::from_le_bytes(four.map_or([0; 4], |four| four.map(|v| v as u8))));
            }
        }
    }
}

/// Calls `each` with every window, the first of four channels, and the four bytes that it makes.
#[inline(always)]
fn for_each_quad(op: &MaxPool, output: &mut [i8], mut each: impl FnMut(&Under, usize, &mut [i8; 4])) {
    let mut pixels = output.chunks_exact_mut(op.output.channels.max(1));
    for y in 0..op.output.height {
        for (x, pixel) in pixels.by_ref().take(op.output.width).enumerate() {
            let under =
                Under { rows: op.window.under(0, y, op.input.height), columns: op.window.under(1, x, op.input.width) };
            for (quad, out) in pixel.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                each(&under, 4 * quad, out);
            }
        }
    }
}

//! Pools: four channels at a time.

use super::insn::{add_even_bytes, add_odd_bytes, four, max_bytes};
use crate::kernels::scalar;
use crate::kernels::under::{Under, for_each_block};
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
    for_each_block::<4>(op, output, |under, channel, out| {
        let mut largest = 0x8080_8080;
        each(under, input, channel, |values| largest = max_bytes(values, largest));
        if let Some(out) = out.first_chunk_mut::<4>() {
            *out = largest.to_le_bytes().map(|v| v as i8);
        }
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
    for_each_block::<4>(&op.pool, output, |under, channel, out| {
        let pixels = under.pixels();
        let mut sums = [(pixels as i32).wrapping_mul(-i32::from(op.input_zero)); 4];
        let (mut even, mut odd, mut left) = (0, 0, PART);
        each(under, input, channel, |values| {
            (even, odd, left) = (add_even_bytes(even, values), add_odd_bytes(odd, values), left - 1);
            if left == 0 {
                add_lanes(&mut sums, even, odd);
                (even, odd, left) = (0, 0, PART);
            }
        });
        add_lanes(&mut sums, even, odd);
        let (multiplier, shift) = op.factor(pixels);
        if let Some(out) = out.first_chunk_mut::<4>() {
            *out = sums.map(|sum| op.range.requantize(sum, multiplier, shift));
        }
    });
}

fn add_lanes(sums: &mut [i32; 4], even: u32, odd: u32) {
    let lanes = [even, odd, even >> 16, odd >> 16];
    for (sum, lane) in sums.iter_mut().zip(lanes) {
        *sum = sum.wrapping_add(i32::from(lane as i16));
    }
}

/// Calls `each` with four channels of every pixel.
#[inline(always)]
fn each(under: &Under, input: &[i8], channel: usize, mut each: impl FnMut(u32)) {
    under.each(input, channel, 4, |values| each(four(values, 0)));
}

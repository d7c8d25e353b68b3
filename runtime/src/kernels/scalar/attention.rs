//! Attention: for each row of each head all scores, their weights, and the weighted mean of the values.

use crate::kernels::cast;
use crate::ops::{Attention, Qkv};

/// One score for each row, and one sum for each channel of a head.
pub(super) fn scratch_bytes(op: &Attention) -> usize {
    op.rows.saturating_add(op.size).saturating_mul(4)
}

/// Every output value is `requantize(sum(weight * value) / sum(weight))` over all rows.
#[inline(always)]
pub(super) fn attention(op: &Attention, inputs: Qkv<'_>, output: &mut [i8], scratch: &mut [u8]) {
    let scratch = cast::i32s_mut(scratch);
    if !op.fits(inputs, output) || scratch.len() < op.rows + op.size {
        return;
    }
    let (scores, sums) = scratch.split_at_mut(op.rows);
    for (row, output) in output.chunks_exact_mut(op.width()).enumerate() {
        for (head, output) in output.chunks_exact_mut(op.size).enumerate() {
            mix(op, inputs, [row, head], scores, &mut sums[..op.size], output);
        }
    }
}

/// One row of one head.
#[inline(always)]
fn mix(
    op: &Attention,
    [q, k, v]: Qkv<'_>,
    [row, head]: [usize; 2],
    scores: &mut [i32],
    sums: &mut [i32],
    output: &mut [i8],
) {
    let channels = |values, row| head_of(op, values, row, head);
    let query = channels(q, row);
    let mut largest = i32::MIN;
    for (other, score) in scores.iter_mut().enumerate() {
        let products = query.iter().zip(channels(k, other)).map(|(&q, &k)| q as i32 * k as i32);
        *score = products.fold(0, i32::wrapping_add);
        largest = largest.max(*score);
    }
    let mut total = 0u32;
    sums.fill(0);
    for (other, &score) in scores.iter().enumerate() {
        let weight = op.weight(largest.wrapping_sub(score)) as i32;
        total = total.wrapping_add(weight as u32);
        for (sum, &v) in sums.iter_mut().zip(channels(v, other)) {
            *sum = sum.wrapping_add(weight.wrapping_mul(v as i32));
        }
    }
    let (multiplier, shift) = op.factor(total);
    for (out, &sum) in output.iter_mut().zip(sums.iter()) {
        *out = op.range.requantize(sum, multiplier, shift);
    }
}

/// The channels of a head in a row.
fn head_of<'v>(op: &Attention, values: &'v [i8], row: usize, head: usize) -> &'v [i8] {
    &values[row * op.width() + head * op.size..][..op.size]
}

//! Attention: four rows of queries at a time, two products an instruction.
//!
//! Queries become 16-bit values once, so that a key, once widened, serves four of them. The weighted sums take four channels of the
//! values at a time: neighbouring rows are put beside each other, and with the weights of both rows in a word one `SMLAD` adds two rows to the
//! sum of a channel. No row of scores outlives its four rows of queries.

use core::arch::asm;

use super::super::AttentionScratch;
use super::insn::{even_bytes, four, high_lanes, low_lanes, odd_bytes};
use crate::kernels::scalar;
use crate::ops::{Attention, Qkv};

/// Rows of queries that are computed together.
const ROWS: usize = super::super::QUERIES;

/// See [`crate::kernels::Kernels::attention`].
pub(super) fn attention(op: &Attention, inputs: Qkv<'_>, output: &mut [i8], scratch: &mut [u8]) {
    let Some(parts) = AttentionScratch::of(op) else {
        return (scalar::KERNELS.attention)(op, inputs, output, scratch);
    };
    // SAFETY: any four bytes are a word.
    let (before, words, _) = unsafe { scratch.align_to_mut::<u32>() };
    let Some(words) = words.get_mut(..parts.words()).filter(|_| before.is_empty()) else { return };
    if !op.fits(inputs, output) {
        return;
    }
    let (queries, words) = words.split_at_mut(parts.queries);
    let (scores, values) = words.split_at_mut(parts.scores);
    let mut job = Job { op, inputs, queries, scores, values };
    for head in 0..op.heads {
        for first in (0..op.rows).step_by(ROWS) {
            job.rows(head, first, output);
        }
    }
}

/// An attention with its buffers.
struct Job<'a> {
    op: &'a Attention,
    inputs: Qkv<'a>,
    /// Of each four channels those of four rows: elements 0 and 2, then 1 and 3.
    queries: &'a mut [u32],
    /// Of each of four rows, one score for each key; then, in their place, two weights to a word.
    scores: &'a mut [u32],
    /// Four channels of each two rows.
    values: &'a mut [u32],
}

impl Job<'_> {
    /// Four rows of a head, or as many as there are.
    fn rows(&mut self, head: usize, first: usize, output: &mut [i8]) {
        let (op, width) = (self.op, self.op.width());
        let count = (op.rows - first).min(ROWS);
        self.widen_queries(head, first);
        self.score(head);
        let mut factors = [(0, 0); ROWS];
        for (row, factor) in self.scores.chunks_exact_mut(op.rows).zip(&mut factors).take(count) {
            *factor = op.factor(weigh(op, row));
        }
        for channel in (head * op.size..(head + 1) * op.size).step_by(4) {
            self.pair_values(channel);
            let weights = self.scores.chunks_exact(op.rows);
            for (row, (weights, (multiplier, shift))) in weights.zip(factors).enumerate().take(count) {
                // SAFETY: there is a word of weights and four of values for each pair of rows, and there is a row.
                let sums = unsafe { mix(self.values.as_ptr(), weights.as_ptr(), op.rows.div_ceil(2)) };
                let at = (first + row) * width + channel;
                for (out, sum) in output[at..at + 4].iter_mut().zip(sums) {
                    *out = op.range.requantize(sum, multiplier, shift);
                }
            }
        }
    }

    /// Rows behind the last one are zeros.
    fn widen_queries(&mut self, head: usize, first: usize) {
        let (op, [queries, ..]) = (self.op, self.inputs);
        for (row, at) in (first..first + ROWS).enumerate() {
            let channels = queries.get(at * op.width() + head * op.size..).unwrap_or(&[]);
            let groups = self.queries.chunks_exact_mut(2 * ROWS).enumerate();
            for (group, to) in groups {
                let four = four(channels, 4 * group);
                (to[2 * row], to[2 * row + 1]) = (even_bytes(four), odd_bytes(four));
            }
        }
    }

    /// The products of all keys with four rows of queries.
    fn score(&mut self, head: usize) {
        let (op, [_, keys, _]) = (self.op, self.inputs);
        for (row, key) in keys.chunks_exact(op.width()).enumerate() {
            // SAFETY: a head has `size` channels, so many bytes are there, and a group of queries for each four of them.
            let sums = unsafe { products(key.as_ptr().add(head * op.size), self.queries.as_ptr(), op.size / 4) };
            for (scores, sum) in self.scores.chunks_exact_mut(op.rows).zip(sums) {
                scores[row] = sum as u32;
            }
        }
    }

    /// Puts four channels of neighbouring rows beside each other. A row without a neighbour is its own, with a weight of zero.
    fn pair_values(&mut self, channel: usize) {
        let (op, [.., values]) = (self.op, self.inputs);
        for (rows, to) in values.chunks(2 * op.width()).zip(self.values.as_chunks_mut::<4>().0) {
            let [above, below] = [four(rows, channel), four(rows, rows.len() - op.width() + channel)];
            let [low, high] = [low_lanes(above, below), high_lanes(above, below)];
            *to = [even_bytes(low), odd_bytes(low), even_bytes(high), odd_bytes(high)];
        }
    }
}

/// Makes weights of the scores of a row, two to a word; their sum.
fn weigh(op: &Attention, scores: &mut [u32]) -> u32 {
    let largest = scores.iter().fold(i32::MIN, |largest, &score| largest.max(score as i32));
    let weight = |score: u32| op.weight(largest.wrapping_sub(score as i32));
    let mut total = 0u32;
    for pair in 0..scores.len().div_ceil(2) {
        let [first, second] = [scores[2 * pair], scores.get(2 * pair + 1).copied().unwrap_or(0)];
        let second = if 2 * pair + 1 < scores.len() { weight(second) } else { 0 };
        let first = weight(first);
        total = total.wrapping_add(first).wrapping_add(second);
        scores[pair] = first | second << 16;
    }
    total
}

/// The products of a key with four rows of queries: 17 instructions for 16 multiply-accumulates.
///
/// # Safety
/// There are `groups` words at `key`, at any address, eight times as many at `queries`, and at least one.
#[inline(always)]
unsafe fn products(key: *const i8, queries: *const u32, groups: usize) -> [i32; 4] {
    let [mut s, mut t, mut u, mut v] = [0; 4];
    // SAFETY: reads what the caller says is there.
    unsafe {
        asm!(
            "2:",
            "ldr {o}, [{k}], #4",
            "ldrd {a}, {b}, [{q}], #8",
            "sxtb16 {e}, {o}",
            "sxtb16 {o}, {o}, ror #8",
            "smlad {s}, {e}, {a}, {s}",
            "smlad {s}, {o}, {b}, {s}",
            "ldrd {a}, {b}, [{q}], #8",
            "smlad {t}, {e}, {a}, {t}",
            "smlad {t}, {o}, {b}, {t}",
            "ldrd {a}, {b}, [{q}], #8",
            "smlad {u}, {e}, {a}, {u}",
            "smlad {u}, {o}, {b}, {u}",
            "ldrd {a}, {b}, [{q}], #8",
            "subs {n}, {n}, #1",
            "smlad {v}, {e}, {a}, {v}",
            "smlad {v}, {o}, {b}, {v}",
            "bne 2b",
            k = inout(reg) key => _, q = inout(reg) queries => _, n = inout(reg) groups => _,
            s = inout(reg) s, t = inout(reg) t, u = inout(reg) u, v = inout(reg) v,
            e = out(reg) _, o = out(reg) _, a = out(reg) _, b = out(reg) _,
            options(readonly, nostack)
        );
    }
    [s, t, u, v]
}

/// Four channels of the weighted sum of all rows: 8 instructions for 8 multiply-accumulates.
///
/// # Safety
/// There are `pairs` words at `weights`, four times as many at `values`, and at least one.
#[inline(always)]
unsafe fn mix(values: *const u32, weights: *const u32, pairs: usize) -> [i32; 4] {
    let [mut s, mut t, mut u, mut v] = [0; 4];
    // SAFETY: reads what the caller says is there.
    unsafe {
        asm!(
            "2:",
            "ldm {p}!, {{r8, r9, r10, r11}}",
            "ldr {w}, [{q}], #4",
            "subs {n}, {n}, #1",
            "smlad {s}, r8, {w}, {s}",
            "smlad {t}, r9, {w}, {t}",
            "smlad {u}, r10, {w}, {u}",
            "smlad {v}, r11, {w}, {v}",
            "bne 2b",
            p = inout(reg) values => _, q = inout(reg) weights => _, n = inout(reg) pairs => _,
            s = inout(reg) s, t = inout(reg) t, u = inout(reg) u, v = inout(reg) v, w = out(reg) _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            options(readonly, nostack)
        );
    }
    [s, t, u, v]
}

//! Attention: scores of eight rows as the products of a panel of keys, their weights, then sums of weighted values in 16 bits.

use core::arch::aarch64::*;

use super::requantize::{Range, Rescale, store};
use super::tile::{Eight, Tile, pack};
use crate::kernels::cast;
use crate::kernels::eights::{EIGHT, Eights, pack_keys, pack_rows};
use crate::ops::{Attention, Qkv};
use crate::quant::EXP2;

/// See [`crate::Kernels::attention`].
pub(super) fn attention<T: Tile>(op: &Attention, inputs: Qkv<'_>, output: &mut [i8], scratch: &mut [u8]) {
    let parts = Eights::of(op);
    if !op.fits(inputs, output) || scratch.len() < parts.bytes() {
        return;
    }
    // SAFETY: the table is given out only if the CPU has the features (`available`).
    unsafe { heads::<T>(op, &parts, inputs, output, scratch) }
}

/// One head after another.
#[target_feature(enable = "neon")]
fn heads<T: Tile>(op: &Attention, parts: &Eights, inputs: Qkv<'_>, output: &mut [i8], scratch: &mut [u8]) {
    let (scores, rest) = scratch.split_at_mut(parts.scores());
    let (queries, rest) = rest.split_at_mut(parts.queries());
    let (keys, rest) = rest.split_at_mut(parts.keys());
    let values = &mut rest[..parts.keys()];
    let scores = cast::i32s_mut(scores);
    if scores.len() < parts.rows * EIGHT {
        return;
    }
    let [q, k, v] = inputs;
    let (width, weigher) = (op.width(), Weigher::new(op));
    for head in 0..op.heads {
        let from = head * op.size;
        pack_keys(parts, &k[from..], [width, op.size], keys);
        pack_rows(parts, &v[from..], [width, op.size], values);
        for row in (0..op.rows).step_by(EIGHT) {
            let at = row * width + from;
            let count = EIGHT.min(op.rows - row);
            pack::<T>(&q[at..], [width, op.size, count], queries);
            score::<T>(parts, queries, keys, scores);
            let mut factors = [(0, 0); EIGHT];
            for (factor, scores) in factors.iter_mut().zip(scores.chunks_exact_mut(parts.rows)).take(count) {
                *factor = op.factor(weigher.weigh(scores));
            }
            mix(op, parts, values, scores, &factors[..count], &mut output[at..]);
        }
    }
}

/// The scores of eight rows.
#[target_feature(enable = "neon")]
fn score<T: Tile>(parts: &Eights, queries: &[u8], keys: &[u8], scores: &mut [i32]) {
    let queries = cast::i8s(queries).as_ptr();
    for (panel, keys) in cast::i8s(keys).chunks_exact(EIGHT * parts.size).enumerate() {
        // SAFETY: the table is given out only if the CPU has the instruction set (`available`). Queries and keys have `size` channels,
        // which is a multiple of two groups.
        let sums = unsafe { T::rows::<true>(parts.size / 16, keys.as_ptr(), [vdupq_n_s32(0); 4], queries) };
        // SAFETY: as before.
        let rows = sums.into_iter().flat_map(|pair| unsafe { T::split(pair) });
        for (sums, scores) in rows.zip(scores.chunks_exact_mut(parts.rows)) {
            let scores = scores[panel * EIGHT..][..EIGHT].as_mut_ptr();
            // SAFETY: room for eight scores.
            unsafe {
                vst1q_s32(scores, sums[0]);
                vst1q_s32(scores.add(4), sums[1]);
            }
        }
    }
}

/// Makes weights of scores.
struct Weigher<'a> {
    op: &'a Attention,
    rescale: Rescale,
}

impl Weigher<'_> {
    #[target_feature(enable = "neon")]
    fn new(op: &Attention) -> Weigher<'_> {
        Weigher { op, rescale: Rescale::splat(op.score.0, op.score.1) }
    }

    /// Replaces the scores of a row by weights, [`Attention::weight`] in 16 bits; gives their sum. Those of padding are 0.
    #[target_feature(enable = "neon")]
    fn weigh(&self, scores: &mut [i32]) -> u32 {
        let (real, padding) = scores.split_at_mut(self.op.rows);
        let largest = real.iter().fold(i32::MIN, |largest, &score| largest.max(score));
        padding.fill(0);
        let mut total = vdupq_n_s32(0);
        let from = vdupq_n_s32(largest);
        let eights = scores.len() / EIGHT;
        for i in 0..eights {
            let at = scores[i * EIGHT..][..EIGHT].as_mut_ptr();
            // SAFETY: eight scores; the weights go behind what was read already.
            unsafe {
                let distances = [vsubq_s32(from, vld1q_s32(at)), vsubq_s32(from, vld1q_s32(at.add(4)))];
                let mut weights = self.rescale.apply(distances).map(|t| power_of(vreinterpretq_u32_s32(t)));
                if i + 1 == eights {
                    let left = (self.op.rows - i * EIGHT) as i32;
                    weights = [mask(weights[0], left), mask(weights[1], left - 4)];
                }
                total = vaddq_s32(total, vaddq_s32(weights[0], weights[1]));
                let to = scores.as_mut_ptr().cast::<i16>().add(i * EIGHT);
                vst1q_s16(to, vmovn_high_s32(vmovn_s32(weights[0]), weights[1]));
            }
        }
        vaddvq_s32(total) as u32
    }
}

/// The first `left` of four values, 0 for the others.
#[inline]
#[target_feature(enable = "neon")]
fn mask(values: int32x4_t, left: i32) -> int32x4_t {
    // SAFETY: four numbers.
    let lanes = unsafe { vld1q_s32([0, 1, 2, 3].as_ptr()) };
    vandq_s32(values, vreinterpretq_s32_u32(vcltq_s32(lanes, vdupq_n_s32(left))))
}

/// Two to the power of minus these exponents, 8 bits after the point: 2^14 for 0.
#[inline]
#[target_feature(enable = "neon")]
fn power_of(t: uint32x4_t) -> int32x4_t {
    let entry = |lane: u32| u32::from(EXP2[(lane & 255) as usize]);
    let part = [
        entry(vgetq_lane_u32::<0>(t)),
        entry(vgetq_lane_u32::<1>(t)),
        entry(vgetq_lane_u32::<2>(t)),
        entry(vgetq_lane_u32::<3>(t)),
    ];
    // SAFETY: four numbers.
    let part = unsafe { vld1q_u32(part.as_ptr()) };
    let whole = vreinterpretq_s32_u32(vminq_u32(vshrq_n_u32::<8>(t), vdupq_n_u32(16)));
    let rounded = vaddq_u32(part, vshlq_u32(vdupq_n_u32(1), whole));
    // A shift by the complement is one to the right by one more.
    vreinterpretq_s32_u32(vshlq_u32(rounded, vmvnq_s32(whole)))
}

/// Sums of weighted values of up to eight rows, requantized.
#[target_feature(enable = "neon")]
fn mix(op: &Attention, parts: &Eights, values: &[u8], scores: &[i32], factors: &[(i32, u8)], output: &mut [i8]) {
    let range = Range::new(op.range);
    let mut rescale = [Rescale::splat(0, 0); EIGHT];
    for (rescale, &(multiplier, shift)) in rescale.iter_mut().zip(factors) {
        *rescale = Rescale::splat(multiplier, shift);
    }
    let weights: [*const i16; EIGHT] = core::array::from_fn(|i| scores[i * parts.rows..].as_ptr().cast());
    for channel in (0..op.size).step_by(EIGHT) {
        // SAFETY: a row of weights has as many as there are rows of values, and a row of values as many as `size`.
        let sums = unsafe { sums(parts, values[channel..].as_ptr().cast(), &weights) };
        let len = EIGHT.min(op.size - channel);
        for (i, (sum, rescale)) in sums.into_iter().zip(&rescale).take(factors.len()).enumerate() {
            let out = &mut output[i * op.width() + channel..][..len];
            // Factors of rows have no left shift.
            store(out, range.pack(rescale.apply_shifted(sum)));
        }
    }
}

/// The sums of eight rows and eight channels.
///
/// # Safety
///
/// `values` must be the place of eight channels in the first of `parts.rows` rows, each of `weights` that of so many weights.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn sums(parts: &Eights, mut values: *const i8, weights: &[*const i16; EIGHT]) -> [Eight; EIGHT] {
    let mut sums = [[vdupq_n_s32(0); 2]; EIGHT];
    // Adds the products of the next row with the weights in this lane.
    macro_rules! add_row {
        ($own:ident, $lane:literal) => {
            let row = vmovl_s8(vld1_s8(values));
            values = values.wrapping_add(parts.size);
            for (sums, &weights) in sums.iter_mut().zip(&$own) {
                sums[0] = vmlal_laneq_s16::<$lane>(sums[0], vget_low_s16(row), weights);
                sums[1] = vmlal_high_laneq_s16::<$lane>(sums[1], row, weights);
            }
        };
    }
    for row in (0..parts.rows).step_by(EIGHT) {
        // SAFETY: the caller's promise: rows come in eights.
        unsafe {
            let own = weights.map(|weights| vld1q_s16(weights.add(row)));
            add_row!(own, 0);
            add_row!(own, 1);
            add_row!(own, 2);
            add_row!(own, 3);
            add_row!(own, 4);
            add_row!(own, 5);
            add_row!(own, 6);
            add_row!(own, 7);
        }
    }
    sums
}

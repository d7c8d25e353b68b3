//! NEON, which every 64-bit Arm CPU has: products of bytes in pairs of 16 bits, which weights of at least -127 never overflow.

use core::arch::aarch64::*;

use super::insn::add_pairs;
use super::tile::{BLOCK, Eight, Pair, Tile, for_each_group};
use crate::kernels::eights::EIGHT;
use crate::kernels::sweep::Taps;
use crate::kernels::{Isa, Kernels};

/// See [`available`].
pub(crate) const KERNELS: Kernels = super::table::<Neon>();

/// Whether this CPU has NEON.
pub(crate) fn available() -> bool {
    super::has!("neon")
}

/// Two pixels: each of the sixteen registers holds four parts of a sum.
enum Neon {}

/// Four parts of the sums of eight channels.
type Parts = [int32x4_t; 8];

impl Tile for Neon {
    const ISA: Isa = Isa::Neon;
    const PAIRS: usize = 1;

    #[inline(always)]
    unsafe fn spread([low, high]: Eight) -> Pair {
        [low, high, low, high]
    }

    #[inline(always)]
    unsafe fn split([a, b, c, d]: Pair) -> [Eight; 2] {
        [[a, b], [c, d]]
    }

    #[inline(always)]
    unsafe fn order(bytes: int8x16_t) -> int8x16_t {
        bytes
    }

    #[inline(always)]
    unsafe fn sums<const N: usize>(
        taps: &Taps,
        weights: *const i8,
        bias: Pair,
        starts: &[[*const u8; 2]; N],
    ) -> [Pair; N] {
        let mut sums = [bias; N];
        for (sums, starts) in sums.iter_mut().zip(starts) {
            let mut weights = weights;
            // SAFETY: the caller's promise; all loads are of groups of values and weights, or the bytes after them.
            unsafe {
                let mut parts = [[vdupq_n_s32(0); 8]; 2];
                for_each_group!(taps, weights, at => {
                    add_both(&mut parts, starts.map(|start| vld1q_s8(start.add(at).cast())), weights);
                } {
                    for (parts, start) in parts.iter_mut().zip(starts) {
                        add_group(parts, vld1_s8(start.add(at).cast()), weights);
                    }
                });
                *sums = join(bias, parts);
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn block(rows: [int8x16_t; EIGHT]) -> [int8x16_t; EIGHT] {
        rows
    }

    #[inline(always)]
    unsafe fn rows<const ANY: bool>(blocks: usize, weights: *const i8, bias: Pair, rows: *const i8) -> [Pair; 4] {
        let mut sums = [bias; 4];
        for (pair, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let (mut weights, mut rows) = (weights, rows.add(32 * pair));
                let mut parts = [[vdupq_n_s32(0); 8]; 2];
                for _ in 0..blocks {
                    let values = [vld1q_s8(rows), vld1q_s8(rows.add(16))];
                    if ANY {
                        for (parts, values) in parts.iter_mut().zip(values) {
                            // Two products of -128 and -128 have more than 16 bits.
                            add_group(parts, vget_low_s8(values), weights);
                            add_group(parts, vget_high_s8(values), weights.add(64));
                        }
                    } else {
                        add_both(&mut parts, values, weights);
                    }
                    // Behind the last block there may be nothing.
                    (weights, rows) = (weights.add(128), rows.wrapping_add(BLOCK));
                }
                *sums = join(bias, parts);
            }
        }
        sums
    }
}

/// The products of two groups of two pixels.
///
/// # Safety
///
/// As for [`Tile::sums`]; two groups must be readable from `weights`.
#[inline(always)]
unsafe fn add_both(parts: &mut [Parts; 2], [a, b]: [int8x16_t; 2], weights: *const i8) {
    // SAFETY: the caller's promise.
    unsafe {
        // The other order has the first group in the upper half, where the weights of odd channels are.
        let values = [[a, vextq_s8::<8>(a, a)], [b, vextq_s8::<8>(b, b)]];
        let [first, second] = parts;
        for pair in 0..4 {
            let groups = [vld1q_s8(weights.add(16 * pair)), vld1q_s8(weights.add(64 + 16 * pair))];
            let four = [first[2 * pair], first[2 * pair + 1], second[2 * pair], second[2 * pair + 1]];
            [first[2 * pair], first[2 * pair + 1], second[2 * pair], second[2 * pair + 1]] =
                add_pairs(four, groups, values);
        }
    }
}

/// The products of a single group.
///
/// # Safety
///
/// As for [`Tile::sums`]; a group must be readable from `weights`.
#[inline(always)]
unsafe fn add_group(parts: &mut Parts, values: int8x8_t, weights: *const i8) {
    for pair in 0..4 {
        // SAFETY: the caller's promise.
        unsafe {
            let group = vld1q_s8(weights.add(16 * pair));
            parts[2 * pair] = vpadalq_s16(parts[2 * pair], vmull_s8(values, vget_low_s8(group)));
            parts[2 * pair + 1] = vpadalq_s16(parts[2 * pair + 1], vmull_s8(values, vget_high_s8(group)));
        }
    }
}

/// Biases plus sums.
///
/// # Safety
///
/// As for [`Tile::sums`].
#[inline(always)]
unsafe fn join(bias: Pair, [first, second]: [Parts; 2]) -> Pair {
    // SAFETY: every CPU has these instructions.
    let four = |bias, a, b, c, d| unsafe { vaddq_s32(bias, vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d))) };
    let [a, b, c, d, e, f, g, h] = first;
    let [i, j, k, l, m, n, o, p] = second;
    [four(bias[0], a, b, c, d), four(bias[1], e, f, g, h), four(bias[2], i, j, k, l), four(bias[3], m, n, o, p)]
}

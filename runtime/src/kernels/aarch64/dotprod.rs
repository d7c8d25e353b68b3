//! Dot products of four bytes in each lane: most phones since 2018 (Armv8.2 and later).

use core::arch::aarch64::*;

use super::insn::sdot;
use super::tile::{BLOCK, Eight, Pair, Tile, for_each_group};
use crate::kernels::eights::EIGHT;
use crate::kernels::sweep::Taps;
use crate::kernels::{Isa, Kernels};

/// See [`available`].
pub(crate) const KERNELS: Kernels = super::table::<Dotprod>();

/// Whether this CPU has `SDOT`.
pub(crate) fn available() -> bool {
    super::has!("dotprod")
}

/// Eight pixels: each of the sixteen registers holds the sums of four channels.
enum Dotprod {}

impl Tile for Dotprod {
    const ISA: Isa = Isa::Dotprod;
    const PAIRS: usize = 4;

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
        mut weights: *const i8,
        bias: Pair,
        starts: &[[*const u8; 2]; N],
    ) -> [Pair; N] {
        let mut sums = [bias; N];
        // SAFETY: the caller's promise; all loads are of groups of values and weights, or the bytes after them.
        unsafe {
            for_each_group!(taps, weights, at => {
                let values = load(starts, at);
                group::<N, 0, 1>(&mut sums, &values, weights);
                group::<N, 2, 3>(&mut sums, &values, weights.add(64));
            } {
                let values = load(starts, at);
                group::<N, 0, 1>(&mut sums, &values, weights);
            });
        }
        sums
    }

    #[inline(always)]
    unsafe fn block(rows: [int8x16_t; EIGHT]) -> [int8x16_t; EIGHT] {
        rows
    }

    #[inline(always)]
    unsafe fn rows<const ANY: bool>(
        blocks: usize,
        mut weights: *const i8,
        bias: Pair,
        mut rows: *const i8,
    ) -> [Pair; 4] {
        let mut sums = [bias; 4];
        for _ in 0..blocks {
            // SAFETY: the caller's promise.
            unsafe {
                let mut values = [[vdupq_n_s8(0); 2]; 4];
                for (i, values) in values.as_flattened_mut().iter_mut().enumerate() {
                    *values = vld1q_s8(rows.add(16 * i));
                }
                group::<4, 0, 1>(&mut sums, &values, weights);
                group::<4, 2, 3>(&mut sums, &values, weights.add(64));
                (weights, rows) = (weights.add(128), rows.add(BLOCK));
            }
        }
        sums
    }
}

/// The values at an offset of all pixels: two groups each.
#[inline(always)]
unsafe fn load<const N: usize>(starts: &[[*const u8; 2]; N], at: usize) -> [[int8x16_t; 2]; N] {
    // SAFETY: the promise of `Tile::sums`.
    unsafe {
        let mut values = [[vdupq_n_s8(0); 2]; N];
        for (values, start) in values.as_flattened_mut().iter_mut().zip(starts.as_flattened()) {
            *values = vld1q_s8(start.add(at).cast());
        }
        values
    }
}

/// The products of a group, whose values lie in the two lanes of 32 bits.
#[inline(always)]
unsafe fn group<const N: usize, const LOW: i32, const HIGH: i32>(
    sums: &mut [Pair; N],
    values: &[[int8x16_t; 2]; N],
    weights: *const i8,
) {
    // SAFETY: 64 bytes of weights, and the CPU has the instruction: the promise of `Tile::sums`.
    unsafe {
        for half in 0..2 {
            let pairs = [vld1q_s32(weights.add(32 * half).cast()), vld1q_s32(weights.add(32 * half + 16).cast())];
            // Of four channels, the first four bytes of each, then the others.
            let low = vreinterpretq_s8_s32(vuzp1q_s32(pairs[0], pairs[1]));
            let high = vreinterpretq_s8_s32(vuzp2q_s32(pairs[0], pairs[1]));
            for (sums, &[a, b]) in sums.iter_mut().zip(values) {
                sums[half] = sdot::<LOW>(sums[half], low, a);
                sums[half + 2] = sdot::<LOW>(sums[half + 2], low, b);
            }
            for (sums, &[a, b]) in sums.iter_mut().zip(values) {
                sums[half] = sdot::<HIGH>(sums[half], high, a);
                sums[half + 2] = sdot::<HIGH>(sums[half + 2], high, b);
            }
        }
    }
}

//! Products of small matrices of bytes: phones since 2021 (Armv8.6 and later).

use core::arch::aarch64::*;

use super::insn::smmla;
use super::tile::{BLOCK, Eight, Pair, Tile, for_each_group};
use crate::kernels::eights::EIGHT;
use crate::kernels::sweep::Taps;
use crate::kernels::{Isa, Kernels};

/// See [`available`].
pub(crate) const KERNELS: Kernels = super::table::<I8mm>();

/// Whether this CPU has `SMMLA`.
pub(crate) fn available() -> bool {
    super::has!("i8mm")
}

/// Eight pixels: each of the sixteen registers holds the sums of two channels, of one pixel and of the next.
enum I8mm {}

impl Tile for I8mm {
    const ISA: Isa = Isa::I8mm;
    const PAIRS: usize = 4;

    #[inline(always)]
    unsafe fn spread(eight: Eight) -> Pair {
        // SAFETY: every CPU has these instructions.
        unsafe {
            let [a, b] = eight.map(|four| vreinterpretq_s64_s32(four));
            let [a, b, c, d] =
                [vdupq_laneq_s64::<0>(a), vdupq_laneq_s64::<1>(a), vdupq_laneq_s64::<0>(b), vdupq_laneq_s64::<1>(b)];
            [vreinterpretq_s32_s64(a), vreinterpretq_s32_s64(b), vreinterpretq_s32_s64(c), vreinterpretq_s32_s64(d)]
        }
    }

    #[inline(always)]
    unsafe fn split(pair: Pair) -> [Eight; 2] {
        // SAFETY: every CPU has these instructions.
        unsafe {
            let [a, b, c, d] = pair.map(|four| vreinterpretq_s64_s32(four));
            let first = [vreinterpretq_s32_s64(vzip1q_s64(a, b)), vreinterpretq_s32_s64(vzip1q_s64(c, d))];
            let second = [vreinterpretq_s32_s64(vzip2q_s64(a, b)), vreinterpretq_s32_s64(vzip2q_s64(c, d))];
            [first, second]
        }
    }

    #[inline(always)]
    unsafe fn order(bytes: int8x16_t) -> int8x16_t {
        const ORDER: [u8; 16] = [0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15];
        // SAFETY: sixteen bytes, and every CPU has these instructions.
        unsafe { vqtbl1q_s8(bytes, vld1q_u8(ORDER.as_ptr())) }
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
                let [first, second] = load(starts, at);
                group(&mut sums, &first, weights);
                group(&mut sums, &second, weights.add(64));
            } {
                let [first, _] = load(starts, at);
                group(&mut sums, &first, weights);
            });
        }
        sums
    }

    /// The first groups of each two rows, then the second ones.
    #[inline(always)]
    unsafe fn block(rows: [int8x16_t; EIGHT]) -> [int8x16_t; EIGHT] {
        let mut block = rows;
        for pair in 0..4 {
            // SAFETY: every CPU has these instructions.
            [block[pair], block[pair + 4]] = unsafe { zip(rows[2 * pair], rows[2 * pair + 1]) };
        }
        block
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
                for half in 0..2 {
                    let mut values = [vdupq_n_s8(0); 4];
                    for (i, values) in values.iter_mut().enumerate() {
                        *values = vld1q_s8(rows.add(64 * half + 16 * i));
                    }
                    group(&mut sums, &values, weights.add(64 * half));
                }
                (weights, rows) = (weights.add(128), rows.add(BLOCK));
            }
        }
        sums
    }
}

/// The lower halves of both, and the upper halves.
#[inline(always)]
unsafe fn zip(a: int8x16_t, b: int8x16_t) -> [int8x16_t; 2] {
    // SAFETY: every CPU has these instructions.
    unsafe {
        let [a, b] = [vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)];
        [vreinterpretq_s8_s64(vzip1q_s64(a, b)), vreinterpretq_s8_s64(vzip2q_s64(a, b))]
    }
}

/// The values at an offset of all pixels: the first group of the pixels of each pair, and the second.
#[inline(always)]
unsafe fn load<const N: usize>(starts: &[[*const u8; 2]; N], at: usize) -> [[int8x16_t; N]; 2] {
    // SAFETY: the promise of `Tile::sums`.
    unsafe {
        let mut groups = [[vdupq_n_s8(0); N]; 2];
        for (i, &[a, b]) in starts.iter().enumerate() {
            [groups[0][i], groups[1][i]] = zip(vld1q_s8(a.add(at).cast()), vld1q_s8(b.add(at).cast()));
        }
        groups
    }
}

/// The products of a group.
#[inline(always)]
unsafe fn group<const N: usize>(sums: &mut [Pair; N], values: &[int8x16_t; N], weights: *const i8) {
    for pair in 0..4 {
        // SAFETY: 64 bytes of weights, and the CPU has the instruction: the promise of `Tile::sums`.
        unsafe {
            let columns = vld1q_s8(weights.add(16 * pair));
            for (sums, &rows) in sums.iter_mut().zip(values) {
                sums[pair] = smmla(sums[pair], rows, columns);
            }
        }
    }
}

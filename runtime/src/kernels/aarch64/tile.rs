//! Sums of products of some pixels with a panel of eight channels: all in which the tables differ.

use core::arch::aarch64::*;

use super::requantize::{load_sixteen, store_sixteen};
use crate::kernels::eights::EIGHT;
use crate::kernels::sweep::Taps;
use crate::kernels::{Isa, cast};

/// Channels in a panel of weights.
pub(super) const PANEL: usize = EIGHT;

/// Bytes that a tile reads behind the last group of a pixel: it loads two groups at once.
pub(super) const OVERREAD: usize = 8;

/// Bytes of a block: two groups of eight rows.
pub(super) const BLOCK: usize = 16 * EIGHT;

/// The sums of a pixel.
pub(super) type Eight = [int32x4_t; 2];

/// The sums of two pixels, in an order that each table has for itself.
pub(super) type Pair = [int32x4_t; 4];

/// How an instruction set sums products.
///
/// All is unsafe to call on a CPU that lacks it.
pub(super) trait Tile {
    /// The instruction set.
    const ISA: Isa;

    /// Most pairs of pixels whose sums fit into registers.
    const PAIRS: usize;

    /// What eight channels have, for the sums of two pixels.
    unsafe fn spread(eight: Eight) -> Pair;

    /// The sums of each pixel.
    unsafe fn split(pair: Pair) -> [Eight; 2];

    /// What has become of sums, in the order of pixels and channels.
    unsafe fn order(bytes: int8x16_t) -> int8x16_t;

    /// `bias` plus all products, for 1, 2 or 4 pairs.
    ///
    /// # Safety
    ///
    /// From each of `starts` all groups of `taps` must be readable, and [`OVERREAD`] bytes after them, and from `weights` a panel of `taps`.
    unsafe fn sums<const N: usize>(
        taps: &Taps,
        weights: *const i8,
        bias: Pair,
        starts: &[[*const u8; 2]; N],
    ) -> [Pair; N];

    /// The order in which two groups of eight rows lie in a block.
    unsafe fn block(rows: [int8x16_t; EIGHT]) -> [int8x16_t; EIGHT];

    /// `bias` plus all products of a panel with eight rows of so many blocks. `ANY` says whether weights may be -128 too.
    ///
    /// # Safety
    ///
    /// As many blocks must be readable from `rows`, and as many times two groups from `weights`.
    unsafe fn rows<const ANY: bool>(blocks: usize, weights: *const i8, bias: Pair, rows: *const i8) -> [Pair; 4];
}

/// Lays eight rows of `len` bytes, one in each `pitch` from the first of `values` on, into blocks; if only `count` (1 or more) are left, the
/// last is repeated. What a row lacks of whole blocks is 0.
#[inline]
#[target_feature(enable = "neon")]
pub(super) fn pack<T: Tile>(values: &[i8], [pitch, len, count]: [usize; 3], blocks: &mut [u8]) {
    let rows: [&[i8]; EIGHT] = core::array::from_fn(|i| &values[i.min(count - 1) * pitch..][..len]);
    for (i, block) in blocks.chunks_exact_mut(BLOCK).enumerate() {
        let mut own = [vdupq_n_s8(0); EIGHT];
        for (own, row) in own.iter_mut().zip(&rows) {
            *own = load_sixteen(row.get(16 * i..).unwrap_or(&[]));
        }
        // SAFETY: the table is given out only if the CPU has the instruction set (`available`).
        let own = unsafe { T::block(own) };
        for (to, own) in cast::i8s_mut(block).chunks_exact_mut(16).zip(own) {
            store_sixteen(to, own);
        }
    }
}

/// Goes through all products of a tile, and stops at each two groups, or one that is left over.
///
/// `$two` and `$one` are what is done with `$at`, the offset of the values, and `$weights`, a pointer to the groups of weights.
macro_rules! for_each_group {
    ($taps:ident, $weights:ident, $at:ident => $two:block $one:block) => {
        let mut row = 0;
        for _ in 0..$taps.rows {
            let mut run = row;
            for _ in 0..$taps.runs {
                let mut $at = run;
                let end = $at + $taps.groups / 2 * 16;
                while $at < end {
                    $two
                    $at += 16;
                    $weights = $weights.add(128);
                }
                if $taps.groups % 2 == 1 {
                    $one
                    $weights = $weights.add(64);
                }
                run += $taps.run_step;
            }
            row += $taps.row_step;
        }
    };
}
pub(super) use for_each_group;

//! Sums of products of bytes: eight channels a register, one sum a channel.

use core::arch::x86_64::*;

use super::insn::{dpbusd, dpwssd};
use crate::kernels::x86_64::avx2::requantize::{Wide, eight};
use crate::kernels::x86_64::avx2::tile::{Tile, channels};

/// Values in bytes: 12 of the 16 registers are sums of six pixels.
pub(super) enum Bytes {}

impl Tile<1> for Bytes {
    const PIXELS: usize = 6;

    type Sums = Wide;

    #[inline(always)]
    fn value(v: i8) -> [u8; 1] {
        [v as u8 ^ 0x80]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn begin(bias: &[i32; 16]) -> Wide {
        [eight(&bias[..8]), eight(&bias[8..])]
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add_group<const N: usize>(sums: &mut [Wide; N], starts: &[*const u8; N], at: usize, weights: *const i8) {
        let weights = weights.cast::<__m256i>();
        // SAFETY: a group has 64 bytes.
        let weights = unsafe { [_mm256_loadu_si256(weights), _mm256_loadu_si256(weights.add(1))] };
        for (sums, &start) in sums.iter_mut().zip(starts) {
            // SAFETY: four values of a byte.
            let values = _mm256_set1_epi32(unsafe { start.add(at).cast::<i32>().read_unaligned() });
            for (sum, weights) in sums.iter_mut().zip(weights) {
                // SAFETY: the caller's promise.
                *sum = unsafe { dpbusd(*sum, values, weights) };
            }
        }
    }

    #[inline(always)]
    unsafe fn join(sums: Wide) -> Wide {
        sums
    }

    #[inline(always)]
    fn query(query: &[i8], group: usize) -> i32 {
        i32::from_le_bytes(channels(query, group).map(|v| v as u8))
    }

    #[inline(always)]
    fn key(key: &[i8], group: usize) -> i32 {
        // Made unsigned by adding 128.
        Bytes::query(key, group) ^ i32::from_le_bytes([0x80; 4])
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add_scores(sums: __m256i, keys: __m256i, query: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { dpbusd(sums, keys, query) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add_pairs(sums: __m256i, own: __m256i, pair: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { dpwssd(sums, own, pair) }
    }
}

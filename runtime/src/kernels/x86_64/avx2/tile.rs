//! Sums of products: all in which this table and AVX-VNNI's differ.

use core::arch::x86_64::*;

use super::requantize::Wide;

/// How an instruction set sums products. `SIZE` is the bytes of a value in a band, and of a channel of a key.
///
/// All that is unsafe needs a CPU that has the instruction set.
pub(in crate::kernels::x86_64) trait Tile<const SIZE: usize> {
    /// Most pixels whose sums fit into registers: 3 or 6.
    const PIXELS: usize;

    /// The sums of a pixel with a panel.
    type Sums: Copy;

    /// A value with the layout's 128 added.
    fn value(v: i8) -> [u8; SIZE];

    /// Sums that begin with the biases of a panel.
    unsafe fn begin(bias: &[i32; 16]) -> Self::Sums;

    /// Adds the products of a group of weights with the values `at` bytes behind the start of each pixel.
    ///
    /// # Safety
    ///
    /// Four values must be readable there, and a group from `weights`.
    unsafe fn add_group<const N: usize>(
        sums: &mut [Self::Sums; N],
        starts: &[*const u8; N],
        at: usize,
        weights: *const i8,
    );

    /// One sum for each channel.
    unsafe fn join(sums: Self::Sums) -> Wide;

    /// The channels of a query that share 32 bits; those that it lacks are 0.
    fn query(query: &[i8], group: usize) -> i32;

    /// The same channels of a key; what the products with those that are missing are multiplied by is 0.
    fn key(key: &[i8], group: usize) -> i32;

    /// Adds the products of each lane's channels of a key with those of a query. A number that all keys of a query share may be added too.
    unsafe fn add_scores(sums: __m256i, keys: __m256i, query: __m256i) -> __m256i;

    /// Adds the products of each lane's pair of 16 bits with such a pair.
    unsafe fn add_pairs(sums: __m256i, own: __m256i, pair: __m256i) -> __m256i;
}

/// Values in 16 bits, products in pairs: four channels a register, two sums a channel, 12 of the 16 registers for three pixels.
pub(super) enum Words {}

impl Tile<2> for Words {
    const PIXELS: usize = 3;

    type Sums = [__m256i; 4];

    #[inline(always)]
    fn value(v: i8) -> [u8; 2] {
        u16::from(v as u8 ^ 0x80).to_le_bytes()
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn begin(bias: &[i32; 16]) -> Self::Sums {
        let mut sums = [_mm256_setzero_si256(); 4];
        for (sums, bias) in sums.iter_mut().zip(bias.as_chunks::<4>().0) {
            // SAFETY: four biases. The first sum of a channel begins with its bias, the second with 0.
            *sums = _mm256_cvtepu32_epi64(unsafe { _mm_loadu_si128(bias.as_ptr().cast()) });
        }
        sums
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add_group<const N: usize>(
        sums: &mut [Self::Sums; N],
        starts: &[*const u8; N],
        at: usize,
        weights: *const i8,
    ) {
        let mut values = [_mm256_setzero_si256(); N];
        for (values, &start) in values.iter_mut().zip(starts) {
            // SAFETY: four values of two bytes.
            *values = _mm256_set1_epi64x(unsafe { start.add(at).cast::<i64>().read_unaligned() });
        }
        for quarter in 0..4 {
            // SAFETY: a quarter of a group.
            let weights = _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(weights.add(quarter * 16).cast()) });
            for (sums, &values) in sums.iter_mut().zip(&values) {
                sums[quarter] = _mm256_add_epi32(sums[quarter], _mm256_madd_epi16(values, weights));
            }
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn join([a, b, c, d]: Self::Sums) -> Wide {
        // Quarters come in the order 0, 2, 1, 3.
        [
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(a, b)),
            _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(c, d)),
        ]
    }

    #[inline(always)]
    fn query(query: &[i8], group: usize) -> i32 {
        let [a, b] = channels(query, group).map(i32::from);
        a & 0xffff | b << 16
    }

    #[inline(always)]
    fn key(key: &[i8], group: usize) -> i32 {
        Words::query(key, group)
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add_scores(sums: __m256i, keys: __m256i, query: __m256i) -> __m256i {
        _mm256_add_epi32(sums, _mm256_madd_epi16(keys, query))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn add_pairs(sums: __m256i, own: __m256i, pair: __m256i) -> __m256i {
        _mm256_add_epi32(sums, _mm256_madd_epi16(own, pair))
    }
}

/// Group number `group` of `N` channels of a row; 0 where the row has ended.
#[inline(always)]
pub(in crate::kernels::x86_64) fn channels<const N: usize>(row: &[i8], group: usize) -> [i8; N] {
    let rest = row.get(N * group..).unwrap_or(&[]);
    match rest.first_chunk() {
        Some(&channels) => channels,
        None => core::array::from_fn(|i| rest.get(i).copied().unwrap_or(0)),
    }
}

//! From sums in 32 bits to stored bytes, sixteen channels at a time.

use core::arch::x86_64::*;

use crate::ops::Add;
use crate::quant::{Channels, Output};

/// Sixteen values in 32 bits: two halves of eight.
pub(in crate::kernels::x86_64) type Wide = [__m256i; 2];

/// Multipliers and shifts of sixteen channels, taken apart for [`Rescale::apply`].
#[derive(Clone, Copy)]
pub(super) struct Rescale([Half; 2]);

/// Of eight channels.
#[derive(Clone, Copy)]
struct Half {
    /// Multipliers; those of even channels count.
    even: __m256i,
    /// Multipliers of odd channels, moved to even places.
    odd: __m256i,
    round: __m256i,
    right: __m256i,
    left: __m256i,
}

impl Rescale {
    /// Of `n` channels from `first` on, sixteen at most; the others are arbitrary.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn load(channels: &Channels<'_>, first: usize, n: usize) -> Rescale {
        let (mut multiplier, mut shift) = ([0; 16], [0; 16]);
        multiplier[..n].copy_from_slice(&channels.multiplier[first..][..n]);
        shift[..n].copy_from_slice(&channels.shift[first..][..n]);
        let shift = load(&shift);
        Rescale([
            Half::new(eight(&multiplier[..8]), _mm256_cvtepu8_epi32(shift)),
            Half::new(eight(&multiplier[8..]), _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(shift))),
        ])
    }

    /// The same for all channels.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn splat(multiplier: i32, shift: u8) -> Rescale {
        Rescale([Half::new(_mm256_set1_epi32(multiplier), _mm256_set1_epi32(shift as i32)); 2])
    }

    /// [`crate::quant::rescale`]
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn apply(&self, [low, high]: Wide) -> Wide {
        [self.0[0].apply(low), self.0[1].apply(high)]
    }
}

impl Half {
    #[inline]
    #[target_feature(enable = "avx2")]
    fn new(multiplier: __m256i, shift: __m256i) -> Half {
        let low = _mm256_set1_epi32(31);
        let right = _mm256_and_si256(shift, low);
        let one = _mm256_set1_epi32(1);
        Half {
            even: multiplier,
            odd: _mm256_srli_epi64::<32>(multiplier),
            round: _mm256_sllv_epi32(one, _mm256_and_si256(_mm256_sub_epi32(right, one), low)),
            right,
            left: _mm256_srli_epi32::<5>(shift),
        }
    }

    /// The upper half of the product, shifted right with rounding.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn apply(&self, acc: __m256i) -> __m256i {
        let acc = _mm256_sllv_epi32(acc, self.left);
        let even = _mm256_mul_epi32(acc, self.even);
        let odd = _mm256_mul_epi32(_mm256_srli_epi64::<32>(acc), self.odd);
        let high = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
        _mm256_srav_epi32(_mm256_add_epi32(high, self.round), self.right)
    }
}

/// Zero point and clamp of a tensor.
#[derive(Clone, Copy)]
pub(super) struct Range {
    zero: __m256i,
    lo: __m128i,
    hi: __m128i,
}

impl Range {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(range: Output) -> Range {
        Range { zero: _mm256_set1_epi16(range.zero as i16), lo: _mm_set1_epi8(range.lo), hi: _mm_set1_epi8(range.hi) }
    }

    /// Sixteen values plus the zero point, clamped to bytes.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn pack(&self, [low, high]: Wide) -> __m128i {
        // Saturation on the way changes nothing: what it cuts off is beyond `lo` or `hi`, with any zero point.
        let words = _mm256_adds_epi16(_mm256_packs_epi32(low, high), self.zero);
        // The quarters are in the order 0, 2, 1, 3.
        let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(words);
        let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
        _mm_min_epi8(_mm_max_epi8(bytes, self.lo), self.hi)
    }
}

/// [`Add`] for sixteen pairs.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    /// The two multipliers as pairs.
    multipliers: __m256i,
    bias: __m256i,
    shift: __m128i,
    /// The clamp of the sum; the zero point is in the bias.
    range: Range,
}

impl Sum {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(op: &Add) -> Sum {
        let [a, b] = op.multipliers.map(|m| m as u16 as u32);
        Sum {
            multipliers: _mm256_set1_epi32((a | b << 16) as i32),
            bias: _mm256_set1_epi32(op.bias),
            shift: _mm_cvtsi32_si128((op.shift & 31) as i32),
            range: Range::new(Output { zero: 0, lo: op.lo, hi: op.hi }),
        }
    }

    /// The sums of sixteen bytes.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn apply(&self, a: __m128i, b: __m128i) -> __m128i {
        let [low, high] = [_mm_unpacklo_epi8(a, b), _mm_unpackhi_epi8(a, b)];
        self.range.pack([self.half(low), self.half(high)])
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn half(&self, pairs: __m128i) -> __m256i {
        let sum = _mm256_madd_epi16(_mm256_cvtepi8_epi16(pairs), self.multipliers);
        _mm256_sra_epi32(_mm256_add_epi32(sum, self.bias), self.shift)
    }
}

/// Sixteen bytes in 32 bits each.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn widen(v: __m128i) -> Wide {
    [_mm256_cvtepi8_epi32(v), _mm256_cvtepi8_epi32(_mm_srli_si128::<8>(v))]
}

/// The first eight values.
#[inline]
#[target_feature(enable = "avx2")]
pub(in crate::kernels::x86_64) fn eight(values: &[i32]) -> __m256i {
    let values = &values[..8];
    // SAFETY: eight values.
    unsafe { _mm256_loadu_si256(values.as_ptr().cast()) }
}

/// Up to sixteen bytes; missing ones are 0.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load<T: Copy>(values: &[T]) -> __m128i {
    const { assert!(size_of::<T>() == 1) };
    if values.len() >= 16 {
        // SAFETY: sixteen bytes.
        return unsafe { _mm_loadu_si128(values.as_ptr().cast()) };
    }
    let mut bytes = [0u8; 16];
    // SAFETY: both have so many bytes, and any value of one byte is a byte.
    unsafe { values.as_ptr().cast::<u8>().copy_to(bytes.as_mut_ptr(), values.len()) };
    load(&bytes)
}

/// Stores as many bytes as there is room for, sixteen at most.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn store(values: &mut [i8], v: __m128i) {
    if values.len() >= 16 {
        // SAFETY: room for sixteen bytes.
        return unsafe { _mm_storeu_si128(values.as_mut_ptr().cast(), v) };
    }
    let mut bytes = [0; 16];
    store(&mut bytes, v);
    values.copy_from_slice(&bytes[..values.len()]);
}

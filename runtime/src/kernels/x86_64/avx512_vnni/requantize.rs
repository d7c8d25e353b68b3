//! From sums in 32 bits to stored bytes, sixteen channels at a time.

use core::arch::x86_64::*;

use crate::ops::Add;
use crate::quant::{Channels, Output};

/// Multipliers and shifts of sixteen channels, taken apart for [`Rescale::apply`].
#[derive(Clone, Copy)]
pub(in crate::kernels::x86_64) struct Rescale {
    /// Multipliers; those of even channels count.
    even: __m512i,
    /// Multipliers of odd channels, moved to even places.
    odd: __m512i,
    round: __m512i,
    right: __m512i,
    left: __m512i,
    /// Whether any channel has a left shift.
    pub(super) shifts_left: bool,
}

impl Rescale {
    /// Of `n` channels from `first` on, sixteen at most.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    pub(super) fn load(channels: &Channels<'_>, from: usize, n: usize) -> Rescale {
        let mask = first(n);
        let multiplier = &channels.multiplier[from..][..n];
        let shift = &channels.shift[from..][..n];
        // SAFETY: the mask has the length of both slices, or less.
        let [multiplier, shift] = unsafe {
            [
                _mm512_maskz_loadu_epi32(mask, multiplier.as_ptr()),
                _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, shift.as_ptr().cast())),
            ]
        };
        Rescale::new(multiplier, shift)
    }

    /// The same for all channels.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    pub(super) fn splat(multiplier: i32, shift: u8) -> Rescale {
        Rescale::new(_mm512_set1_epi32(multiplier), _mm512_set1_epi32(shift as i32))
    }

    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    fn new(multiplier: __m512i, shift: __m512i) -> Rescale {
        let low = _mm512_set1_epi32(31);
        let right = _mm512_and_si512(shift, low);
        let left = _mm512_srli_epi32::<5>(shift);
        let one = _mm512_set1_epi32(1);
        Rescale {
            even: multiplier,
            odd: _mm512_srli_epi64::<32>(multiplier),
            round: _mm512_sllv_epi32(one, _mm512_and_si512(_mm512_sub_epi32(right, one), low)),
            right,
            left,
            shifts_left: _mm512_test_epi32_mask(left, left) != 0,
        }
    }

    /// `acc << left`
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    pub(in crate::kernels::x86_64) fn shift_left(&self, acc: __m512i) -> __m512i {
        _mm512_sllv_epi32(acc, self.left)
    }

    /// The rest of [`crate::quant::rescale`]: the upper half of the product, shifted right with rounding.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    pub(super) fn apply(&self, acc: __m512i) -> __m512i {
        let even = _mm512_mul_epi32(acc, self.even);
        let odd = _mm512_mul_epi32(_mm512_srli_epi64::<32>(acc), self.odd);
        // Upper halves of the even products move down between those of the odd ones.
        let high = _mm512_mask_shuffle_epi32::<0b11_11_01_01>(odd, 0x5555, even);
        _mm512_srav_epi32(_mm512_add_epi32(high, self.round), self.right)
    }
}

/// Zero point and clamp of a tensor, for 64 values.
#[derive(Clone, Copy)]
pub(super) struct Range {
    zero: __m512i,
    lo: __m512i,
    hi: __m512i,
}

impl Range {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    pub(super) fn new(range: Output) -> Range {
        Range {
            zero: _mm512_set1_epi16(range.zero as i16),
            lo: _mm512_set1_epi8(range.lo),
            hi: _mm512_set1_epi8(range.hi),
        }
    }

    /// Four times sixteen values plus the zero point, clamped to bytes, in order.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    pub(super) fn pack(&self, [a, b, c, d]: [__m512i; 4]) -> __m512i {
        // Saturation on the way changes nothing: what it cuts off is beyond `lo` or `hi`, with any zero point.
        let ab = _mm512_adds_epi16(_mm512_packs_epi32(a, b), self.zero);
        let cd = _mm512_adds_epi16(_mm512_packs_epi32(c, d), self.zero);
        let bytes = _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(ab, cd), self.lo), self.hi);
        // Each 128-bit part now holds four bytes of a, b, c and d.
        let order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
        _mm512_permutexvar_epi32(order, bytes)
    }
}

/// [`Add`] for sixteen pairs.
#[derive(Clone, Copy)]
pub(super) struct Sum {
    /// The multipliers as pairs with 0: the upper half of a value, which is its sign, must not count.
    first: __m512i,
    second: __m512i,
    bias: __m512i,
    shift: __m128i,
    /// The clamp of the sum; the zero point is in the bias.
    pub(super) range: Range,
}

impl Sum {
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    pub(super) fn new(op: &Add) -> Sum {
        Sum {
            first: _mm512_set1_epi32(op.multipliers[0] as u16 as i32),
            second: _mm512_set1_epi32(op.multipliers[1] as u16 as i32),
            bias: _mm512_set1_epi32(op.bias),
            shift: _mm_cvtsi32_si128((op.shift & 31) as i32),
            range: Range::new(Output { zero: 0, lo: op.lo, hi: op.hi }),
        }
    }

    /// `(a * m0 + b * m1 + bias) >> shift` for values in the range of int8.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    pub(super) fn apply(&self, a: __m512i, b: __m512i) -> __m512i {
        let sum = _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(self.bias, a, self.first), b, self.second);
        _mm512_sra_epi32(sum, self.shift)
    }
}

/// The four 128-bit parts of `v`.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
pub(super) fn parts(v: __m512i) -> [__m128i; 4] {
    [
        _mm512_castsi512_si128(v),
        _mm512_extracti32x4_epi32::<1>(v),
        _mm512_extracti32x4_epi32::<2>(v),
        _mm512_extracti32x4_epi32::<3>(v),
    ]
}

/// A mask of the first `n` of sixteen.
pub(super) const fn first(n: usize) -> __mmask16 {
    if n >= 16 { !0 } else { !(!0 << n) }
}

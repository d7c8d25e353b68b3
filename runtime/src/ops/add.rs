//! Sum of two tensors of different scales.

/// `clamp((a * m0 + b * m1 + bias) >> shift, lo, hi)`; see [`crate::quant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Add {
    /// Multipliers of `a` and `b`; above -32768.
    pub multipliers: [i16; 2],
    /// Zero points and rounding, folded; at most 2^30 in magnitude, so that no sum can overflow.
    pub bias: i32,
    /// Right shift, 1..=22.
    pub shift: u8,
    /// Smallest result.
    pub lo: i8,
    /// Largest result.
    pub hi: i8,
}

impl Add {
    /// The sum of one pair.
    #[inline(always)]
    pub const fn apply(self, a: i8, b: i8) -> i8 {
        let sum = a as i32 * self.multipliers[0] as i32 + b as i32 * self.multipliers[1] as i32;
        let v = sum.wrapping_add(self.bias).wrapping_shr(self.shift as u32);
        crate::quant::Output { zero: 0, lo: self.lo, hi: self.hi }.clamp(v)
    }
}

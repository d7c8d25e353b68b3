//! Product of two tensors, the second possibly repeated over the pixels.

use crate::quant::Output;

/// `requantize((a - zero_a) * (b - zero_b))`; see [`crate::quant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mul {
    /// Zero points of `a` and `b`.
    pub zeros: [i8; 2],
    /// In `[2^30, 2^31)`.
    pub multiplier: i32,
    /// See [`crate::quant::rescale`].
    pub shift: u8,
    /// Zero point and clamp of the result.
    pub range: Output,
}

impl Mul {
    /// The product of one pair.
    #[inline(always)]
    pub const fn apply(self, a: i8, b: i8) -> i8 {
        let acc = (a as i32 - self.zeros[0] as i32) * (b as i32 - self.zeros[1] as i32);
        self.range.requantize(acc, self.multiplier, self.shift)
    }
}

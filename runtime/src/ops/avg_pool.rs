//! Mean under a window, channel by channel.

use super::MaxPool;
use crate::quant::Output;

/// The mean under the window, requantized from the exact sum.
#[derive(Clone, Copy, Debug)]
pub struct AvgPool<'a> {
    /// Shapes and window.
    pub pool: MaxPool,
    /// Subtracted from every value.
    pub input_zero: i8,
    /// Either one multiplier, or one for each number of pixels under a window, 1 to all taps.
    pub multipliers: &'a [i32],
    /// As many shifts; see [`crate::quant::rescale`].
    pub shifts: &'a [u8],
    /// Zero point and clamp of the result.
    pub range: Output,
}

impl AvgPool<'_> {
    /// Multiplier and shift for a window that holds `n` pixels of the image; `n` is at least 1.
    #[inline]
    pub fn factor(&self, n: usize) -> (i32, u8) {
        let i = if self.multipliers.len() == 1 { 0 } else { n.wrapping_sub(1) };
        match (self.multipliers.get(i), self.shifts.get(i)) {
            (Some(&multiplier), Some(&shift)) => (multiplier, shift),
            _ => (0, 1),
        }
    }

    /// Whether these buffers and the parameters' own slices have the sizes that the shapes ask for.
    pub const fn fits(&self, input: &[i8], output: &[i8]) -> bool {
        let n = self.multipliers.len();
        self.pool.fits(input, output) && (n == 1 || n == self.pool.window.taps()) && self.shifts.len() == n
    }
}

//! Mean under a window, channel by channel.

use super::MaxPool;
use super::prelude::*;

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

record! {
    /// 28 bytes; two before the last four are zeros.
    pub(crate) struct Fields {
        window: Window,
        input_zero: i8,
        range: Output,
        count: u16,
        reserved: u16,
        factors: u32,
    }
}

impl<'a> Operator<'a> for AvgPool<'a> {
    type Fields = Fields;

    const INPUTS: RangeInclusive<usize> = 1..=1;

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        let Fields { window, input_zero, range, count, factors, .. } = view.read();
        let pool = MaxPool { input: view.input(0).shape, output: view.output().shape, window };
        let (multipliers, shifts) = view.model().factors(factors, count.into());
        Ok(AvgPool { pool, input_zero, multipliers, shifts, range })
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, sink: &mut Sink<'_>) -> Result<Fields, OpRule> {
        OpRule::Window.unless(self.pool.window.relates(self.pool.input, self.pool.output))?;
        Ok(Fields {
            window: self.pool.window,
            input_zero: self.input_zero,
            range: self.range,
            count: self.multipliers.len().try_into().map_err(|_| OpRule::Table)?,
            reserved: 0,
            factors: sink.factors(self.multipliers, self.shifts)?,
        })
    }

    fn check(&self, _: &OpView<'_, 'a>) -> Result<(), OpRule> {
        self.pool.check_shapes()?;
        let n = self.multipliers.len();
        OpRule::Table.unless((n == 1 || n == self.pool.window.taps()) && self.shifts.len() == n)?;
        check_factors(self.multipliers, self.shifts)?;
        self.range.check()
    }

    fn run(&self, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        let (input, output, _) = operands.split(0);
        (kernels.avg_pool)(self, input, output);
    }
}

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
        let (input, output, _) = operands.split(0, 0);
        (kernels.avg_pool)(self, input, output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use crate::testing::{HALF, ONE, check_op, run_op};

    fn op<'a>(pool: MaxPool, multipliers: &'a [i32], shifts: &'a [u8]) -> AvgPool<'a> {
        AvgPool { pool, input_zero: 1, multipliers, shifts, range: Output::full(-3) }
    }

    #[test]
    fn good_rows() {
        let (input, output) = (Shape::new(1, 3, 2), Shape::new(1, 3, 2));
        let pool = MaxPool { input, output, window: Window { kernel: [1, 3], pad: [0, 1], ..Window::UNIT } };
        let values = [1, 11, 5, 21, 7, 31];
        // Sums less zero points: 4, 10 and 30, 60, 50; a half of each, less 3.
        let counted = op(pool, &[HALF.0], &[HALF.1]);
        assert_eq!(run_op(Op::AvgPool(counted), &[(input, &values)], output), [-1, 12, 2, 27, 2, 22]);
        // Means of two at the border; three are taken as they are.
        let (multipliers, shifts) = ([ONE.0, HALF.0, ONE.0], [ONE.1, HALF.1, ONE.1]);
        let inside = op(pool, &multipliers, &shifts);
        assert_eq!(run_op(Op::AvgPool(inside), &[(input, &values)], output), [-1, 12, 7, 57, 2, 22]);
    }

    #[test]
    fn bad_rows() {
        let (input, output) = (Shape::new(4, 4, 2), Shape::new(2, 2, 2));
        let pool = MaxPool { input, output, window: Window::square(2, 2, 0) };
        let (multipliers, shifts) = ([1 << 30; 4], [1; 4]);
        for (op, expected) in [
            (op(pool, &multipliers, &shifts), Ok(())),
            (op(pool, &multipliers[..3], &shifts[..3]), Err(OpRule::Table)),
            (op(pool, &[], &[]), Err(OpRule::Table)),
            (op(pool, &[1], &[1]), Err(OpRule::Multiplier)),
            (op(pool, &[1 << 30], &[0]), Err(OpRule::Multiplier)),
            (op(MaxPool { window: Window::square(2, 3, 0), ..pool }, &multipliers, &shifts), Ok(())),
            (op(MaxPool { window: Window::square(2, 4, 0), ..pool }, &multipliers, &shifts), Err(OpRule::Window)),
        ] {
            assert_eq!(check_op(Op::AvgPool(op), &[input], output), expected, "{op:?}");
        }
    }
}

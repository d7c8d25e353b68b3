//! One row for all of them: the first, or their mean.

use super::prelude::*;

/// Which row stands for all.
#[derive(Clone, Copy, Debug)]
pub enum Pick<'a> {
    /// The first, as it is.
    First,
    /// The mean, as int8.
    Mean(Mean<'a>),
}

/// `requantize(sum of (x - input_zero))` over all rows, with the multiplier for their number; see [`crate::quant`].
#[derive(Clone, Copy, Debug)]
pub struct Mean<'a> {
    /// Number of rows.
    pub rows: usize,
    /// Subtracted from every value.
    pub input_zero: i8,
    /// One for each number of rows, 1 to the most.
    pub multipliers: &'a [i32],
    /// As many shifts; see [`crate::quant::rescale`].
    pub shifts: &'a [u8],
    /// Zero point and clamp of the result.
    pub range: Output,
}

impl Mean<'_> {
    /// Multiplier and shift for this number of rows.
    #[inline]
    pub fn factor(&self) -> (i32, u8) {
        let i = self.rows.wrapping_sub(1);
        match (self.multipliers.get(i), self.shifts.get(i)) {
            (Some(&multiplier), Some(&shift)) => (multiplier, shift),
            _ => (0, 1),
        }
    }

    /// Whether an input of so many values is the rows of an output, and they have a multiplier.
    pub const fn fits(&self, input: usize, output: usize) -> bool {
        let factors = self.multipliers.len();
        self.rows >= 1
            && self.rows <= factors
            && self.shifts.len() == factors
            && output >= 1
            && input == output.saturating_mul(self.rows)
    }
}

record! {
    /// 12 bytes; the three in the middle are zeros, and so are all but the first if that is 0, the first row.
    pub(crate) struct Fields {
        mean: u8,
        input_zero: i8,
        range: Output,
        reserved: [u8; 3],
        factors: u32,
    }
}

/// The first row is of the same type as the input; the mean is int8, of an input of int8 or int16.
impl<'a> Operator<'a> for Pick<'a> {
    type Fields = Fields;

    const INPUTS: RangeInclusive<usize> = 1..=1;

    const ROWS: Rows = Rows::Reduced;

    fn reads(view: &OpView<'_, '_>) -> bool {
        let (input, output) = (view.input(0).element, view.output().element);
        input != Element::Token && (output == Element::Int8 || output == input)
    }

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        let Fields { mean, input_zero, range, factors, .. } = view.read();
        if mean == 0 {
            return Ok(Pick::First);
        }
        let (multipliers, shifts) = view.model().factors(factors, view.longest_input(0).shape.height);
        Ok(Pick::Mean(Mean { rows: view.input(0).shape.height, input_zero, multipliers, shifts, range }))
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, sink: &mut Sink<'_>) -> Result<Fields, OpRule> {
        let none = Output { zero: 0, lo: 0, hi: 0 };
        let fields = Fields { mean: 0, input_zero: 0, range: none, reserved: [0; 3], factors: 0 };
        let Pick::Mean(Mean { input_zero, multipliers, shifts, range, .. }) = *self else { return Ok(fields) };
        Ok(Fields { mean: 1, input_zero, range, factors: sink.factors(multipliers, shifts)?, ..fields })
    }

    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
        let (input, output) = (view.input(0), view.output());
        OpRule::Shape.unless(input.shape.width == 1 && output.shape == Shape { height: 1, ..input.shape })?;
        match self {
            Pick::First => OpRule::Element.unless(input.element == output.element),
            Pick::Mean(mean) => {
                OpRule::Element.unless(output.element == Element::Int8)?;
                OpRule::Table.unless(mean.multipliers.len() == input.shape.height)?;
                check_factors(mean.multipliers, mean.shifts)?;
                mean.range.check()
            }
        }
    }

    fn run(&self, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        match self {
            Pick::First => {
                let bytes = operands.output().len();
                operands.copy(0, 0, 0, bytes);
            }
            Pick::Mean(mean) => {
                let from = operands.input_element(0);
                let (input, output, _) = operands.split(0, 0);
                (kernels.mean)(mean, Values::new(from, input), output);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use crate::testing::{HALF, ONE, check_op, int8, int16, run_integers, sequence};

    /// Means of up to two rows.
    const MEAN: Mean<'_> = Mean {
        rows: 2,
        input_zero: 2,
        multipliers: &[ONE.0, HALF.0],
        shifts: &[ONE.1, HALF.1],
        range: Output::full(-1),
    };

    #[test]
    fn good_rows() {
        let (two, one) = (Shape::new(2, 1, 2), Shape::new(1, 1, 2));
        let x = [10, -128, 15, -127];
        assert_eq!(run_integers(Op::Pick(Pick::First), &[(int8(two), &x)], int8(one)), x[..2]);
        assert_eq!(run_integers(Op::Pick(Pick::First), &[(int16(two), &[500, -500, 1, 1])], int16(one)), [500, -500]);
        // Without the zero points: 8 and 13, -130 and -129. Ties round up.
        assert_eq!(run_integers(Op::Pick(Pick::Mean(MEAN)), &[(int8(two), &x)], int8(one)), [10, -128]);
        let wide = Mean { input_zero: 0, range: Output { zero: 0, lo: -128, hi: 90 }, ..MEAN };
        let x = [32767, -300, -32667, 100];
        assert_eq!(run_integers(Op::Pick(Pick::Mean(wide)), &[(int16(two), &x)], int8(one)), [50, -100]);
    }

    #[test]
    fn bad_rows() {
        let (two, one) = (Shape::new(2, 1, 3), Shape::new(1, 1, 3));
        let check = |op, input, output| check_op(Op::Pick(op), &[input], output);
        for (mean, expected) in [
            (MEAN, Ok(())),
            (Mean { multipliers: &[ONE.0], shifts: &[ONE.1], ..MEAN }, Err(OpRule::Table)),
            (Mean { multipliers: &[ONE.0], ..MEAN }, Err(OpRule::Table)),
            (Mean { multipliers: &[ONE.0, 0], ..MEAN }, Err(OpRule::Multiplier)),
            (Mean { range: Output { zero: 0, lo: 1, hi: 0 }, ..MEAN }, Err(OpRule::Clamp)),
        ] {
            assert_eq!(check(Pick::Mean(mean), int8(two), int8(one)), expected, "{mean:?}");
        }
        assert_eq!(check(Pick::Mean(MEAN), int16(two), int16(one)), Err(OpRule::Element));
        assert_eq!(check(Pick::First, int16(two), int8(one)), Err(OpRule::Element));
        assert_eq!(check(Pick::First, int8(two), int16(one)), Err(OpRule::Element));
        assert_eq!(check(Pick::First, int8(two), int8(two)), Err(OpRule::Shape));
        assert_eq!(check(Pick::First, int8(Shape::new(1, 2, 3)), int8(one)), Err(OpRule::Shape));
        assert_eq!(check(Pick::First, sequence(int8(one)), sequence(int8(one))), Err(OpRule::Sequence));
        assert_eq!(check(Pick::First, sequence(int8(two)), int8(one)), Ok(()));
    }
}

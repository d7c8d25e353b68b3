//! A constant around a tensor.

use super::prelude::*;

/// The input placed inside a larger output; everything else of the output is `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pad {
    /// Elements before the input: rows, columns, channels.
    pub before: [usize; 3],
    /// What stands around: the zero point, where zeros are meant.
    pub value: i8,
}

record! {
    /// 8 bytes; the last is zero.
    pub(crate) struct Fields {
        before: [u16; 3],
        value: i8,
        reserved: u8,
    }
}

impl<'a> Operator<'a> for Pad {
    type Fields = Fields;

    const INPUTS: RangeInclusive<usize> = 1..=1;

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        let Fields { before, value, .. } = view.read();
        Ok(Pad { before: before.map(usize::from), value })
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, _: &mut Sink<'_>) -> Result<Fields, OpRule> {
        OpRule::Parameter.unless(self.before.iter().all(|&n| n <= u16::MAX as usize))?;
        Ok(Fields { before: self.before.map(|n| n as u16), value: self.value, reserved: 0 })
    }

    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
        let (input, output) = (view.input(0).shape.sizes(), view.output().shape.sizes());
        OpRule::Shape.unless((0..3).all(|axis| self.before[axis] + input[axis] <= output[axis]))
    }

    fn run(&self, _: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        operands.output().fill(self.value);
        let (input, output) = (operands.input_shape(0), operands.output_shape());
        for y in 0..input.height {
            for x in 0..input.width {
                let to = ((y + self.before[0]) * output.width + x + self.before[1]) * output.channels + self.before[2];
                operands.copy(0, (y * input.width + x) * input.channels, to, input.channels);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use crate::testing::{check_op, run_op};

    #[test]
    fn good_and_bad_rows() {
        let input = Shape::new(1, 2, 1);
        for (before, output, expected) in [
            ([0, 0, 0], input, &[1, 2][..]),
            ([1, 0, 0], Shape::new(2, 2, 1), &[9, 9, 1, 2]),
            ([0, 1, 0], Shape::new(1, 4, 1), &[9, 1, 2, 9]),
            ([0, 0, 1], Shape::new(1, 2, 3), &[9, 1, 9, 9, 2, 9]),
        ] {
            let op = Op::Pad(Pad { before, value: 9 });
            assert_eq!(run_op(op, &[(input, &[1, 2])], output), expected, "{before:?}");
        }
        let op = |before| Op::Pad(Pad { before, value: 0 });
        assert_eq!(check_op(op([1, 0, 0]), &[input], input), Err(OpRule::Shape));
        assert_eq!(check_op(op([0, 1, 0]), &[input], Shape::new(1, 2, 1)), Err(OpRule::Shape));
        assert_eq!(check_op(op([0, 0, 65536]), &[input], input), Err(OpRule::Parameter));
    }
}

//! Tensors of one scale one after another.

use super::prelude::*;

/// Inputs joined along one axis: 0 rows, 1 columns, 2 channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concat {
    /// The axis.
    pub axis: u8,
}

/// Fields: the axis.
impl<'a> Operator<'a> for Concat {
    type Fields = u8;

    const INPUTS: RangeInclusive<usize> = 1..=255;

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        Ok(Concat { axis: view.read() })
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, _: &mut Sink<'_>) -> Result<u8, OpRule> {
        Ok(self.axis)
    }

    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
        OpRule::Parameter.unless(self.axis < 3)?;
        let output = view.output().shape.sizes();
        let mut sum = 0;
        for i in 0..view.inputs() {
            let mut sizes = view.input(i).shape.sizes();
            sum += sizes[self.axis as usize];
            sizes[self.axis as usize] = output[self.axis as usize];
            OpRule::Shape.unless(sizes == output)?;
        }
        OpRule::Shape.unless(sum == output[self.axis as usize])
    }

    fn run(&self, _: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        // Whatever lies behind the axis is one run of bytes; in front of it the runs of all inputs take turns.
        let run = |shape: Shape| shape.sizes().iter().skip(self.axis.into()).product::<usize>();
        let output = run(operands.output_shape());
        let turns = operands.output_shape().len().checked_div(output).unwrap_or(0);
        let mut to = 0;
        for i in 0..operands.inputs() {
            let len = run(operands.input_shape(i));
            for turn in 0..turns {
                operands.copy(i, turn * len, to + turn * output, len);
            }
            to += len;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use crate::testing::{check_op, run_op};

    #[test]
    fn good_rows() {
        let a = (Shape::new(2, 1, 2), &[1, 2, 3, 4][..]);
        let b = (Shape::new(2, 1, 2), &[5, 6, 7, 8][..]);
        for (axis, output, expected) in [
            (0, Shape::new(4, 1, 2), [1, 2, 3, 4, 5, 6, 7, 8]),
            (1, Shape::new(2, 2, 2), [1, 2, 5, 6, 3, 4, 7, 8]),
            (2, Shape::new(2, 1, 4), [1, 2, 5, 6, 3, 4, 7, 8]),
        ] {
            assert_eq!(run_op(Op::Concat(Concat { axis }), &[a, b], output), expected, "{axis}");
        }
        let narrow = (Shape::new(1, 2, 1), &[1, 2][..]);
        let wide = (Shape::new(1, 2, 2), &[3, 4, 5, 6][..]);
        let output = Shape::new(1, 2, 4);
        assert_eq!(run_op(Op::Concat(Concat { axis: 2 }), &[narrow, wide, narrow], output), [1, 3, 4, 1, 2, 5, 6, 2]);
    }

    #[test]
    fn bad_rows() {
        let shape = Shape::new(2, 3, 4);
        for (axis, inputs, output, expected) in [
            (3, [shape; 2], Shape::new(2, 3, 8), OpRule::Parameter),
            (2, [shape; 2], Shape::new(2, 3, 7), OpRule::Shape),
            (2, [shape, Shape::new(3, 2, 4)], Shape::new(2, 3, 8), OpRule::Shape),
            (0, [shape; 2], Shape::new(2, 6, 4), OpRule::Shape),
        ] {
            assert_eq!(check_op(Op::Concat(Concat { axis }), &inputs, output), Err(expected), "{axis} {inputs:?}");
        }
    }
}

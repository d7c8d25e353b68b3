//! Every so-manyth element of each axis.

use super::prelude::*;

/// Output element `i` of an axis is input element `start + i * step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// First row, column, channel.
    pub start: [usize; 3],
    /// Distance between rows, columns, channels; at least 1.
    pub step: [usize; 3],
}

record! {
    /// 12 bytes.
    pub(crate) struct Fields {
        start: [u16; 3],
        step: [u16; 3],
    }
}

impl<'a> Operator<'a> for Slice {
    type Fields = Fields;

    const INPUTS: RangeInclusive<usize> = 1..=1;

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        let Fields { start, step } = view.read();
        Ok(Slice { start: start.map(usize::from), step: step.map(usize::from) })
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, _: &mut Sink<'_>) -> Result<Fields, OpRule> {
        OpRule::Parameter.unless(self.start.iter().chain(&self.step).all(|&n| n <= u16::MAX as usize))?;
        Ok(Fields { start: self.start.map(|n| n as u16), step: self.step.map(|n| n as u16) })
    }

    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
        let (input, output) = (view.input(0).shape.sizes(), view.output().shape.sizes());
        OpRule::Parameter.unless(!self.step.contains(&0))?;
        for axis in 0..3 {
            // In 64 bits: two 16-bit numbers multiplied and a third added do not fit 32.
            let last = self.start[axis] as u64 + (output[axis] as u64 - 1) * self.step[axis] as u64;
            OpRule::Shape.unless(last < input[axis] as u64)?;
        }
        Ok(())
    }

    fn run(&self, _: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        let (input, output) = (operands.input_shape(0), operands.output_shape());
        let from = |axis: usize, i: usize| self.start[axis] + i * self.step[axis];
        // Neighbouring channels are one run.
        let run = if self.step[2] == 1 { output.channels } else { 1 };
        let mut to = 0;
        for y in 0..output.height {
            for x in 0..output.width {
                let pixel = (from(0, y) * input.width + from(1, x)) * input.channels;
                for c in (0..output.channels).step_by(run) {
                    operands.copy(0, pixel + from(2, c), to, run);
                    to += run;
                }
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
        let input = Shape::new(2, 3, 2);
        let values = [0, 1, 10, 11, 20, 21, 100, 101, 110, 111, 120, 121];
        for (start, step, output, expected) in [
            ([1, 0, 0], [1; 3], Shape::new(1, 3, 2), &[100, 101, 110, 111, 120, 121][..]),
            ([0, 0, 0], [1, 2, 1], Shape::new(2, 2, 2), &[0, 1, 20, 21, 100, 101, 120, 121]),
            ([0, 1, 1], [1, 1, 7], Shape::new(2, 2, 1), &[11, 21, 111, 121]),
        ] {
            let op = Op::Slice(Slice { start, step });
            assert_eq!(run_op(op, &[(input, &values)], output), expected, "{start:?} {step:?}");
        }
        let op = |start, step| Op::Slice(Slice { start, step });
        let two = Shape::new(2, 2, 2);
        assert_eq!(check_op(op([0; 3], [1, 0, 1]), &[input], two), Err(OpRule::Parameter));
        assert_eq!(check_op(op([0; 3], [1, 3, 1]), &[input], two), Err(OpRule::Shape));
        assert_eq!(check_op(op([1, 0, 0], [1; 3]), &[input], two), Err(OpRule::Shape));
        assert_eq!(check_op(op([0; 3], [65535; 3]), &[input], two), Err(OpRule::Shape));
        assert_eq!(check_op(op([0; 3], [65536; 3]), &[input], two), Err(OpRule::Parameter));
    }
}

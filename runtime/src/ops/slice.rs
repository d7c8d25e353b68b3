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

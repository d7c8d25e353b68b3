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

//! From 16 to 8 bits: what a layer reads of the residual stream.

use super::prelude::*;
use crate::quant::is_rescale;

/// `requantize(x)` of each element; see [`crate::quant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Narrow {
    /// In `[2^30, 2^31)`.
    pub multiplier: i32,
    /// See [`crate::quant::rescale`].
    pub shift: u8,
    /// Zero point and clamp of the result.
    pub range: Output,
}

impl Narrow {
    /// One value.
    #[inline(always)]
    pub const fn apply(self, x: i16) -> i8 {
        self.range.requantize(x as i32, self.multiplier, self.shift)
    }
}

record! {
    /// 8 bytes.
    pub(crate) struct Fields {
        multiplier: i32,
        shift: u8,
        range: Output,
    }
}

/// The input is int16, the output int8.
impl<'a> Operator<'a> for Narrow {
    type Fields = Fields;

    const INPUTS: RangeInclusive<usize> = 1..=1;

    const ROWS: Rows = Rows::Kept;

    fn reads(view: &OpView<'_, '_>) -> bool {
        view.input(0).element == Element::Int16 && view.output().element == Element::Int8
    }

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        let Fields { multiplier, shift, range } = view.read();
        Ok(Narrow { multiplier, shift, range })
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, _: &mut Sink<'_>) -> Result<Fields, OpRule> {
        Ok(Fields { multiplier: self.multiplier, shift: self.shift, range: self.range })
    }

    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
        OpRule::Shape.unless(view.input(0).shape == view.output().shape)?;
        OpRule::Multiplier.unless(is_rescale(self.multiplier, self.shift))?;
        self.range.check()
    }

    fn run(&self, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        let (input, output, _) = operands.split(0, 0);
        (kernels.narrow)(self, cast::i16s(input), output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use crate::testing::{HALF, check_op, int8, int16, run_integers};

    const HALVE: Narrow = Narrow { multiplier: HALF.0, shift: HALF.1, range: Output { zero: 3, lo: -100, hi: 127 } };

    #[test]
    fn good_rows() {
        let shape = Shape::new(1, 1, 6);
        let x = [0, 1, -1, 248, 32767, -32767];
        assert_eq!(run_integers(Op::Narrow(HALVE), &[(int16(shape), &x)], int8(shape)), [3, 4, 3, 127, 127, -100]);
    }

    #[test]
    fn bad_rows() {
        let shape = Shape::new(2, 1, 3);
        let (narrow, wide) = (int8(shape), int16(shape));
        for (op, input, output, expected) in [
            (HALVE, wide, narrow, Ok(())),
            (Narrow { multiplier: 1, ..HALVE }, wide, narrow, Err(OpRule::Multiplier)),
            (Narrow { shift: 31, ..HALVE }, wide, narrow, Err(OpRule::Multiplier)),
            (Narrow { range: Output { zero: 0, lo: 1, hi: 0 }, ..HALVE }, wide, narrow, Err(OpRule::Clamp)),
            (HALVE, narrow, narrow, Err(OpRule::Element)),
            (HALVE, wide, wide, Err(OpRule::Element)),
            (HALVE, wide, int8(Shape::new(3, 1, 2)), Err(OpRule::Shape)),
        ] {
            assert_eq!(check_op(Op::Narrow(op), &[input], output), expected, "{op:?} {input:?} {output:?}");
        }
    }
}

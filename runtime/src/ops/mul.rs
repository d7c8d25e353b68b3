//! Product of two tensors, the first possibly repeated over the pixels.

use super::add::check_broadcast;
use super::prelude::*;

/// `requantize((a - zero_a) * (b - zero_b))`; see [`crate::quant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mul {
    /// Zero points of `a` and `b`.
    pub zeros: [i8; 2],
    /// In `[2^30, 2^31)`.
    pub multiplier: i32,
    /// See [`crate::quant::rescale`].
    pub shift: u8,
    /// Zero point and clamp of the result.
    pub range: Output,
}

impl Mul {
    /// The product of one pair.
    #[inline(always)]
    pub const fn apply(self, a: i8, b: i8) -> i8 {
        let acc = (a as i32 - self.zeros[0] as i32) * (b as i32 - self.zeros[1] as i32);
        self.range.requantize(acc, self.multiplier, self.shift)
    }
}

record! {
    /// 12 bytes; the last two are zeros.
    pub(crate) struct Fields {
        multiplier: i32,
        shift: u8,
        range: Output,
        zeros: [i8; 2],
        reserved: u16,
    }
}

/// Inputs: `a`, one value for each of the output's, or for each channel, or for all; `b`, of the output's shape, which may lie there.
impl<'a> Operator<'a> for Mul {
    type Fields = Fields;

    const INPUTS: RangeInclusive<usize> = 2..=2;

    const ROWS: Rows = Rows::Kept;

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        let Fields { multiplier, shift, range, zeros, .. } = view.read();
        Ok(Mul { zeros, multiplier, shift, range })
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, _: &mut Sink<'_>) -> Result<Fields, OpRule> {
        let Mul { zeros, multiplier, shift, range } = *self;
        Ok(Fields { multiplier, shift, range, zeros, reserved: 0 })
    }

    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
        check_broadcast(view)?;
        check_factors(&[self.multiplier], &[self.shift])?;
        self.range.check()
    }

    fn sharing(&self) -> Sharing {
        Sharing::May(1)
    }

    fn run(&self, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        operands.bring(1);
        let (a, output, _) = operands.split(0, 0);
        (kernels.mul)(self, a, output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use crate::testing::{ONE, check_op, run_op};

    const PRODUCT: Mul = Mul { zeros: [1, -1], multiplier: ONE.0, shift: ONE.1, range: Output::full(10) };

    #[test]
    fn good_rows() {
        let image = Shape::new(1, 2, 2);
        let b = [0, 1, 2, -3];
        for (shape, a, expected) in [
            (image, &[2, 3, 4, 5][..], [11, 14, 19, 2]),
            (Shape::new(1, 1, 2), &[2, 0], [11, 8, 13, 12]),
            (Shape::new(1, 1, 1), &[-127], [-118, -128, -128, 127]),
        ] {
            assert_eq!(run_op(Op::Mul(PRODUCT), &[(shape, a), (image, &b)], image), expected, "{shape:?}");
        }
    }

    #[test]
    fn bad_rows() {
        let image = Shape::new(2, 2, 4);
        let rows = [
            (PRODUCT, [image; 2], Ok(())),
            (PRODUCT, [Shape::new(2, 1, 4), image], Err(OpRule::Shape)),
            (Mul { multiplier: (1 << 30) - 1, ..PRODUCT }, [image; 2], Err(OpRule::Multiplier)),
            (Mul { shift: 31, ..PRODUCT }, [image; 2], Err(OpRule::Multiplier)),
            (Mul { shift: 32, ..PRODUCT }, [image; 2], Err(OpRule::Multiplier)),
            (Mul { range: Output { zero: 0, lo: 5, hi: 4 }, ..PRODUCT }, [image; 2], Err(OpRule::Clamp)),
        ];
        for (op, inputs, expected) in rows {
            assert_eq!(check_op(Op::Mul(op), &inputs, image), expected, "{op:?} {inputs:?}");
        }
    }
}

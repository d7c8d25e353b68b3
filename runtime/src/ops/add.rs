//! Sum of two tensors of different scales.

use super::prelude::*;

/// `clamp((a * m0 + b * m1 + bias) >> shift, lo, hi)`; see [`crate::quant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Add {
    /// Multipliers of `a` and `b`; above -32768.
    pub multipliers: [i16; 2],
    /// Zero points and rounding, folded; at most 2^30 in magnitude, so that no sum can overflow.
    pub bias: i32,
    /// Right shift, 1..=22.
    pub shift: u8,
    /// Smallest result.
    pub lo: i8,
    /// Largest result.
    pub hi: i8,
}

impl Add {
    /// In place of the parameters of no sum.
    #[cfg(any(test, feature = "encode"))]
    pub(crate) const NONE: Add = Add { multipliers: [0; 2], bias: 0, shift: 0, lo: 0, hi: 0 };

    /// Largest shift: then the zero point, shifted, leaves room for the products.
    pub const MAX_SHIFT: u8 = 22;

    /// Largest magnitude of the bias.
    pub const MAX_BIAS: u32 = 1 << 30;

    /// The sum of one pair.
    #[inline(always)]
    pub const fn apply(self, a: i8, b: i8) -> i8 {
        let sum = a as i32 * self.multipliers[0] as i32 + b as i32 * self.multipliers[1] as i32;
        let v = sum.wrapping_add(self.bias).wrapping_shr(self.shift as u32);
        Output { zero: 0, lo: self.lo, hi: self.hi }.clamp(v)
    }
}

/// Twelve bytes: multipliers, bias, shift, bounds, and a zero.
impl Field for Add {
    const BYTES: usize = 12;

    fn read(bytes: &[u8]) -> Self {
        let tail = |at| crate::format::bytes::tail(bytes, at);
        let [shift, lo, hi] = <[u8; 3]>::read(tail(8));
        Add { multipliers: Field::read(bytes), bias: Field::read(tail(4)), shift, lo: lo as i8, hi: hi as i8 }
    }

    fn write(&self, bytes: &mut [u8]) {
        if let Some(bytes) = bytes.first_chunk_mut::<{ Self::BYTES }>() {
            self.multipliers.write(&mut bytes[..]);
            self.bias.write(&mut bytes[4..]);
            [self.shift, self.lo as u8, self.hi as u8, 0].write(&mut bytes[8..]);
        }
    }
}

/// Inputs: `a`, one value for each of the output's, or for each channel, or for all; `b`, of the output's shape, which may lie there.
impl<'a> Operator<'a> for Add {
    type Fields = Add;

    const INPUTS: RangeInclusive<usize> = 2..=2;

    const ROWS: Rows = Rows::Kept;

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        Ok(view.read())
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, _: &mut Sink<'_>) -> Result<Add, OpRule> {
        Ok(*self)
    }

    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
        check_broadcast(view)?;
        self.check_numbers()
    }

    fn sharing(&self) -> Sharing {
        Sharing::May(1)
    }

    fn run(&self, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        operands.bring(1);
        let (a, output, _) = operands.split(0, 0);
        (kernels.add)(self, a, output);
    }
}

impl Add {
    /// No sum can overflow, and the clamp is one.
    pub(crate) fn check_numbers(self) -> Result<(), OpRule> {
        OpRule::Multiplier.unless(
            !self.multipliers.contains(&i16::MIN)
                && (1..=Add::MAX_SHIFT).contains(&self.shift)
                && self.bias.unsigned_abs() <= Add::MAX_BIAS,
        )?;
        OpRule::Clamp.unless(self.lo <= self.hi)
    }
}

/// `b` has the output's shape; `a` too, or it is one pixel of it, or one value.
pub(super) fn check_broadcast(view: &OpView<'_, '_>) -> Result<(), OpRule> {
    let (a, b, output) = (view.input(0).shape, view.input(1).shape, view.output().shape);
    let a_fits = a == output || a == Shape::new(1, 1, output.channels) || a == Shape::new(1, 1, 1);
    OpRule::Shape.unless(a_fits && b == output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use crate::testing::{check_op, run_op};

    /// `round((a + b) / 2)`
    const MEAN: Add = Add { multipliers: [1 << 14; 2], bias: 1 << 14, shift: 15, lo: -128, hi: 127 };

    #[test]
    fn good_rows() {
        let image = Shape::new(1, 2, 2);
        let b = [1, 2, 3, -128];
        // (a's shape, a, result); ties round up.
        for (shape, a, expected) in [
            (image, &[1, 3, 4, -128][..], [1, 3, 4, -128]),
            (Shape::new(1, 1, 2), &[5, -5], [3, -1, 4, -66]),
            (Shape::new(1, 1, 1), &[-2], [0, 0, 1, -65]),
        ] {
            assert_eq!(run_op(Op::Add(MEAN), &[(shape, a), (image, &b)], image), expected, "{shape:?}");
        }
        let difference = Add { multipliers: [1 << 14, -(1 << 14)], bias: 3 << 14, shift: 14, lo: 0, hi: 9 };
        assert_eq!(run_op(Op::Add(difference), &[(image, &[4, 1, 127, 0]), (image, &b)], image), [6, 2, 9, 9]);
    }

    #[test]
    fn bad_rows() {
        let image = Shape::new(2, 2, 4);
        let pixel = Shape::new(1, 1, 4);
        let rows = [
            (MEAN, [pixel, image], Ok(())),
            (MEAN, [Shape::new(1, 2, 4), image], Err(OpRule::Shape)),
            (MEAN, [image, pixel], Err(OpRule::Shape)),
            (Add { multipliers: [1, i16::MIN], ..MEAN }, [image; 2], Err(OpRule::Multiplier)),
            (Add { shift: 0, ..MEAN }, [image; 2], Err(OpRule::Multiplier)),
            (Add { shift: 23, ..MEAN }, [image; 2], Err(OpRule::Multiplier)),
            (Add { bias: -(1 << 30), ..MEAN }, [image; 2], Ok(())),
            (Add { bias: 1 + (1 << 30), ..MEAN }, [image; 2], Err(OpRule::Multiplier)),
            (Add { bias: i32::MIN, ..MEAN }, [image; 2], Err(OpRule::Multiplier)),
            (Add { lo: 1, hi: 0, ..MEAN }, [image; 2], Err(OpRule::Clamp)),
        ];
        for (op, inputs, expected) in rows {
            assert_eq!(check_op(Op::Add(op), &inputs, image), expected, "{op:?} {inputs:?}");
        }
        assert_eq!(check_op(Op::Add(MEAN), &[image], image), Err(OpRule::Operands));
    }
}

//! Sum of two tensors in 16 bits: the residual stream of a transformer, which must not round to 8 at every layer.

use super::prelude::*;

/// `saturate((a * m0 + b * m1 + bias) >> shift)`; `a` of 8 bits counts 256 times. See [`crate::quant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Add16 {
    /// Multipliers of `a` and `b`: alike in size, since a scale of 8 bits is some 256 times one of 16.
    pub multipliers: [i16; 2],
    /// The zero point of `a` and rounding, folded.
    pub bias: i32,
    /// Right shift, 1..=22.
    pub shift: u8,
}

impl Add16 {
    /// Largest shift.
    pub const MAX_SHIFT: u8 = 22;

    /// The sum of one pair.
    #[inline(always)]
    pub fn apply(self, a: i16, b: i16) -> i16 {
        let [m0, m1] = self.multipliers.map(i32::from);
        let sum = (a as i32 * m0).wrapping_add(b as i32 * m1).wrapping_add(self.bias);
        Number::saturate(sum.wrapping_shr(self.shift as u32))
    }
}

record! {
    /// 12 bytes; the last three are zeros.
    pub(crate) struct Fields {
        multipliers: [i16; 2],
        bias: i32,
        shift: u8,
        reserved: [u8; 3],
    }
}

/// Inputs: `a`, int8 or int16; `b`, int16, which may lie where the output does. All have one shape.
impl<'a> Operator<'a> for Add16 {
    type Fields = Fields;

    const INPUTS: RangeInclusive<usize> = 2..=2;

    const ROWS: Rows = Rows::Kept;

    fn reads(view: &OpView<'_, '_>) -> bool {
        let [a, b, output] = [view.input(0), view.input(1), view.output()].map(|tensor| tensor.element);
        a != Element::Token && b == Element::Int16 && output == Element::Int16
    }

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        let Fields { multipliers, bias, shift, .. } = view.read();
        Ok(Add16 { multipliers, bias, shift })
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, _: &mut Sink<'_>) -> Result<Fields, OpRule> {
        Ok(Fields { multipliers: self.multipliers, bias: self.bias, shift: self.shift, reserved: [0; 3] })
    }

    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
        let output = view.output().shape;
        OpRule::Shape.unless(view.input(0).shape == output && view.input(1).shape == output)?;
        // No sum can overflow, whatever the operands hold.
        let [m0, m1] = self.multipliers.map(|m| i64::from(m).abs());
        let most = ((m0 + m1) << 15) + i64::from(self.bias).abs();
        OpRule::Multiplier.unless(most <= i64::from(i32::MAX) && (1..=Add16::MAX_SHIFT).contains(&self.shift))
    }

    fn sharing(&self) -> Sharing {
        Sharing::May(1)
    }

    fn run(&self, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        operands.bring(1);
        let from = operands.input_element(0);
        let (a, output, _) = operands.split(0, 0);
        (kernels.add16)(self, Values::new(from, a), cast::i16s_mut(output));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use crate::testing::{check_op, int8, int16, run_integers, sequence};

    /// `round((a + b) / 2)`
    const MEAN: Add16 = Add16 { multipliers: [1 << 14; 2], bias: 1 << 14, shift: 15 };

    #[test]
    fn good_rows() {
        let shape = Shape::new(1, 1, 4);
        let b = [1, 2, 32767, -32767];
        for (a, values, expected) in [
            (int8(shape), [2, -3, 127, -128], [257, -383, 32640, -32767]),
            (int16(shape), [2, -3, 32767, -32767], [2, 0, 32767, -32767]),
        ] {
            let found = run_integers(Op::Add16(MEAN), &[(a, &values), (int16(shape), &b)], int16(shape));
            assert_eq!(found, expected, "{a:?}");
        }
        // Both ends saturate, symmetrically.
        let twice = Add16 { multipliers: [4, 4], bias: 1, shift: 1 };
        let found = run_integers(Op::Add16(twice), &[(int16(shape), &b), (int16(shape), &b)], int16(shape));
        assert_eq!(found, [4, 8, 32767, -32767]);
    }

    #[test]
    fn bad_rows() {
        let shape = Shape::new(3, 1, 4);
        let (narrow, wide) = (int8(shape), int16(shape));
        let largest = Add16 { multipliers: [32767, -32767], bias: 65535, shift: 22 };
        for (op, a, expected) in [
            (MEAN, wide, Ok(())),
            (largest, wide, Ok(())),
            (Add16 { bias: 65536, ..largest }, wide, Err(OpRule::Multiplier)),
            (largest, narrow, Ok(())),
            (Add16 { bias: -65536, ..largest }, narrow, Err(OpRule::Multiplier)),
            (Add16 { bias: i32::MIN, ..MEAN }, narrow, Err(OpRule::Multiplier)),
            (Add16 { shift: 0, ..MEAN }, wide, Err(OpRule::Multiplier)),
            (Add16 { shift: 23, ..MEAN }, wide, Err(OpRule::Multiplier)),
        ] {
            assert_eq!(check_op(Op::Add16(op), &[a, wide], wide), expected, "{op:?} {a:?}");
        }
        let check = |inputs: [_; 2], output| check_op(Op::Add16(MEAN), &inputs, output);
        assert_eq!(check([wide, narrow], wide), Err(OpRule::Element));
        assert_eq!(check([wide, wide], narrow), Err(OpRule::Element));
        assert_eq!(check([int8(Shape::new(1, 1, 4)), wide], wide), Err(OpRule::Shape));
        assert_eq!(check([wide, sequence(wide)], sequence(wide)), Err(OpRule::Sequence));
        assert_eq!(check([sequence(wide); 2], wide), Err(OpRule::Sequence));
        assert_eq!(check([sequence(wide); 2], sequence(wide)), Ok(()));
    }
}

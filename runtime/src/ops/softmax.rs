//! Probabilities from scores, row by row, with integers only.

use super::prelude::*;
use crate::quant::EXP2;

/// Softmax of rows of `len` values; the output has scale 1/256 and zero point -128. See [`crate::quant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// Values in a row; at most 65,535.
    pub len: usize,
    /// `round(input scale * log2(e) * 2^16)`, at most 2^24.
    pub step: u32,
}

impl Softmax {
    /// Largest step: then `255 * step` has 32 bits.
    pub const MAX_STEP: u32 = 1 << 24;

    /// `2^15 * exp(-scale * distance)` for a value `distance` (0..=255) below the largest of its row.
    #[inline(always)]
    pub const fn exponential(self, distance: u8) -> u32 {
        let t = (distance as u32).wrapping_mul(self.step).wrapping_add(128) >> 8;
        let whole = if t >> 8 > 31 { 31 } else { t >> 8 };
        EXP2[(t & 255) as usize] as u32 >> whole
    }

    /// `floor(2^46 / sum)` for the sum of a row's exponentials, which is at least 2^15.
    #[inline(always)]
    pub const fn reciprocal(sum: u32) -> u32 {
        // A whole row holds at least the exponential of its own maximum, 2^15; the bound keeps the quotient in 32 bits.
        ((1u64 << 46) / if sum < 1 << 15 { 1 << 15 } else { sum as u64 }) as u32
    }

    /// The stored probability of a value with this exponential.
    #[inline(always)]
    pub const fn probability(exponential: u32, reciprocal: u32) -> i8 {
        let p = (exponential as u64 * reciprocal as u64 + (1 << 37)) >> 38;
        (if p > 255 { 255 } else { p as i32 } - 128) as i8
    }
}

/// Fields: the step. Rows are pixels. The input may lie where the output does.
impl<'a> Operator<'a> for Softmax {
    type Fields = u32;

    const INPUTS: RangeInclusive<usize> = 1..=1;

    const ROWS: Rows = Rows::Kept;

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        Ok(Softmax { len: view.output().shape.channels, step: view.read() })
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, _: &mut Sink<'_>) -> Result<u32, OpRule> {
        Ok(self.step)
    }

    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
        OpRule::Shape.unless(view.input(0).shape == view.output().shape)?;
        OpRule::Parameter.unless(self.step <= Softmax::MAX_STEP)
    }

    fn sharing(&self) -> Sharing {
        Sharing::May(0)
    }

    fn run(&self, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        operands.bring(0);
        (kernels.softmax)(self, operands.output());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use crate::testing::{check_op, run_op};

    #[test]
    fn good_rows() {
        // A step of 2^16 halves with each unit: 1, 1/2, 1/4 of their sum 1.75; and equal values share.
        let op = Op::Softmax(Softmax { len: 3, step: 1 << 16 });
        let shape = Shape::new(1, 2, 3);
        let q = |p: f64| ((p * 256.0).round() as i32 - 128) as i8;
        let expected = [q(4.0 / 7.0), q(2.0 / 7.0), q(1.0 / 7.0), q(1.0 / 3.0), q(1.0 / 3.0), q(1.0 / 3.0)];
        assert_eq!(run_op(op, &[(shape, &[9, 8, 7, -128, -128, -128])], shape), expected);
        // One value takes all: 256 / 256 does not fit and is the largest byte.
        let one = Shape::new(1, 1, 1);
        assert_eq!(run_op(Op::Softmax(Softmax { len: 1, step: 5 }), &[(one, &[3])], one), [127]);
    }

    #[test]
    fn near_the_real_function() {
        let shape = Shape::new(1, 1, 100);
        for (seed, scale) in [(1, 0.02), (2, 0.1), (3, 0.9)] {
            let mut rng = crate::Rng::new(seed);
            let x: [i8; 100] = core::array::from_fn(|_| rng.byte());
            let step = (scale * core::f64::consts::LOG2_E * 65536.0).round() as u32;
            let y = run_op(Op::Softmax(Softmax { len: 100, step }), &[(shape, &x)], shape);
            let sum: f64 = x.iter().map(|&x| (scale * x as f64).exp()).sum();
            for (&x, &y) in x.iter().zip(&y) {
                let real = ((scale * x as f64).exp() / sum * 256.0).min(255.0);
                assert!((real - (y as f64 + 128.0)).abs() < 0.8, "{scale} {x}: {real} {y}");
            }
        }
    }

    #[test]
    fn bad_rows() {
        let shape = Shape::new(2, 2, 5);
        let op = |step| Op::Softmax(Softmax { len: 5, step });
        assert_eq!(check_op(op(1 << 24), &[shape], shape), Ok(()));
        assert_eq!(check_op(op(1 + (1 << 24)), &[shape], shape), Err(OpRule::Parameter));
        assert_eq!(check_op(op(1), &[shape], Shape::new(4, 1, 5)), Err(OpRule::Shape));
    }
}

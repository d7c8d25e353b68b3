//! Each row becomes a mean of all rows, weighted by how alike queries and keys are; a row of weights at a time.

use super::prelude::*;
use crate::quant::{EXP2, MAX_RIGHT, is_rescale, rescale};

/// Attention over `rows` rows of `heads * size` channels; see [`crate::quant`].
///
/// Queries, keys and values are int8 with zero point 0, one scale each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attention {
    /// Number of rows.
    pub rows: usize,
    /// Groups of neighbouring channels that each have weights of their own.
    pub heads: usize,
    /// Channels of a group.
    pub size: usize,
    /// Multiplier and shift from products of queries and keys to exponents of two with 8 bits after the point:
    /// `256 * log2(e) * query scale * key scale / sqrt(size)`.
    pub score: (i32, u8),
    /// Multiplier and right shift (1..=20, no left shift) for sums of values if only one weight is not 0, and so is 2^14:
    /// `value scale / output scale / 2^14`.
    pub value: (i32, u8),
    /// Zero point and clamp of the result.
    pub range: Output,
}

/// Queries, keys and values.
pub type Qkv<'a> = [&'a [i8]; 3];

impl Attention {
    /// The weight of a score that is the largest of its row: then it has 16 bits with a sign.
    pub const ONE: u32 = 1 << 14;

    /// Most rows: then sums of weighted values have 32 bits.
    pub const MAX_ROWS: usize = 1023;

    /// Bits by which the sum of a row's weights can exceed one weight.
    const SUM_BITS: u8 = 10;

    /// Largest right shift of [`Attention::value`].
    pub const MAX_VALUE_RIGHT: u8 = MAX_RIGHT - Attention::SUM_BITS;

    /// The weight, 0 to 2^14, of a score that is so much below the largest of its row.
    #[inline(always)]
    pub const fn weight(&self, distance: i32) -> u32 {
        let t = rescale(distance, self.score.0, self.score.1) as u32;
        let whole = if t >> 8 > 16 { 16 } else { t >> 8 };
        (EXP2[(t & 255) as usize] as u32 + (1 << whole)) >> (whole + 1)
    }

    /// Multiplier and shift of a row whose weights have this sum.
    #[inline]
    pub const fn factor(&self, sum: u32) -> (i32, u8) {
        // A row holds the weight of its own maximum; the bounds only say that nothing can panic here.
        let sum = if sum < Attention::ONE { Attention::ONE } else { sum };
        let quotient = ((self.value.0 as u32 as u64) << 24) / sum as u64;
        let excess = (u64::BITS - quotient.leading_zeros()).saturating_sub(31);
        let right = (self.value.1 & 31).wrapping_add(Attention::SUM_BITS).wrapping_sub(excess as u8);
        ((quotient >> excess) as i32, right & 31)
    }

    /// Channels of a row.
    pub const fn width(&self) -> usize {
        self.heads.saturating_mul(self.size)
    }

    /// Whether these buffers have the sizes that the shapes ask for.
    pub const fn fits(&self, [q, k, v]: Qkv<'_>, output: &[i8]) -> bool {
        let n = self.rows.saturating_mul(self.width());
        n != 0 && self.rows <= Attention::MAX_ROWS && output.len() == n && q.len() == n && k.len() == n && v.len() == n
    }
}

record! {
    /// 16 bytes; the last is zero.
    pub(crate) struct Fields {
        score: i32,
        value: i32,
        heads: u16,
        score_shift: u8,
        value_right: u8,
        range: Output,
        reserved: u8,
    }
}

/// Inputs: queries, keys, values, in places apart and all of the output's shape, one column wide.
impl<'a> Operator<'a> for Attention {
    type Fields = Fields;

    const INPUTS: RangeInclusive<usize> = 3..=3;

    const ROWS: Rows = Rows::Kept;

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        let Fields { score, value, heads, score_shift, value_right, range, .. } = view.read();
        let (output, heads) = (view.output().shape, usize::from(heads));
        Ok(Attention {
            rows: output.height,
            heads,
            size: output.channels.checked_div(heads).unwrap_or(0),
            score: (score, score_shift),
            value: (value, value_right),
            range,
        })
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, _: &mut Sink<'_>) -> Result<Fields, OpRule> {
        Ok(Fields {
            score: self.score.0,
            value: self.value.0,
            heads: self.heads.try_into().map_err(|_| OpRule::Parameter)?,
            score_shift: self.score.1,
            value_right: self.value.1,
            range: self.range,
            reserved: 0,
        })
    }

    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
        let output = view.output().shape;
        let same = (0..3).all(|i| view.input(i).shape == output);
        OpRule::Shape.unless(same && output.width == 1 && output.height <= Attention::MAX_ROWS)?;
        OpRule::Parameter.unless(self.width() == output.channels)?;
        let [q, k, v] = [0, 1, 2].map(|i| view.input(i).range());
        OpRule::Aliasing
            .unless([(&q, &k), (&q, &v), (&k, &v)].iter().all(|(a, b)| a.end <= b.start || b.end <= a.start))?;
        let ((score, score_shift), (value, right)) = (self.score, self.value);
        OpRule::Multiplier.unless(
            is_rescale(score, score_shift) && is_rescale(value, right) && right <= Attention::MAX_VALUE_RIGHT,
        )?;
        self.range.check()
    }

    fn scratch(&self, isa: Isa) -> usize {
        (isa.scratch().attention)(self)
    }

    fn run(&self, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        let (inputs, output, scratch) = operands.split_three(self.scratch(kernels.isa));
        (kernels.attention)(self, inputs, output, scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use crate::testing::{check_op, decibels, fixed, int8, normal, run_integers, sequence};
    use crate::{Rng, Tensor};
    use std::vec::Vec;

    /// Attention with these scales of queries, keys, values and the output.
    fn attention([rows, heads, size]: [usize; 3], [q, k, v, output]: [f64; 4]) -> Attention {
        let score = fixed(256.0 * core::f64::consts::LOG2_E * q * k / (size as f64).sqrt());
        let value = fixed(v / output / f64::from(Attention::ONE));
        Attention { rows, heads, size, score, value, range: Output::full(0) }
    }

    /// The mean of the values with exact weights.
    fn real(op: &Attention, [q, k, v]: [&[i32]; 3], scales: [f64; 4]) -> Vec<f64> {
        let (size, width) = (op.size, op.width());
        let of = |x: &[i32], row: usize, head: usize, c: usize| f64::from(x[row * width + head * size + c]);
        let mut out = Vec::new();
        for row in 0..op.rows {
            for head in 0..op.heads {
                let score = |other| (0..size).map(|c| of(q, row, head, c) * of(k, other, head, c)).sum::<f64>();
                let factor = scales[0] * scales[1] / (size as f64).sqrt();
                let scores: Vec<f64> = (0..op.rows).map(|other| score(other) * factor).collect();
                let largest = scores.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
                let sum: f64 = weights.iter().sum();
                let mean = |c| weights.iter().enumerate().map(|(i, w)| w * of(v, i, head, c)).sum::<f64>() / sum;
                out.extend((0..size).map(|c| scales[2] * mean(c)));
            }
        }
        out
    }

    #[test]
    fn near_the_real_function() {
        // (rows, heads, channels of each, standard deviation of scores)
        for (sizes, spread) in
            [([1, 2, 8], 1.0), ([7, 4, 32], 0.5), ([64, 2, 64], 1.0), ([64, 2, 64], 4.0), ([200, 1, 24], 2.0)]
        {
            let [rows, heads, size] = sizes;
            let mut rng = Rng::new(rows as u32);
            let mut random = || -> Vec<i32> {
                (0..rows * heads * size)
                    .map(|_| (30.0 * normal(&mut rng)).round().clamp(-127.0, 127.0) as i32)
                    .collect()
            };
            let [q, k, v] = [(); 3].map(|()| random());
            let tensor = int8(Shape::new(rows, 1, heads * size));
            let scale = f64::sqrt(spread) / 30.0;
            let mut scales = [scale, scale, 0.02, 1.0];
            // A first look says how large the means are.
            let unit = attention(sizes, scales);
            let expected = real(&unit, [&q, &k, &v], scales);
            scales[3] = expected.iter().fold(0.0, |most: f64, v| most.max(v.abs())) / 127.0;
            let op = attention(sizes, scales);
            let found = run_integers(Op::Attention(op), &[(tensor, &q), (tensor, &k), (tensor, &v)], tensor);
            let found: Vec<f64> = found.iter().map(|&y| scales[3] * f64::from(y)).collect();
            // All that is lost is lost in the rounding to 8 bits: half a step, and a hundredth for the weights.
            let worst = expected.iter().zip(&found).fold(0.0, |worst: f64, (e, f)| worst.max((e - f).abs()));
            assert!(worst < 0.55 * scales[3], "{sizes:?} {spread}: {}", worst / scales[3]);
            let ratio = decibels(&expected, found);
            assert!(ratio > 30.0, "{sizes:?} {spread}: {ratio:.1} dB");
        }
    }

    #[test]
    fn awkward_rows() {
        let run = |op: Attention, [q, k, v]: [&[i32]; 3]| {
            let tensor = int8(Shape::new(op.rows, 1, op.width()));
            run_integers(Op::Attention(op), &[(tensor, q), (tensor, k), (tensor, v)], tensor)
        };
        // A single row is its own mean.
        let one = attention([1, 2, 2], [0.1, 0.1, 1.0, 1.0]);
        assert_eq!(run(one, [&[-128; 4], &[127; 4], &[-128, 127, 0, 5]]), [-128, 127, 0, 5]);
        // Scores alike give the plain mean, extremes one that takes all.
        let two = attention([2, 1, 2], [0.1, 0.1, 1.0, 1.0]);
        assert_eq!(run(two, [&[0; 4], &[127, -128, -128, 127], &[-128, 10, 127, 20]]), [0, 15, 0, 15]);
        let q = [127, -128, -128, 127];
        assert_eq!(run(two, [&q, &q, &[-128, 10, 127, 20]]), [-128, 10, 127, 20]);
        // As many rows as there may be, all weights 1, all values extreme: the sums just fit.
        let most = attention([Attention::MAX_ROWS, 1, 1], [0.1, 0.1, 1.0, 1.0]);
        let [zeros, least] = [[0; Attention::MAX_ROWS], [-128; Attention::MAX_ROWS]];
        assert_eq!(run(most, [&zeros, &zeros, &least]), least);
    }

    #[test]
    fn weights_are_rounded_powers() {
        // Each unit of the score is one bit of the exponent: 256 of 256.
        let op = Attention { score: (1 << 30, 1 | 3 << 5), ..attention([1; 3], [0.1; 4]) };
        for distance in 0..5000 {
            let exact = f64::from(Attention::ONE) * (-f64::from(distance) / 256.0).exp2();
            let found = f64::from(op.weight(distance));
            assert!((found - exact).abs() < 0.76, "{distance}: {found} {exact}");
        }
        assert_eq!([op.weight(0), op.weight(i32::MAX), op.weight(-1)], [Attention::ONE, 0, 0]);
    }

    #[test]
    fn bad_rows() {
        let shape = Shape::new(4, 1, 6);
        let good = attention([4, 2, 3], [0.1; 4]);
        for (op, expected) in [
            (good, Ok(())),
            (Attention { heads: 0, ..good }, Err(OpRule::Parameter)),
            (Attention { heads: 4, ..good }, Err(OpRule::Parameter)),
            (Attention { heads: 65536, ..good }, Err(OpRule::Parameter)),
            (Attention { score: (1, 1), ..good }, Err(OpRule::Multiplier)),
            (Attention { score: (1 << 30, 31), ..good }, Err(OpRule::Multiplier)),
            (Attention { score: (1 << 30, 30 | 7 << 5), ..good }, Ok(())),
            (Attention { value: (1 << 30, 20), ..good }, Ok(())),
            (Attention { value: (1 << 30, 21), ..good }, Err(OpRule::Multiplier)),
            (Attention { value: (1 << 30, 1 | 1 << 5), ..good }, Err(OpRule::Multiplier)),
            (Attention { value: (1 << 29, 1), ..good }, Err(OpRule::Multiplier)),
            (Attention { range: Output { zero: 0, lo: 1, hi: 0 }, ..good }, Err(OpRule::Clamp)),
        ] {
            assert_eq!(check_op(Op::Attention(op), &[shape; 3], shape), expected, "{op:?}");
        }
        let check = |inputs: [Tensor; 3], output| check_op(Op::Attention(good), &inputs, output);
        let (tensor, wide) = (int8(shape), int8(Shape::new(4, 2, 3)));
        assert_eq!(check([tensor, tensor, int8(Shape::new(3, 1, 6))], tensor), Err(OpRule::Shape));
        assert_eq!(check([wide; 3], wide), Err(OpRule::Shape));
        assert_eq!(check([tensor, sequence(tensor), tensor], tensor), Err(OpRule::Sequence));
        assert_eq!(check([sequence(tensor); 3], sequence(tensor)), Ok(()));
        let long = int8(Shape::new(1 + Attention::MAX_ROWS, 1, 6));
        assert_eq!(check([long; 3], long), Err(OpRule::Shape));
    }
}

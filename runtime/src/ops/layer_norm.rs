//! Each row brought to mean 0 and variance 1, then scaled and shifted channel by channel, with integers only.

use super::prelude::*;

/// Layer normalization of rows of as many values as there are gains; see [`crate::quant`].
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm<'a> {
    /// `round(eps * (channels / input scale)^2)`, at least 1 and at most 2^60: keeps the root of a constant row from being 0.
    pub eps: u64,
    /// `round(gamma / output scale * 2^(12 + right))` of each channel.
    pub gains: &'a [i32],
    /// `round((beta / output scale + output zero + 1/2) * 2^right)` of each channel.
    pub bias: &'a [i32],
    /// Right shift of the last step, 1..=30.
    pub right: u8,
}

/// What deviations are multiplied with to have variance 1: `factor * 2^-(shift + LayerNorm::FRACTION)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InverseRoot {
    /// In `(2^30, 2^31)`.
    pub factor: i32,
    /// 11..=41
    pub shift: u32,
}

impl InverseRoot {
    /// `1 / sqrt(w)`, relative error below 2^-29, for `w` from 1 to 2^62.
    #[inline]
    pub const fn of(w: u64) -> Self {
        // An even shift brings `w` to 2^60..2^62, its root to 2^30..2^31.
        let halvings = w.leading_zeros().saturating_sub(2) / 2;
        let root = (if w == 0 { 1 } else { w } << (2 * halvings)).isqrt();
        let factor = (1u64 << 61) / root;
        let factor = if factor > i32::MAX as u64 { i32::MAX } else { factor as i32 };
        InverseRoot { factor, shift: 61 - LayerNorm::FRACTION - halvings }
    }

    /// `d / sqrt(w)` with [`LayerNorm::FRACTION`] bits after the point.
    #[inline(always)]
    pub const fn apply(self, d: i32) -> i32 {
        ((d as i64 * self.factor as i64).wrapping_add(1 << (self.shift - 1)) >> self.shift) as i32
    }
}

impl LayerNorm<'_> {
    /// Bits after the point of a value in units of its row's deviation.
    pub const FRACTION: u32 = 20;

    /// Most channels: then the channels' sums and deviations have 32 bits and their squares 62.
    pub const MAX_CHANNELS: usize = 32767;

    /// Largest `eps`.
    pub const MAX_EPS: u64 = 1 << 60;

    /// The root for a row with this sum and this sum of squares.
    #[inline]
    pub const fn root(&self, sum: i32, squares: u64) -> InverseRoot {
        let (n, sum) = (self.gains.len() as u64, sum.unsigned_abs() as u64);
        let variance = n.wrapping_mul(squares).wrapping_sub(sum.wrapping_mul(sum));
        InverseRoot::of(variance.wrapping_add(self.eps))
    }

    /// The result, not yet saturated, for a value in units of its row's deviation.
    #[inline(always)]
    pub const fn apply(&self, z: i32, gain: i32, bias: i32) -> i32 {
        let high = ((z as i64 * gain as i64) >> 32) as i32;
        high.wrapping_add(bias).wrapping_shr(self.right as u32)
    }

    /// Whether the buffers are equally many whole rows, and the parameters' own slices belong together.
    pub const fn fits(&self, input: usize, output: usize) -> bool {
        let n = self.gains.len();
        n != 0 && n <= LayerNorm::MAX_CHANNELS && self.bias.len() == n && input == output && input.is_multiple_of(n)
    }
}

record! {
    /// 16 bytes; the last three are zeros. The table has all gains, then all biases.
    pub(crate) struct Fields {
        eps: u64,
        table: u32,
        right: u8,
        reserved: [u8; 3],
    }
}

/// Input and output are int8 or int16, as they like. Rows are pixels.
impl<'a> Operator<'a> for LayerNorm<'a> {
    type Fields = Fields;

    const INPUTS: RangeInclusive<usize> = 1..=1;

    const ROWS: Rows = Rows::Kept;

    fn reads(view: &OpView<'_, '_>) -> bool {
        view.operands().all(|tensor| tensor.element != Element::Token)
    }

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        let Fields { eps, table, right, .. } = view.read();
        let n = view.output().shape.channels;
        let (gains, bias) = view.model().numbers(table, 2 * n).split_at_checked(n).unwrap_or_default();
        Ok(LayerNorm { eps, gains, bias, right })
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, sink: &mut Sink<'_>) -> Result<Fields, OpRule> {
        OpRule::Table.unless(self.gains.len() == self.bias.len())?;
        let table = sink.numbers(self.gains.iter().chain(self.bias));
        Ok(Fields { eps: self.eps, table, right: self.right, reserved: [0; 3] })
    }

    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
        let n = view.output().shape.channels;
        OpRule::Shape.unless(view.input(0).shape == view.output().shape && n <= LayerNorm::MAX_CHANNELS)?;
        OpRule::Table.unless(self.gains.len() == n)?;
        OpRule::Multiplier.unless((1..=30).contains(&self.right))?;
        OpRule::Parameter.unless((1..=LayerNorm::MAX_EPS).contains(&self.eps))
    }

    fn run(&self, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        let (from, to) = (operands.input_element(0), operands.output_element());
        let (input, output, _) = operands.split(0, 0);
        (kernels.layer_norm)(self, Values::new(from, input), ValuesMut::new(to, output));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use crate::testing::{check_op, decibels, int8, int16, normal, run_integers};
    use crate::{Rng, Tensor};
    use std::vec::Vec;

    /// Gains and biases for real ones, as the converter makes them.
    fn integers(gamma: &[f64], beta: &[f64], output: f64, right: u8) -> [Vec<i32>; 2] {
        let unit = f64::powi(2.0, right.into());
        let gains = gamma.iter().map(|gamma| (gamma / output * 4096.0 * unit).round() as i32).collect();
        [gains, beta.iter().map(|beta| ((beta / output + 0.5) * unit).round() as i32).collect()]
    }

    #[test]
    fn roots_are_as_exact_as_stated() {
        let mut rng = Rng::new(1);
        for bits in 0..62 {
            for _ in 0..200 {
                let random = u64::from(rng.word()) << 32 | u64::from(rng.word());
                let w = 1u64 << bits | random & ((1 << bits) - 1);
                let InverseRoot { factor, shift } = InverseRoot::of(w);
                assert!((1 << 30..=i32::MAX).contains(&factor) && (11..=41).contains(&shift), "{w}");
                let found = f64::from(factor) * f64::powi(2.0, -((shift + LayerNorm::FRACTION) as i32));
                assert!((found * (w as f64).sqrt() - 1.0).abs() < f64::powi(2.0, -29), "{w}: {found}");
            }
        }
    }

    #[test]
    fn near_the_real_function() {
        const EPS: f64 = 1e-5;
        // (channels, types, scale of the input, least ratio of signal to noise): what rounding to the output alone costs, and 1 dB.
        for (n, [from, to], scale, least) in [
            (128, [Element::Int16, Element::Int16], 3e-4, 84.5),
            (768, [Element::Int16, Element::Int8], 3e-4, 36.5),
            (128, [Element::Int8, Element::Int16], 0.05, 84.5),
            (100, [Element::Int8, Element::Int8], 0.05, 36.5),
        ] {
            let mut rng = Rng::new(n as u32);
            let [from, to] = [from, to].map(|element| Tensor { element, ..int8(Shape::new(4, 1, n)) });
            let largest = |tensor: Tensor| if tensor.element == Element::Int8 { 127.0 } else { 32767.0 };
            let gamma: Vec<f64> = (0..n).map(|_| 1.0 + 0.3 * normal(&mut rng)).collect();
            let beta: Vec<f64> = (0..n).map(|_| 0.2 * normal(&mut rng)).collect();
            let real: Vec<f64> = (0..4 * n).map(|i| 1.3 * normal(&mut rng) + 0.4 * (i / n) as f64).collect();
            let x: Vec<i32> =
                real.iter().map(|v| (v / scale).round().clamp(-largest(from), largest(from)) as i32).collect();
            let (output, right) = (6.0 / largest(to), if to.element == Element::Int8 { 12 } else { 4 });
            let [gains, bias] = integers(&gamma, &beta, output, right);
            let eps = ((EPS * (n as f64 / scale).powi(2)).round() as u64).max(1);
            let op = LayerNorm { eps, gains: &gains, bias: &bias, right };
            let found = run_integers(Op::LayerNorm(op), &[(from, &x)], to);
            let mut expected = Vec::new();
            for x in x.chunks(n) {
                let x: Vec<f64> = x.iter().map(|&x| scale * f64::from(x)).collect();
                let mean = x.iter().sum::<f64>() / n as f64;
                let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
                let scaled = |(i, x): (usize, &f64)| gamma[i] * (x - mean) / (variance + EPS).sqrt() + beta[i];
                expected.extend(x.iter().enumerate().map(scaled));
            }
            let ratio = decibels(&expected, found.iter().map(|&y| output * f64::from(y)));
            assert!(ratio > least, "{from:?} {to:?}: {ratio:.1} dB");
        }
    }

    #[test]
    fn awkward_rows() {
        let [gains, bias] = integers(&[1.0; 4], &[1.0; 4], 1.0 / 16.0, 8);
        let op = Op::LayerNorm(LayerNorm { eps: 1, gains: &gains, bias: &bias, right: 8 });
        let shape = Shape::new(1, 1, 4);
        for (from, x, expected) in [
            // Constant rows have no deviation: what is left is the bias.
            (int8(shape), [-128; 4], [16; 4]),
            (int16(shape), [32767; 4], [16; 4]),
            (int16(shape), [-32768; 4], [16; 4]),
            (int8(shape), [127, -128, 127, -128], [32, 0, 32, 0]),
            (int16(shape), [32767, -32767, 32767, -32767], [32, 0, 32, 0]),
            // Deviations are 3/4 and -1/4, so n^2 times the variance is 3, and the `eps` of 1 makes it 4: 3/2 and -1/2.
            (int16(shape), [1, 0, 0, 0], [40, 8, 8, 8]),
        ] {
            assert_eq!(run_integers(op, &[(from, &x)], int8(shape)), expected, "{x:?}");
            assert_eq!(run_integers(op, &[(from, &x)], int16(shape)), expected, "{x:?}");
        }
        // Both ends saturate.
        let steep = Op::LayerNorm(LayerNorm { eps: 1, gains: &[i32::MAX, i32::MIN, 0, 0], bias: &[0; 4], right: 1 });
        let x = [127, 127, -128, -128];
        assert_eq!(run_integers(steep, &[(int8(shape), &x)], int8(shape)), [127, -128, 0, 0]);
        assert_eq!(run_integers(steep, &[(int8(shape), &x)], int16(shape)), [32767, -32767, 0, 0]);
    }

    #[test]
    fn bad_rows() {
        let shape = Shape::new(3, 1, 4);
        let good = LayerNorm { eps: 1, gains: &[1; 4], bias: &[0; 4], right: 1 };
        for (op, expected) in [
            (good, Ok(())),
            (LayerNorm { eps: 0, ..good }, Err(OpRule::Parameter)),
            (LayerNorm { eps: LayerNorm::MAX_EPS, right: 30, ..good }, Ok(())),
            (LayerNorm { eps: LayerNorm::MAX_EPS + 1, ..good }, Err(OpRule::Parameter)),
            (LayerNorm { right: 0, ..good }, Err(OpRule::Multiplier)),
            (LayerNorm { right: 31, ..good }, Err(OpRule::Multiplier)),
            (LayerNorm { gains: &[1; 3], bias: &[0; 3], ..good }, Err(OpRule::Table)),
            (LayerNorm { gains: &[1; 3], ..good }, Err(OpRule::Table)),
        ] {
            assert_eq!(check_op(Op::LayerNorm(op), &[shape], shape), expected, "{op:?}");
        }
        assert_eq!(check_op(Op::LayerNorm(good), &[shape], Shape::new(4, 1, 3)), Err(OpRule::Shape));
        assert_eq!(check_op(Op::LayerNorm(good), &[shape, shape], shape), Err(OpRule::Operands));
    }
}

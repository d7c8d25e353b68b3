//! The integers that the runtime's operators on sequences take, from reals.

use crate::quantize::{Affine, FixedPoint, Table};
use limbeck_runtime::ops;
use limbeck_runtime::quant::Output;
use std::f64::consts::LOG2_E;

/// An embedding's tables with a multiplier for each of their rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding<'a> {
    words: &'a Table,
    positions: &'a Table,
    word_multipliers: Vec<i16>,
    position_multipliers: Vec<i16>,
    shift: u8,
}

impl<'a> Embedding<'a> {
    /// From the tables of words and of positions, for an output of this scale; `None` if a value is far beyond the output's
    /// range.
    pub fn new([words, positions]: [&'a Table; 2], output: f32) -> Option<Embedding<'a>> {
        let largest = words.scales.iter().chain(&positions.scales).fold(0.0, |most: f32, &scale| most.max(scale));
        let ratio = |scale: f32| f64::from(scale) / f64::from(output);
        let shift = shift_for(ratio(largest), ops::Embed::MAX_SHIFT)?;
        let multipliers = |table: &Table| table.scales.iter().map(|&scale| short(ratio(scale), shift)).collect();
        let [word_multipliers, position_multipliers] = [words, positions].map(multipliers);
        Some(Embedding { words, positions, word_multipliers, position_multipliers, shift })
    }

    /// The operator.
    pub fn op(&self) -> ops::Embed<'_> {
        ops::Embed {
            width: self.words.width(),
            words: &self.words.data,
            positions: &self.positions.data,
            word_multipliers: &self.word_multipliers,
            position_multipliers: &self.position_multipliers,
            shift: self.shift,
        }
    }
}

/// Gains and biases of a layer normalization.
#[derive(Clone, Debug, PartialEq)]
pub struct Norm {
    eps: u64,
    gains: Vec<i32>,
    bias: Vec<i32>,
    right: u8,
}

impl Norm {
    /// From `gamma` and `beta`, for an input of this scale and an output; `None` if the output's scale is far too small for them.
    pub fn new([gamma, beta]: [&[f32]; 2], eps: f32, input: f32, output: Affine) -> Option<Norm> {
        let scale = f64::from(output.scale);
        let gain = |gamma: f32, right: u8| (f64::from(gamma) / scale * f64::exp2(12.0 + f64::from(right))).round();
        let offset = |beta: f32, right: u8| {
            ((f64::from(beta) / scale + f64::from(output.zero_point) + 0.5) * f64::exp2(right.into())).round()
        };
        // The runtime adds a bias to a product below 2^27, in 32 bits.
        let fits = |right: &u8| {
            gamma.iter().all(|&gamma| gain(gamma, *right).abs() < f64::exp2(31.0))
                && beta.iter().all(|&beta| offset(beta, *right).abs() < f64::exp2(30.0))
        };
        let right = (1..=30).rev().find(fits)?;
        let eps = f64::from(eps) * (gamma.len() as f64 / f64::from(input)).powi(2);
        Some(Norm {
            eps: (eps.round() as u64).clamp(1, ops::LayerNorm::MAX_EPS),
            gains: gamma.iter().map(|&gamma| gain(gamma, right) as i32).collect(),
            bias: beta.iter().map(|&beta| offset(beta, right) as i32).collect(),
            right,
        })
    }

    /// The operator.
    pub fn op(&self) -> ops::LayerNorm<'_> {
        ops::LayerNorm { eps: self.eps, gains: &self.gains, bias: &self.bias, right: self.right }
    }
}

/// Attention over `[rows, heads, channels of a head]` with these scales of queries, keys and values, all of them without zero
/// points; `None` if a factor is out of the contract's range.
pub fn attention(
    [rows, heads, size]: [usize; 3],
    [q, k, v]: [f32; 3],
    output: Affine,
    range: Output,
) -> Option<ops::Attention> {
    let score = 256.0 * LOG2_E * f64::from(q) * f64::from(k) / (size as f64).sqrt();
    let score = FixedPoint::nearest(score)?;
    let value = FixedPoint::nearest(f64::from(v) / f64::from(output.scale) / f64::from(ops::Attention::ONE))?;
    let fits = value.left == 0 && value.right <= ops::Attention::MAX_VALUE_RIGHT;
    fits.then_some(ops::Attention {
        rows,
        heads,
        size,
        score: (score.multiplier, score.shift_byte()),
        value: (value.multiplier, value.shift_byte()),
        range,
    })
}

/// Multipliers and shifts of the mean of 1 to `rows` rows; `None` if one is out of the contract's range.
pub fn means(rows: usize, input: f32, output: f32) -> Option<(Vec<i32>, Vec<u8>)> {
    let factor = |n: usize| FixedPoint::nearest(f64::from(input) / f64::from(output) / n as f64);
    (1..=rows).map(|n| factor(n).map(|fixed| (fixed.multiplier, fixed.shift_byte()))).collect()
}

/// What is added to a tensor of 16 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Addend {
    /// A tensor of 8 bits.
    Int8(Affine),
    /// Another of 16 bits, of this scale.
    Int16(f32),
}

/// The sum of a tensor and one of 16 bits with scale `b`; `None` if the output's scale is far too small for them.
pub fn add16(a: Addend, b: f32, output: f32) -> Option<ops::Add16> {
    // The runtime takes 8 bits as the upper ones of 16.
    let (scale, zero) = match a {
        Addend::Int8(affine) => (affine.scale / 256.0, 256 * i32::from(affine.zero_point)),
        Addend::Int16(scale) => (scale, 0),
    };
    let ratios = [scale, b].map(|scale| f64::from(scale) / f64::from(output));
    let most = shift_for(ratios[0].max(ratios[1]), ops::Add16::MAX_SHIFT)?;
    let sum = |shift| {
        let multipliers = ratios.map(|ratio| short(ratio, shift));
        let bias = (1 << shift >> 1) - zero * i32::from(multipliers[0]);
        ops::Add16 { multipliers, bias, shift }
    };
    // Both products and the bias together have 32 bits.
    let fits = |sum: &ops::Add16| {
        let [m0, m1] = sum.multipliers.map(|m| i64::from(m).abs());
        ((m0 + m1) << 15) + i64::from(sum.bias).abs() <= i64::from(i32::MAX)
    };
    (1..=most).rev().map(sum).find(fits)
}

/// From 16 bits to 8; `None` if the factor is out of the contract's range.
pub fn narrow(input: f32, output: Affine, range: Output) -> Option<ops::Narrow> {
    let fixed = FixedPoint::nearest(f64::from(input) / f64::from(output.scale))?;
    Some(ops::Narrow { multiplier: fixed.multiplier, shift: fixed.shift_byte(), range })
}

/// The largest shift, 1 to `most`, with which a factor has a multiplier of 16 bits.
fn shift_for(largest: f64, most: u8) -> Option<u8> {
    (1..=most).rev().find(|&shift| (largest * f64::exp2(f64::from(shift))).round() <= f64::from(i16::MAX))
}

fn short(factor: f64, shift: u8) -> i16 {
    (factor * f64::exp2(f64::from(shift))).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Tensor;
    use crate::ops::{attention as mixing, embed, layer_norm};
    use limbeck_runtime::Rng;
    use limbeck_runtime::kernels::scalar::KERNELS;
    use limbeck_runtime::tensor::{Values, ValuesMut};

    /// Random reals with a deviation of about one.
    fn random(rng: &mut Rng, n: usize) -> Vec<f32> {
        let mut uniform = || rng.word() as f32 / 4_294_967_296.0 - 0.5;
        (0..n).map(|_| 2.0 * (uniform() + uniform() + uniform())).collect()
    }

    fn largest_error(real: &[f32], found: impl Iterator<Item = f32>) -> f32 {
        real.iter().zip(found).fold(0.0, |most: f32, (r, f)| most.max((r - f).abs()))
    }

    #[test]
    fn embeddings_are_within_the_rounding_of_their_tables() {
        const WIDTH: usize = 24;
        let mut rng = Rng::new(1);
        let (mut words, positions) = (random(&mut rng, 30 * WIDTH), random(&mut rng, 5 * WIDTH));
        // A row that is small beside others keeps its own precision.
        words[7 * WIDTH..8 * WIDTH].iter_mut().for_each(|v| *v *= 0.01);
        let output = 8.0 / 32767.0;
        let integers = [&words, &positions].map(|table| Table::quantize(table, WIDTH));
        let tables = Embedding::new(integers.each_ref(), output).unwrap();
        let tokens = [7, 0, 29, 7, 3];
        let mut y = [0i16; 5 * WIDTH];
        (KERNELS.embed)(&tables.op(), &tokens, &mut y);
        let ids = Tensor::new([1, 5], tokens.iter().map(|&t| f32::from(t)).collect());
        let [words, positions] = [(words, 30), (positions, 5)].map(|(table, rows)| Tensor::new([rows, WIDTH], table));
        let real = embed::reference(&ids, &words, Some(&positions));
        // Half a step of a row of each table, each at most 3 / 127, and rounding to the output.
        let error = largest_error(real.data(), y.iter().map(|&y| f32::from(y) * output));
        assert!(error < 0.5 * 6.0 / 127.0 + output, "{error}");
        let small = largest_error(&real.data()[..WIDTH], y.iter().map(|&y| f32::from(y) * output));
        assert!(small < 0.5 * 3.03 / 127.0 + output, "{small}");
        let far = [1e9, 0.0].map(|value| Table::quantize(&[value], 1));
        assert_eq!(Embedding::new(far.each_ref(), 1e-6), None);
    }

    #[test]
    fn norms_are_within_a_rounding_of_the_reals() {
        for (n, scale) in [(16, 1e-3), (128, 2e-4), (768, 3e-4)] {
            let mut rng = Rng::new(n as u32);
            let [gamma, beta] = [1.0, 0.3].map(|by| random(&mut rng, n).iter().map(|v| v * by).collect::<Vec<_>>());
            let x: Vec<i16> = random(&mut rng, 3 * n).iter().map(|v| (v / scale) as i16).collect();
            let real = Tensor::new([3, n], x.iter().map(|&x| f32::from(x) * scale).collect());
            let [g, b] = [&gamma, &beta].map(|v| Tensor::new([n], v.clone()));
            let real = layer_norm::reference(&real, &g, &b, 1e-5);
            let range = real.data().iter().fold(0.0, |most: f32, v| most.max(v.abs()));
            let narrow = Affine { scale: range / 120.0, zero_point: -3 };
            let norm = Norm::new([&gamma, &beta], 1e-5, scale, narrow).unwrap();
            let mut y = vec![0i8; 3 * n];
            (KERNELS.layer_norm)(&norm.op(), Values::Int16(&x), ValuesMut::Int8(&mut y));
            let error = largest_error(real.data(), y.iter().map(|&y| f32::from(y + 3) * narrow.scale));
            assert!(error < 0.502 * narrow.scale, "{n}: {error}");
            let wide = Affine { scale: range / 32000.0, zero_point: 0 };
            let norm = Norm::new([&gamma, &beta], 1e-5, scale, wide).unwrap();
            let mut y = vec![0i16; 3 * n];
            (KERNELS.layer_norm)(&norm.op(), Values::Int16(&x), ValuesMut::Int16(&mut y));
            let error = largest_error(real.data(), y.iter().map(|&y| f32::from(y) * wide.scale));
            assert!(error < 0.75 * wide.scale, "{n}: {}", error / wide.scale);
        }
        assert_eq!(Norm::new([&[1.0], &[0.0]], 1e-5, 1.0, Affine { scale: 1e-7, zero_point: 0 }), None);
    }

    #[test]
    fn attention_is_within_a_rounding_of_the_reals() {
        let [rows, heads, size] = [20, 3, 16];
        let mut rng = Rng::new(5);
        let scales = [0.02, 0.03, 0.02];
        let [q, k, v] = scales.map(|s| random(&mut rng, rows * heads * size).iter().map(|v| (v / s) as i8).collect());
        let reals = |x: &Vec<i8>, scale: f32| {
            Tensor::new([1, rows, heads * size], x.iter().map(|&x| f32::from(x) * scale).collect())
        };
        let ids = Tensor::new([1, rows], vec![0.0; rows]);
        let tensors = [reals(&q, scales[0]), reals(&k, scales[1]), reals(&v, scales[2])];
        let real = mixing::reference(tensors.each_ref(), &ids, heads);
        let output =
            Affine { scale: real.data().iter().fold(0.0, |most: f32, v| most.max(v.abs())) / 125.0, zero_point: 2 };
        let op = attention([rows, heads, size], scales, output, Output::full(2)).unwrap();
        let (mut y, mut scratch) = (vec![0i8; v.len()], limbeck_runtime::AlignedBytes::zeroed(4 * (rows + size)));
        (KERNELS.attention)(&op, [&q, &k, &v], &mut y, &mut scratch);
        let error = largest_error(real.data(), y.iter().map(|&y| (f32::from(y) - 2.0) * output.scale));
        assert!(error < 0.55 * output.scale, "{}", error / output.scale);
        assert_eq!(attention([1, 1, 1], [1.0; 3], Affine { scale: 1e-6, zero_point: 0 }, Output::full(0)), None);
    }

    #[test]
    fn sums_means_and_narrow_values_are_within_a_rounding() {
        let a = Affine { scale: 0.03, zero_point: -7 };
        let sum = add16(Addend::Int8(a), 2e-4, 3e-4).unwrap();
        for (x, y) in [(0i16, 0i16), (-7, 32767), (-7, -32767), (80, 20000), (-128, 123)] {
            let real = (0.03 * (f32::from(x) + 7.0) + 2e-4 * f32::from(y)) / 3e-4;
            // Rounding, and what multipliers of 15 bits lose of 16.
            assert!((f32::from(sum.apply(x << 8, y)) - real).abs() < 1.1, "{x} {y}");
        }
        // Alike scales: multipliers of 2^15 have no room, and are halved with the shift.
        let wide = add16(Addend::Int16(1e-4), 1e-4, 1e-4).unwrap();
        assert_eq!(wide, ops::Add16 { multipliers: [1 << 14; 2], bias: 1 << 13, shift: 14 });
        // A zero point at the end of the range needs room.
        let far = add16(Addend::Int8(Affine { scale: 0.0256, zero_point: -128 }), 1e-4, 1e-4).unwrap();
        assert_eq!(far, ops::Add16 { multipliers: [1 << 14; 2], bias: (1 << 13) + (1 << 29), shift: 14 });
        assert_eq!(add16(Addend::Int16(1.0), 1.0, 1e-6), None);
        let narrow = narrow(2e-4, a, Output::full(-7)).unwrap();
        for x in [-10_000i16, -1, 0, 75, 76, 9999] {
            let real = f32::from(x) * 2e-4 / 0.03 - 7.0;
            assert!((f32::from(narrow.apply(x)) - real).abs() <= 0.501, "{x}");
        }
        let (multipliers, shifts) = means(4, 0.03, 0.02).unwrap();
        let x = [10, -20, 11, -21, 14, -26];
        let op =
            ops::Mean { rows: 3, input_zero: 1, multipliers: &multipliers, shifts: &shifts, range: Output::full(0) };
        let mut y = [0; 2];
        (KERNELS.mean)(&op, Values::Int8(&x), &mut y);
        // (9 + 10 + 13) / 3 * 1.5 and (-21 - 22 - 27) / 3 * 1.5
        assert_eq!(y, [16, -35]);
    }
}

//! The arithmetic of quantization: scales, zero points, int8 weights and tables, fixed-point multipliers.

use crate::data::Normalize;
use limbeck_runtime::quant;
use serde::{Deserialize, Serialize};

/// Largest magnitude of an int8 weight: -128 is left out so that every kernel may negate one.
pub(super) const WEIGHT_MAX: i32 = 127;

/// How int8 numbers of one tensor stand for reals: `x = scale * (q - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// Distance of two neighbouring reals; positive and finite.
    pub scale: f32,
    /// The int8 number of the real 0.
    pub zero_point: i8,
}

impl Affine {
    /// That of tokens, which are numbers of words and stand for no reals.
    pub const TOKENS: Affine = Affine { scale: 1.0, zero_point: 0 };

    /// The finest mapping that covers `lo..=hi` and 0, or `None` if a bound is not finite.
    ///
    /// An empty range (all values 0) gets scale 1, for which 0 is exact.
    pub fn covering(lo: f32, hi: f32) -> Option<Self> {
        if !lo.is_finite() || !hi.is_finite() {
            return None;
        }
        let (lo, hi) = (f64::from(lo.min(0.0)), f64::from(hi.max(0.0)));
        let scale = ((hi - lo) / 255.0) as f32;
        if !scale.is_normal() {
            return Some(Affine { scale: 1.0, zero_point: 0 });
        }
        let zero_point = (-128.0 - lo / f64::from(scale)).round().clamp(-128.0, 127.0) as i8;
        Some(Affine { scale, zero_point })
    }

    /// The finest mapping with zero point 0 that covers `lo..=hi`, or `None` if a bound is not finite.
    pub fn centered(lo: f32, hi: f32) -> Option<Self> {
        Affine::reaching(lo, hi, 127.0)
    }

    /// A mapping to 16 bits that covers twice the range of `lo..=hi`, or `None` if a bound is not finite.
    ///
    /// One bit of so many is well spent on inputs that go beyond all that calibration saw.
    pub fn wide(lo: f32, hi: f32) -> Option<Self> {
        Affine::reaching(lo, hi, f64::from(i16::MAX) / 2.0)
    }

    /// The mapping with zero point 0 by which the bound that is farther from 0 becomes `most`.
    fn reaching(lo: f32, hi: f32, most: f64) -> Option<Self> {
        let largest = f64::from(lo.abs()).max(f64::from(hi.abs()));
        let scale = (largest / most) as f32;
        largest.is_finite().then_some(Affine { scale: if scale.is_normal() { scale } else { 1.0 }, zero_point: 0 })
    }

    /// The finest mapping that covers every pixel of an image of so many channels; `None` if it does not fit them.
    ///
    /// For [`Normalize::student`] it is exact: scale 1/64, zero point 0.
    pub fn of_pixels(normalize: &Normalize, channels: usize) -> Option<Self> {
        if channels == 0 || !normalize.fits(channels) {
            return None;
        }
        let table = normalize.table(channels);
        let ends = [0u8, 255].map(|pixel| {
            let mut reals = vec![0.0; channels];
            table.apply(&vec![pixel; channels], &mut reals);
            reals
        });
        let lo = ends[0].iter().copied().fold(f32::INFINITY, f32::min);
        let hi = ends[1].iter().copied().fold(f32::NEG_INFINITY, f32::max);
        Affine::covering(lo, hi)
    }

    /// The nearest int8 number, clamped.
    pub fn quantize(self, x: f32) -> i8 {
        (x / self.scale + f32::from(self.zero_point)).round().clamp(-128.0, 127.0) as i8
    }

    /// The real that an int8 number stands for.
    pub fn dequantize(self, q: i8) -> f32 {
        self.scale * (f32::from(q) - f32::from(self.zero_point))
    }

    /// The real that is left of `x` after a trip through int8.
    pub fn round_trip(self, x: f32) -> f32 {
        self.dequantize(self.quantize(x))
    }

    /// The reals at the two ends of int8.
    pub fn range(self) -> (f32, f32) {
        (self.dequantize(i8::MIN), self.dequantize(i8::MAX))
    }
}

/// A positive real as the integers of the requantization: `multiplier * 2^(left - 32 - right)`.
///
/// See [`limbeck_runtime::quant`] for how they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedPoint {
    /// In `[2^30, 2^31)`.
    pub multiplier: i32,
    /// Right shift beyond 32 bits, 1 to 30.
    pub right: u8,
    /// Left shift of the accumulator before the product; 0 for reals below 0.25.
    pub left: u8,
}

impl FixedPoint {
    /// The nearest fixed-point number, or `None` if `real` is not in [`FixedPoint::RANGE`].
    pub fn nearest(real: f64) -> Option<Self> {
        if !Self::RANGE.contains(&real) {
            return None;
        }
        // real = mantissa * 2^exponent with the mantissa in [0.5, 1); the bits of a normal f64 hold both.
        let mut exponent = (real.to_bits() >> 52) as i32 - 1022;
        let mut multiplier = (real * f64::exp2(f64::from(31 - exponent))).round() as i64;
        if multiplier == 1 << 31 {
            (multiplier, exponent) = (1 << 30, exponent + 1);
        }
        let left = (exponent + 2).max(0);
        let right = left - 1 - exponent;
        (right <= i32::from(quant::MAX_RIGHT) && left <= i32::from(quant::MAX_LEFT)).then_some(FixedPoint {
            multiplier: multiplier as i32,
            right: right as u8,
            left: left as u8,
        })
    }

    /// Reals that have a fixed-point number.
    pub const RANGE: std::ops::Range<f64> = 1.0 / (1u64 << 32) as f64..31.999_999;

    /// The real that the integers stand for.
    pub fn real(self) -> f64 {
        f64::from(self.multiplier) * f64::exp2(f64::from(self.left) - 32.0 - f64::from(self.right))
    }

    /// Both shifts in one byte, as the runtime wants them.
    pub fn shift_byte(self) -> u8 {
        self.right | self.left << 5
    }
}

/// Int8 weights of a layer: row `o` of `data` belongs to output channel `o` and has scale `scales[o]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Weights {
    /// One row of equal length for each output channel; each number in `-127..=127`.
    pub data: Vec<i8>,
    /// Scale of each output channel.
    pub scales: Vec<f32>,
    /// Bias of each output channel in units of input scale times weight scale; zero points are not folded in.
    pub bias: Vec<i32>,
}

impl Weights {
    /// Rounds float weights (`bias.len()` rows) of a layer that reads `input` and writes `output`.
    ///
    /// The scale of a channel is the least one that holds its largest weight, its bias in 30 bits and its multiplier
    /// above 2^-30. The last two bind only where a batch-norm left a channel without weights worth the name.
    pub fn quantize(data: &[f32], bias: &[f32], input: Affine, output: Affine) -> Weights {
        let depth = data.len() / bias.len().max(1);
        let input_scale = f64::from(input.scale);
        let mut out =
            Weights { data: Vec::with_capacity(data.len()), scales: Vec::new(), bias: Vec::with_capacity(bias.len()) };
        for (row, &bias) in data.chunks_exact(depth.max(1)).zip(bias) {
            let peak = row.iter().fold(0.0f32, |m, w| m.max(w.abs()));
            let for_weights = f64::from(peak) / f64::from(WEIGHT_MAX);
            let for_bias = f64::from(bias.abs()) / input_scale / f64::exp2(30.0);
            let for_multiplier = f64::exp2(-30.0) * f64::from(output.scale) / input_scale;
            let mut scale = for_weights.max(for_bias).max(for_multiplier) as f32;
            // Rounding the scale to f32 may have made it too small by half a unit in the last place.
            if f64::from(scale) < for_bias {
                scale = scale.next_up();
            }
            let quantized = row.iter().map(|w| (w / scale).round().clamp(-127.0, 127.0) as i8);
            out.data.extend(quantized);
            out.scales.push(scale);
            out.bias.push((f64::from(bias) / (input_scale * f64::from(scale))).round() as i32);
        }
        out
    }

    /// Products in the sum of one output.
    pub fn depth(&self) -> usize {
        self.data.len() / self.bias.len().max(1)
    }

    /// The weights of each output channel.
    pub fn rows(&self) -> impl Iterator<Item = &[i8]> {
        self.data.chunks_exact(self.depth().max(1))
    }

    /// The reals that the int8 weights stand for.
    pub fn dequantize(&self) -> Vec<f32> {
        self.rows().zip(&self.scales).flat_map(|(row, scale)| row.iter().map(move |&w| f32::from(w) * scale)).collect()
    }
}

/// A table of int8 rows, each with a scale of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// One row after another; each number in `-127..=127`.
    pub data: Vec<i8>,
    /// Scale of each row; 0 for a row of zeros.
    pub scales: Vec<f32>,
}

impl Table {
    /// Rounds rows of `width` finite numbers.
    pub fn quantize(values: &[f32], width: usize) -> Table {
        let mut table = Table::default();
        for row in values.chunks_exact(width.max(1)) {
            let peak = row.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            let scale = peak / WEIGHT_MAX as f32;
            // So small a row is nothing beside any other.
            let scale = if scale.is_normal() { scale } else { 0.0 };
            let integer = |v: &f32| if scale > 0.0 { (v / scale).round().clamp(-127.0, 127.0) as i8 } else { 0 };
            table.data.extend(row.iter().map(integer));
            table.scales.push(scale);
        }
        table
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.data.len() / self.scales.len().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_without_a_zero_point_reach_the_farther_bound() {
        assert_eq!(Affine::centered(-2.54, 1.0).unwrap().quantize(-2.54), -127);
        let wide = Affine::wide(-1.0, 3.0).unwrap();
        assert!((f64::from(wide.scale) * 32767.0 - 6.0).abs() < 1e-6 && wide.zero_point == 0);
        assert_eq!(Affine::wide(0.0, 0.0), Some(Affine::TOKENS));
        assert_eq!(Affine::centered(0.0, f32::INFINITY), None);
    }

    #[test]
    fn rows_of_a_table_use_their_whole_range() {
        let table = Table::quantize(&[0.5, -1.27, 0.0, 0.0, 1e-3, 0.0], 2);
        assert_eq!(table.data, [50, -127, 0, 0, 127, 0]);
        assert_eq!((table.scales[1], table.width()), (0.0, 2));
    }

    #[test]
    fn ranges_become_scales_that_hold_zero() {
        let rows = [
            ((-2.0, 1.984_375), Affine { scale: 1.0 / 64.0, zero_point: 0 }),
            ((0.0, 2.55), Affine { scale: 0.01, zero_point: -128 }),
            ((1.0, 2.55), Affine { scale: 0.01, zero_point: -128 }),
            ((-2.55, -1.0), Affine { scale: 0.01, zero_point: 127 }),
            ((0.0, 0.0), Affine { scale: 1.0, zero_point: 0 }),
        ];
        for ((lo, hi), expected) in rows {
            assert_eq!(Affine::covering(lo, hi), Some(expected), "{lo}..{hi}");
        }
        assert_eq!(Affine::covering(f32::NAN, 1.0), None);
        assert_eq!(Affine::covering(0.0, f32::INFINITY), None);
    }

    #[test]
    fn pixels_are_exact_under_the_students_input_scale() {
        let input = Affine::covering(-2.0, 1.984_375).unwrap();
        for pixel in 0..=255u8 {
            let x = (f32::from(pixel) - 128.0) / 64.0;
            assert_eq!(i32::from(input.quantize(x)), i32::from(pixel) - 128);
        }
    }

    #[test]
    fn multipliers_are_normal_and_near() {
        let reals = [1e-9, 0.001, 0.249_999_999_99, 0.25, 0.499_999_999_9, 0.5, 0.75, 1.0, 3.3, 31.9];
        for real in reals {
            let fixed = FixedPoint::nearest(real).unwrap();
            assert!(quant::is_rescale(fixed.multiplier, fixed.shift_byte()), "{real}: {fixed:?}");
            assert!((fixed.real() / real - 1.0).abs() < 1e-9, "{real}: {fixed:?} is {}", fixed.real());
            assert_eq!(fixed.left == 0, fixed.real() < 0.25, "{real}: {fixed:?}");
            let acc = 1_000_003;
            let exact = (f64::from(acc) * fixed.real() + 0.5).floor() as i32;
            assert_eq!(quant::rescale(acc, fixed.multiplier, fixed.shift_byte()), exact, "{real}");
        }
        assert_eq!(FixedPoint::nearest(0.125), Some(FixedPoint { multiplier: 1 << 30, right: 1, left: 0 }));
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-12, 32.0] {
            assert_eq!(FixedPoint::nearest(bad), None, "{bad}");
        }
    }

    #[test]
    fn weights_use_the_whole_narrow_range() {
        let io = Affine { scale: 0.5, zero_point: 3 };
        let weights = Weights::quantize(&[-1.27, 0.64, 0.01, 0.0, 0.0, 0.0], &[0.02, 1.0], io, io);
        assert_eq!(weights.data, [-127, 64, 1, 0, 0, 0]);
        assert!((weights.scales[0] - 0.01).abs() < 1e-9);
        assert_eq!(weights.bias[0], 4);
        // A channel of zeros keeps its bias, exactly enough and within 30 bits.
        let bias = f64::from(weights.bias[1]) * 0.5 * f64::from(weights.scales[1]);
        assert!((bias - 1.0).abs() < 1e-6 && weights.bias[1] <= 1 << 30, "{weights:?}");
    }
}

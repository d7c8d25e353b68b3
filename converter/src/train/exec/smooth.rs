//! Smooth functions of one value (exponential, GELU, tanh, ..) fast enough not to outweigh the products around them.
//!
//! They are plain loops without branches inside of [`WithSimd::with_simd`], which the compiler turns into vectors of the CPU
//! at hand. Every element has its own chain of operations, so no result depends on the vector length.

use super::gemm::Store;
use pulp::{Arch, Simd, WithSimd};

/// `exp(x)` with a relative error of about 1e-7; beyond what an `f32` can hold it stays at the nearest value that it can.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// Added to a small number, it leaves the nearest integer in the lowest bits (1.5 * 2^23).
    const ROUND: f32 = 12_582_912.0;
    /// The logarithm of 2 in two parts, the first with so few digits that its products with exponents are exact.
    const LN2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let exponent = shifted - ROUND;
    let r = exponent.mul_add(-LN2[1], exponent.mul_add(-LN2[0], x));
    // Cephes's polynomial for |r| <= ln(2) / 2.
    let mut p = 1.987_569_1e-4f32;
    for coefficient in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p.mul_add(r, coefficient);
    }
    let mantissa = p.mul_add(r * r, r) + 1.0;
    mantissa * f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0f32.to_bits()))
}

/// A differentiable function.
trait Smooth: Copy {
    fn value(self, x: f32) -> f32;

    /// The derivative at `x`.
    fn slope(self, x: f32) -> f32;
}

/// `1 / (1 + exp(-x))`
#[derive(Clone, Copy)]
struct Sigmoid;

impl Smooth for Sigmoid {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        1.0 / (1.0 + exp(-x))
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        let y = self.value(x);
        y * (1.0 - y)
    }
}

/// Hyperbolic tangent.
#[derive(Clone, Copy)]
struct Tanh;

impl Smooth for Tanh {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        let e = exp(-2.0 * x.abs());
        ((1.0 - e) / (1.0 + e)).copysign(x)
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        let y = self.value(x);
        1.0 - y * y
    }
}

/// `x` times the normal distribution.
#[derive(Clone, Copy)]
struct Gelu;

impl Gelu {
    /// The normal distribution's part beyond `|x|`, and `exp(-x^2 / 2)`; absolute error 1e-7 (Abramowitz and Stegun, 7.1.26).
    #[inline(always)]
    fn tail(x: f32) -> (f32, f32) {
        let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
        let t = 1.0 / z.mul_add(0.327_591_1, 1.0);
        let mut p = 1.061_405_4f32;
        for coefficient in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
            p = p.mul_add(t, coefficient);
        }
        let bell = exp(-z * z);
        (0.5 * p * t * bell, bell)
    }
}

impl Smooth for Gelu {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        x.max(0.0) - x.abs() * Gelu::tail(x).0
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        /// `1 / sqrt(2 pi)`
        const PEAK: f32 = 0.398_942_3;
        let (tail, bell) = Gelu::tail(x);
        let below = if x > 0.0 { 1.0 - tail } else { tail };
        (x * PEAK).mul_add(bell, below)
    }
}

/// The GELU by tanh, which is `x * sigmoid(2 u)` with `u = sqrt(2 / pi) * (x + 0.044715 x^3)`.
#[derive(Clone, Copy)]
struct GeluTanh;

impl GeluTanh {
    /// `2 sqrt(2 / pi)`, and that times 0.044715.
    const TWICE: [f32; 2] = [1.595_769, 0.071_354_82];
}

impl Smooth for GeluTanh {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        let [linear, cubic] = Self::TWICE;
        x * Sigmoid.value(x * cubic.mul_add(x * x, linear))
    }

    #[inline(always)]
    fn slope(self, x: f32) -> f32 {
        let [linear, cubic] = Self::TWICE;
        let y = Sigmoid.value(x * cubic.mul_add(x * x, linear));
        (x * y * (1.0 - y)).mul_add((3.0 * cubic).mul_add(x * x, linear), y)
    }
}

/// Which of the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    Sigmoid,
    Tanh,
    Gelu,
    GeluTanh,
}

impl Curve {
    /// Writes the function of every element.
    pub(super) fn forward(self, x: &[f32], y: &mut [f32]) {
        let arch = Arch::new();
        match self {
            Curve::Sigmoid => arch.dispatch(Values { function: Sigmoid, x, y }),
            Curve::Tanh => arch.dispatch(Values { function: Tanh, x, y }),
            Curve::Gelu => arch.dispatch(Values { function: Gelu, x, y }),
            Curve::GeluTanh => arch.dispatch(Values { function: GeluTanh, x, y }),
        }
    }

    /// Puts or adds the derivative at every element times `dy`.
    pub(super) fn backward(self, x: &[f32], dy: &[f32], dx: &mut [f32], store: Store) {
        let arch = Arch::new();
        let add = store == Store::Add;
        match self {
            Curve::Sigmoid => arch.dispatch(Slopes { function: Sigmoid, x, dy, dx, add }),
            Curve::Tanh => arch.dispatch(Slopes { function: Tanh, x, dy, dx, add }),
            Curve::Gelu => arch.dispatch(Slopes { function: Gelu, x, dy, dx, add }),
            Curve::GeluTanh => arch.dispatch(Slopes { function: GeluTanh, x, dy, dx, add }),
        }
    }
}

struct Values<'a, F> {
    function: F,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl<F: Smooth> WithSimd for Values<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (y, &x) in self.y.iter_mut().zip(self.x) {
            *y = self.function.value(x);
        }
    }
}

struct Slopes<'a, F> {
    function: F,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    add: bool,
}

impl<F: Smooth> WithSimd for Slopes<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let keep = if self.add { 1.0 } else { 0.0 };
        if !self.add {
            // Whatever stood there may not be a number.
            self.dx.fill(0.0);
        }
        for ((dx, &x), &dy) in self.dx.iter_mut().zip(self.x).zip(self.dy) {
            *dx = (*dx).mul_add(keep, dy * self.function.slope(x));
        }
    }
}

/// Makes each row of `width` values `exp(x * scale) / sum(exp(x * scale))`.
pub(super) fn softmax_rows(x: &mut [f32], width: usize, scale: f32) {
    Arch::new().dispatch(SoftmaxRows { x, width, scale });
}

struct SoftmaxRows<'a> {
    x: &'a mut [f32],
    width: usize,
    scale: f32,
}

impl WithSimd for SoftmaxRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.x.chunks_exact_mut(self.width.max(1)) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            for x in row.iter_mut() {
                *x = exp((*x - largest) * self.scale);
            }
            let whole = 1.0 / super::rows::sum(row);
            row.iter_mut().for_each(|x| *x *= whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Unary;

    #[test]
    fn functions_and_slopes_are_those_of_the_definitions() {
        let x: Vec<f32> = (-2000..2000).map(|i| i as f32 / 150.0).collect();
        let (mut y, mut dx) = (vec![0.0; x.len()], vec![f32::NAN; x.len()]);
        for (curve, exact) in [
            (Curve::Sigmoid, Unary::Sigmoid),
            (Curve::Tanh, Unary::Tanh),
            (Curve::Gelu, Unary::Gelu),
            (Curve::GeluTanh, Unary::GeluTanh),
        ] {
            curve.forward(&x, &mut y);
            curve.backward(&x, &vec![1.0; x.len()], &mut dx, Store::Set);
            for ((&x, y), dx) in x.iter().zip(&y).zip(&dx) {
                let expected = exact.apply(x);
                assert!((y - expected).abs() <= 3e-7 * x.abs().max(1.0), "{exact:?} of {x} is {y}, not {expected}");
                let slope = (exact.apply(x + 1e-2) - exact.apply(x - 1e-2)) / 2e-2;
                assert!((dx - slope).abs() < 2e-4, "slope of {exact:?} at {x} is {dx}, not {slope}");
            }
        }
    }

    #[test]
    fn exponentials_are_near_over_the_whole_range() {
        for i in -8700..8800 {
            let x = i as f32 / 100.0;
            let (found, expected) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((found / expected - 1.0).abs() < 2e-7, "exp({x}) is {found}, not {expected}");
        }
        assert!(exp(-1000.0) < 1e-37 && exp(1000.0).is_finite());
    }

    #[test]
    fn rows_sum_to_one() {
        for width in [1, 7, 16, 33] {
            let mut x: Vec<f32> = (0..3 * width).map(|i| (i * 7 % 11) as f32).collect();
            let before = x.clone();
            softmax_rows(&mut x, width, 0.5);
            for (row, before) in x.chunks(width).zip(before.chunks(width)) {
                let total: f64 = before.iter().map(|&v| f64::from(v * 0.5).exp()).sum();
                for (p, v) in row.iter().zip(before) {
                    assert!((f64::from(*p) - f64::from(v * 0.5).exp() / total).abs() < 1e-6);
                }
            }
        }
    }
}

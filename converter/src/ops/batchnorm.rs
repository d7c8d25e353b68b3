//! Normalization of the last axis by stored statistics.

use crate::graph::{Tensor, Window};
use crate::quantize::{Lowered, QuantOp, Site};

/// Scale and shift of each channel: `y = x * scale + shift`.
pub fn scale_shift(gamma: &Tensor, beta: &Tensor, mean: &Tensor, variance: &Tensor, eps: f32) -> (Vec<f64>, Vec<f64>) {
    let channel = |c: usize| {
        let [g, b, m, v] = [gamma, beta, mean, variance].map(|t| f64::from(t.data()[c]));
        let scale = g / (v + f64::from(eps)).sqrt();
        (scale, b - m * scale)
    };
    (0..gamma.len()).map(channel).unzip()
}

/// `(x - mean) / sqrt(variance + eps) * gamma + beta`.
pub fn reference(x: &Tensor, gamma: &Tensor, beta: &Tensor, mean: &Tensor, variance: &Tensor, eps: f32) -> Tensor {
    let (scale, shift) = scale_shift(gamma, beta, mean, variance, eps);
    let channels = scale.len();
    let element = |(i, v): (usize, &f32)| (f64::from(*v) * scale[i % channels] + shift[i % channels]) as f32;
    Tensor::new(x.shape(), x.data().iter().enumerate().map(element).collect())
}

/// The int8 form of a normalization that no convolution takes in: a depthwise convolution of one tap.
///
/// # Errors
/// If a statistic is not a parameter.
pub fn lower(site: &Site<'_>, eps: f32) -> Lowered {
    let field = |i| site.need_param(i, "statistic");
    let (scale, shift) = scale_shift(field(1)?, field(2)?, field(3)?, field(4)?, eps);
    Ok(per_channel(site, &narrow(&scale), &narrow(&shift)))
}

/// `x * scale + shift` for each channel.
pub fn per_channel(site: &Site<'_>, scale: &[f32], shift: &[f32]) -> QuantOp {
    QuantOp::Depthwise { window: Window::square(1, 1, 0), weights: site.weights(scale, shift), clamp: site.clamp() }
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&v| v as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_has_its_own_statistics() {
        let [gamma, beta, mean, variance] =
            [[2.0, 1.0], [0.5, 0.0], [1.0, -1.0], [4.0, 1.0]].map(|v| Tensor::new([2], v.to_vec()));
        let x = Tensor::new([2, 2], vec![3.0, 0.0, 1.0, -1.0]);
        let y = reference(&x, &gamma, &beta, &mean, &variance, 0.0);
        assert_eq!(y, Tensor::new([2, 2], vec![2.5, 1.0, 0.5, 0.0]));
    }
}

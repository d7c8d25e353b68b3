//! Normalization of the last axis by stored statistics.

use crate::graph::Tensor;

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

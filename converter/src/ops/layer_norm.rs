//! Vectors brought to mean 0 and variance 1, or to length 1.

use crate::graph::Tensor;
use crate::quantize::{Lowered, QuantOp, QuantizeError, Site};

/// `gamma * (x - mean) / sqrt(variance + eps) + beta` for each vector along the last axis.
pub fn reference(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f32) -> Tensor {
    let mut y = x.clone();
    for row in y.data_mut().chunks_exact_mut(gamma.len().max(1)) {
        let count = row.len() as f64;
        let mean = row.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let variance = row.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
        let scale = 1.0 / (variance + f64::from(eps)).sqrt();
        for ((v, &gamma), &beta) in row.iter_mut().zip(gamma.data()).zip(beta.data()) {
            *v = (f64::from(gamma) * (f64::from(*v) - mean) * scale + f64::from(beta)) as f32;
        }
    }
    y
}

/// The int8 form.
///
/// # Errors
/// If gamma or beta is not a parameter.
pub fn lower(site: &Site<'_>, eps: f32) -> Lowered {
    let field = |i| Ok::<_, QuantizeError>(site.need_param(i, "scale or shift")?.data().to_vec());
    Ok(QuantOp::LayerNorm { eps, gamma: field(1)?, beta: field(2)? })
}

/// Why there is no int8 form of [`normalize`].
pub fn refuse_normalize(site: &Site<'_>) -> QuantizeError {
    site.unsupported(
        "no int8 operator scales vectors to length 1",
        "build the network without it and compare its vectors by their cosine, for which lengths do not matter",
    )
}

/// Shorter vectors than this count as zero.
pub const SHORTEST: f64 = 1e-12;

/// `x / |x|` for each vector along the last axis.
pub fn normalize(x: &Tensor) -> Tensor {
    let mut y = x.clone();
    let width = x.shape().last().copied().unwrap_or(1);
    for row in y.data_mut().chunks_exact_mut(width.max(1)) {
        let length = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt().max(SHORTEST);
        row.iter_mut().for_each(|v| *v = (f64::from(*v) / length) as f32);
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_mean_zero_and_variance_one() {
        let x = Tensor::new([2, 2], vec![1.0, 3.0, -5.0, -5.0]);
        let (gamma, beta) = (Tensor::new([2], vec![1.0, 2.0]), Tensor::new([2], vec![0.0, 1.0]));
        assert_eq!(reference(&x, &gamma, &beta, 0.0).data()[..2], [-1.0, 3.0]);
        assert_eq!(reference(&x, &gamma, &beta, 1e-5).data()[2..], [0.0, 1.0]);
    }

    #[test]
    fn vectors_have_length_one() {
        let x = Tensor::new([2, 2], vec![3.0, -4.0, 0.0, 0.0]);
        assert_eq!(normalize(&x), Tensor::new([2, 2], vec![0.6, -0.8, 0.0, 0.0]));
    }
}

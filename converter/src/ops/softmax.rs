//! Exponentials that sum to one along an axis.

use crate::graph::Tensor;
use crate::quantize::{Affine, Lowered, QuantOp, Site};

/// `exp(x) / sum(exp(x))` along `axis`.
pub fn reference(x: &Tensor, axis: usize) -> Tensor {
    let len = x.shape()[axis];
    let inner: usize = x.shape()[axis + 1..].iter().product();
    let mut y = x.clone();
    for start in (0..x.len()).filter(|i| (i / inner).is_multiple_of(len)) {
        let at = |i: usize| start + i * inner;
        let largest = (0..len).map(|i| x.data()[at(i)]).fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> = (0..len).map(|i| f64::from(x.data()[at(i)] - largest).exp()).collect();
        let sum: f64 = powers.iter().sum();
        for (i, power) in powers.iter().enumerate() {
            y.data_mut()[at(i)] = (power / sum) as f32;
        }
    }
    y
}

/// The mapping of every int8 softmax's output: `0..=1` in steps of 1/256.
pub const OUTPUT: Affine = Affine { scale: 1.0 / 256.0, zero_point: -128 };

/// The int8 form.
///
/// # Errors
/// If the axis is not the last.
pub fn lower(site: &Site<'_>, axis: usize) -> Lowered {
    if site.shape(0)[axis + 1..].iter().all(|&n| n == 1) {
        return Ok(QuantOp::Softmax);
    }
    let problem = format!("it normalizes axis {axis} of a tensor of shape {:?}", site.shape(0));
    Err(site.unsupported(problem, "take the softmax along the channels, which are the last axis"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_or_columns_sum_to_one() {
        let third = 3.0_f32.ln();
        let x = Tensor::new([2, 2], vec![0.0, third, 1000.0, 1000.0]);
        let close = |y: Tensor, expected: [f32; 4]| y.data().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(reference(&x, 1), [0.25, 0.75, 0.5, 0.5]));
        assert!(close(reference(&x, 0), [0.0, 0.0, 1.0, 1.0]));
    }
}

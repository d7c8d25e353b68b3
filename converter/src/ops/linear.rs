//! Fully connected layer on the last axis.

use crate::graph::Tensor;
use crate::quantize::{Lowered, QuantOp, Site};

/// `x [.., in]` times `weight [out, in]` transposed, plus, if any, `bias [out]`.
pub fn reference(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let &[out, depth] = weight.shape() else { unreachable!("shapes were checked") };
    let mut shape = x.shape().to_vec();
    shape.pop();
    let rows: usize = shape.iter().product();
    shape.push(out);
    let mut data = Vec::with_capacity(rows * out);
    for row in 0..rows {
        for o in 0..out {
            let start = bias.map_or(0.0, |b| f64::from(b.data()[o]));
            let pairs = x.data()[row * depth..][..depth].iter().zip(&weight.data()[o * depth..][..depth]);
            data.push(pairs.fold(start, |sum, (a, b)| sum + f64::from(*a) * f64::from(*b)) as f32);
        }
    }
    Tensor::new(shape, data)
}

/// The int8 form.
///
/// # Errors
/// If the weight is not a parameter.
pub fn lower(site: &Site<'_>) -> Lowered {
    let weight = site.need_param(1, "weight")?;
    let bias = site.param(2).map_or_else(|| vec![0.0; weight.shape()[0]], |b| b.data().to_vec());
    Ok(QuantOp::Linear { weights: site.weights(weight.data(), &bias), clamp: site.clamp() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_meet_columns() {
        let x = Tensor::new([2, 2], vec![1.0, 2.0, 3.0, 4.0]);
        let weight = Tensor::new([3, 2], vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        let bias = Tensor::new([3], vec![0.0, 0.0, 0.5]);
        assert_eq!(reference(&x, &weight, Some(&bias)), Tensor::new([2, 3], vec![1.0, 2.0, 3.5, 3.0, 4.0, 7.5]));
    }
}

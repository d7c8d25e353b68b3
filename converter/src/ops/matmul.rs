//! Product of two computed tensors over their last two axes.

use super::layout::{broadcast_at, from_fn};
use crate::graph::Tensor;
use crate::quantize::{Lowered, QuantOp, Site};

/// `a [.., m, k]` times `b [.., k, n]`, the leading axes broadcast, giving `shape`.
pub fn reference(a: &Tensor, b: &Tensor, shape: &[usize]) -> Tensor {
    let depth = a.shape().last().copied().unwrap_or(1);
    from_fn(shape, |index| {
        let Some((&[m, n], lead)) = index.split_last_chunk::<2>().map(|(lead, tail)| (tail, lead)) else {
            unreachable!("shapes were checked")
        };
        let term = |k| {
            let (left, right) = ([lead, &[m, k]].concat(), [lead, &[k, n]].concat());
            f64::from(broadcast_at(a, &left)) * f64::from(broadcast_at(b, &right))
        };
        (0..depth).map(term).sum::<f64>() as f32
    })
}

/// The int8 form: a fully connected layer, if the right-hand side is a matrix of constants.
///
/// # Errors
/// For a product of two computed tensors.
pub fn lower(site: &Site<'_>) -> Lowered {
    let weight = site.need_param(1, "right-hand side")?;
    let &[_, columns] = weight.shape() else {
        let problem = format!("its right-hand side has shape {:?}", weight.shape());
        return Err(site.unsupported(problem, "use a right-hand side of two axes"));
    };
    let weights = site.weights(weight.transpose(&[1, 0]).data(), &vec![0.0; columns]);
    Ok(QuantOp::Linear { weights, clamp: site.clamp() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_matrix_serves_a_batch() {
        let a = Tensor::new([2, 1, 2], vec![1.0, 2.0, 3.0, 4.0]);
        let b = Tensor::new([2, 2], vec![1.0, 10.0, 100.0, 1000.0]);
        assert_eq!(reference(&a, &b, &[2, 1, 2]), Tensor::new([2, 1, 2], vec![201.0, 2010.0, 403.0, 4030.0]));
    }
}

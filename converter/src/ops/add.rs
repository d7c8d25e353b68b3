//! Sum of two tensors.

use super::batchnorm::per_channel;
use super::layout::{self, Operand, zip_broadcast};
use crate::graph::Tensor;
use crate::quantize::{Lowered, QuantOp, Site};
use limbeck_runtime::Element;

/// `a + b`, broadcast to `shape`.
pub fn reference(a: &Tensor, b: &Tensor, shape: &[usize]) -> Tensor {
    zip_broadcast(a, b, shape, |x, y| x + y)
}

/// The int8 form: the sum of two tensors, in 16 bits where the result has so many, a table for one constant, or a depthwise tap for one constant a channel.
///
/// # Errors
/// If the shapes differ in more than a single pixel that stands for all.
pub fn lower(site: &Site<'_>) -> Lowered {
    match layout::operand(site)? {
        Operand::Scalar(c) => Ok(site.table(|x| x + c)),
        Operand::Channels(c) => Ok(per_channel(site, &vec![1.0; c.len()], &c)),
        Operand::Tensor if site.element == Element::Int16 => Ok(QuantOp::Add16),
        Operand::Tensor => Ok(QuantOp::Add { clamp: site.clamp() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_added_to_each_row() {
        let a = Tensor::new([2, 2], vec![1.0, 2.0, 3.0, 4.0]);
        let b = Tensor::new([2], vec![10.0, 20.0]);
        assert_eq!(reference(&a, &b, &[2, 2]), Tensor::new([2, 2], vec![11.0, 22.0, 13.0, 24.0]));
    }
}

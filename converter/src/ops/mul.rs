//! Product of two tensors, element by element.

use super::layout::zip_broadcast;
use crate::graph::Tensor;

/// `a * b`, broadcast to `shape`.
pub fn reference(a: &Tensor, b: &Tensor, shape: &[usize]) -> Tensor {
    zip_broadcast(a, b, shape, |x, y| x * y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_scales_each_row() {
        let a = Tensor::new([2, 2], vec![1.0, 2.0, 3.0, 4.0]);
        let b = Tensor::new([2, 1], vec![10.0, -1.0]);
        assert_eq!(reference(&b, &a, &[2, 2]), Tensor::new([2, 2], vec![10.0, 20.0, -3.0, -4.0]));
    }
}

//! Sum of two tensors.

use super::layout::zip_broadcast;
use crate::graph::Tensor;

/// `a + b`, broadcast to `shape`.
pub fn reference(a: &Tensor, b: &Tensor, shape: &[usize]) -> Tensor {
    zip_broadcast(a, b, shape, |x, y| x + y)
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

//! Walks over tensors of any rank, and the operators that only move elements: reshape, transpose, slice.

use crate::graph::Tensor;

/// The distance in memory between neighbours along each axis of a dense tensor.
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// All index tuples of a shape in memory order, last axis fastest.
pub fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    let steps = strides(shape);
    let shape = shape.to_vec();
    (0..shape.iter().product()).map(move |flat: usize| shape.iter().zip(&steps).map(|(n, s)| flat / s % n).collect())
}

/// A tensor whose element at each index is what `element` says.
pub fn from_fn(shape: &[usize], element: impl FnMut(Vec<usize>) -> f32) -> Tensor {
    Tensor::new(shape, indices(shape).map(element).collect())
}

/// The element of `x` at an index of a shape that `x` broadcasts to by NumPy's rule.
pub fn broadcast_at(x: &Tensor, index: &[usize]) -> f32 {
    let shape = x.shape();
    let own = &index[index.len() - shape.len()..];
    let flat: usize =
        own.iter().zip(shape).zip(strides(shape)).map(|((i, n), s)| if *n == 1 { 0 } else { i * s }).sum();
    x.data()[flat]
}

/// `f` of two tensors element by element, broadcast by NumPy's rule to `shape`.
pub fn zip_broadcast(a: &Tensor, b: &Tensor, shape: &[usize], f: impl Fn(f32, f32) -> f32) -> Tensor {
    from_fn(shape, |index| f(broadcast_at(a, &index), broadcast_at(b, &index)))
}

/// `len` elements of an axis, every `step`-th from `start`.
pub fn slice(x: &Tensor, axis: usize, start: usize, step: usize, len: usize) -> Tensor {
    let mut shape = x.shape().to_vec();
    shape[axis] = len;
    from_fn(&shape, |mut index| {
        index[axis] = start + index[axis] * step;
        broadcast_at(x, &index)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_run_in_memory_order() {
        let all: Vec<_> = indices(&[2, 3]).collect();
        assert_eq!(all, [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]);
        assert_eq!(indices(&[]).count(), 1);
        assert_eq!(indices(&[0, 2]).count(), 0);
    }

    #[test]
    fn slices_take_every_step() {
        let x = Tensor::new([2, 4], (0..8).map(|v| v as f32).collect());
        assert_eq!(slice(&x, 1, 1, 2, 2), Tensor::new([2, 2], vec![1.0, 3.0, 5.0, 7.0]));
        assert_eq!(slice(&x, 0, 1, 1, 1), Tensor::new([1, 4], vec![4.0, 5.0, 6.0, 7.0]));
    }
}

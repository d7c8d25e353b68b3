//! A dense float tensor in row-major order: weights, constants and activations of the float graph.

use std::fmt;

/// Dense `f32` values with their shape, last axis fastest.
#[derive(Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// Takes `data` as a tensor of `shape`.
    ///
    /// # Panics
    /// If the element counts differ: that is a bug of the caller, input from outside is checked before.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), data.len(), "a tensor of shape {shape:?} needs as many values");
        Tensor { shape, data }
    }

    /// A tensor of zeros.
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Self {
        Self::full(shape, 0.0)
    }

    /// A tensor with every element equal to `value`.
    pub fn full(shape: impl Into<Vec<usize>>, value: f32) -> Self {
        let shape = shape.into();
        let len = shape.iter().product();
        Tensor { shape, data: vec![value; len] }
    }

    /// A tensor without axes.
    pub fn scalar(value: f32) -> Self {
        Tensor { shape: Vec::new(), data: vec![value] }
    }

    /// Sizes of the axes, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All values, last axis fastest.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// All values, to be changed in place.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The values alone.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether some axis has size 0.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The same values under another shape.
    ///
    /// # Panics
    /// If the element counts differ.
    pub fn reshape(self, shape: impl Into<Vec<usize>>) -> Self {
        Self::new(shape, self.data)
    }

    /// The tensor with its axes reordered: axis `i` of the result is axis `perm[i]` of `self`.
    ///
    /// # Panics
    /// If `perm` is not a permutation of the axes.
    pub fn transpose(&self, perm: &[usize]) -> Self {
        let rank = self.shape.len();
        assert_eq!(perm.len(), rank, "a permutation of {rank} axes");
        let mut strides = vec![1usize; rank];
        for axis in (1..rank).rev() {
            strides[axis - 1] = strides[axis] * self.shape[axis];
        }
        let shape: Vec<usize> = perm.iter().map(|&p| self.shape[p]).collect();
        let steps: Vec<usize> = perm.iter().map(|&p| strides[p]).collect();
        let (row, step) = (shape.last().copied().unwrap_or(1), steps.last().copied().unwrap_or(1));
        let mut index = vec![0usize; rank.saturating_sub(1)];
        let mut data = Vec::with_capacity(self.data.len());
        while data.len() < self.data.len() {
            let first: usize = index.iter().zip(&steps).map(|(i, s)| i * s).sum();
            data.extend(self.data[first..].iter().step_by(step).take(row));
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                if index[axis] < shape[axis] {
                    break;
                }
                index[axis] = 0;
            }
        }
        Tensor { shape, data }
    }

    /// The first element that is NaN or infinite, as `(index, value)`.
    pub fn first_non_finite(&self) -> Option<(usize, f32)> {
        self.data.iter().copied().enumerate().find(|(_, v)| !v.is_finite())
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.data[..self.data.len().min(8)];
        write!(f, "Tensor{:?} {shown:?}{}", self.shape, if self.data.len() > 8 { ".." } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transpose_moves_axes() {
        let t = Tensor::new([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(t.transpose(&[1, 0]), Tensor::new([3, 2], vec![1.0, 4.0, 2.0, 5.0, 3.0, 6.0]));
        assert_eq!(t.transpose(&[1, 0]).transpose(&[1, 0]), t);
        let cube = Tensor::new([2, 2, 2], (0..8).map(|v| v as f32).collect());
        assert_eq!(cube.transpose(&[1, 2, 0]).data(), [0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0]);
        assert_eq!(Tensor::scalar(3.0).transpose(&[]), Tensor::scalar(3.0));
        assert_eq!(Tensor::zeros([0, 2]).transpose(&[1, 0]), Tensor::zeros([2, 0]));
    }

    #[test]
    fn non_finite_values_are_found() {
        assert_eq!(Tensor::zeros([4]).first_non_finite(), None);
        assert_eq!(Tensor::new([2], vec![1.0, f32::INFINITY]).first_non_finite(), Some((1, f32::INFINITY)));
    }
}

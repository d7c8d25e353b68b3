//! A constant around a tensor.

use super::layout::{broadcast_at, from_fn};
use crate::graph::Tensor;
use crate::quantize::{Lowered, QuantOp, Site, image_axis};

/// `x` with `(before, after)` elements of `value` added on each axis.
pub fn reference(x: &Tensor, pads: &[(usize, usize)], value: f32) -> Tensor {
    let shape: Vec<usize> = x.shape().iter().zip(pads).map(|(n, (before, after))| n + before + after).collect();
    from_fn(&shape, |index| {
        let inner: Option<Vec<usize>> = index
            .iter()
            .zip(x.shape())
            .zip(pads)
            .map(|((i, n), (before, _))| i.checked_sub(*before).filter(|i| i < n))
            .collect();
        inner.map_or(value, |index| broadcast_at(x, &index))
    })
}

/// The int8 form.
///
/// # Errors
/// If the batch is padded.
pub fn lower(site: &Site<'_>, pads: &[(usize, usize)], value: f32) -> Lowered {
    let mut image = [(0, 0); 3];
    for (axis, &sides) in pads.iter().enumerate().filter(|(_, sides)| **sides != (0, 0)) {
        match image_axis(axis, pads.len()) {
            Some(axis) => image[axis] = sides,
            None => return Err(site.unsupported("it pads the batch", "pad rows, columns or channels")),
        }
    }
    Ok(QuantOp::Pad { pads: image, value: site.output.quantize(value) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constant_surrounds_the_tensor() {
        let x = Tensor::new([1, 2], vec![1.0, 2.0]);
        let y = reference(&x, &[(1, 0), (0, 1)], 9.0);
        assert_eq!(y, Tensor::new([2, 3], vec![9.0, 9.0, 9.0, 1.0, 2.0, 9.0]));
    }
}

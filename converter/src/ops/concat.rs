//! Tensors one after another along an axis.

use crate::graph::Tensor;
use crate::quantize::{Lowered, QuantOp, Site, image_axis};

/// All of `inputs`, joined along `axis`.
pub fn reference(inputs: &[&Tensor], axis: usize) -> Tensor {
    let mut shape = inputs[0].shape().to_vec();
    shape[axis] = inputs.iter().map(|x| x.shape()[axis]).sum();
    let outer: usize = shape[..axis].iter().product();
    let mut data = Vec::with_capacity(shape.iter().product());
    for row in 0..outer {
        for x in inputs {
            let len = x.len() / outer;
            data.extend_from_slice(&x.data()[row * len..][..len]);
        }
    }
    Tensor::new(shape, data)
}

/// The int8 form.
///
/// # Errors
/// If the axis is the batch, or an input is a constant.
pub fn lower(site: &Site<'_>, axis: usize) -> Lowered {
    if site.inputs.len() != site.node.inputs.len() {
        return Err(site.unsupported("an input is a constant", "fold the constant into the layer that reads it"));
    }
    match image_axis(axis, site.output_shape().len()) {
        Some(axis) => Ok(QuantOp::Concat { axis }),
        None => Err(site.unsupported("it joins along the batch", "join along rows, columns or channels")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_joined() {
        let a = Tensor::new([2, 1], vec![1.0, 2.0]);
        let b = Tensor::new([2, 2], vec![3.0, 4.0, 5.0, 6.0]);
        assert_eq!(reference(&[&a, &b], 1), Tensor::new([2, 3], vec![1.0, 3.0, 4.0, 2.0, 5.0, 6.0]));
        assert_eq!(reference(&[&b, &b], 0).shape(), [4, 2]);
    }
}

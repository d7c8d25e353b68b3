//! Every so-manyth element of an axis.

use super::layout::{broadcast_at, from_fn};
use crate::graph::Tensor;
use crate::quantize::{Lowered, QuantOp, Site, image_axis};

/// `len` elements of an axis, every `step`-th from `start`.
pub fn reference(x: &Tensor, axis: usize, start: usize, step: usize, len: usize) -> Tensor {
    let mut shape = x.shape().to_vec();
    shape[axis] = len;
    from_fn(&shape, |mut index| {
        index[axis] = start + index[axis] * step;
        broadcast_at(x, &index)
    })
}

/// The int8 form of a slice.
///
/// # Errors
/// If it takes a part of the batch.
pub fn lower(site: &Site<'_>, axis: usize, start: usize, step: usize) -> Lowered {
    let (mut starts, mut steps) = ([0; 3], [1; 3]);
    let Some(image) = image_axis(axis, site.output_shape().len()) else {
        return Err(site.unsupported("it takes a part of the batch", "slice rows, columns or channels"));
    };
    (starts[image], steps[image]) = (start, step);
    Ok(QuantOp::Slice { start: starts, step: steps })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Op};
    use crate::quantize::Affine;
    use limbeck_runtime::Element;

    #[test]
    fn slices_take_every_step() {
        let x = Tensor::new([2, 4], (0..8).map(|v| v as f32).collect());
        assert_eq!(reference(&x, 1, 1, 2, 2), Tensor::new([2, 2], vec![1.0, 3.0, 5.0, 7.0]));
        assert_eq!(reference(&x, 0, 1, 1, 1), Tensor::new([1, 4], vec![4.0, 5.0, 6.0, 7.0]));
    }

    #[test]
    fn slices_stay_in_one_sample() {
        let unit = Affine { scale: 1.0, zero_point: 0 };
        let mut graph = Graph::new("g");
        let x = graph.input("x", [1, 4, 1, 3]);
        for (axis, expected) in [(1, Some(QuantOp::Slice { start: [0; 3], step: [2, 1, 1] })), (0, None)] {
            graph.add("n", Op::Slice { axis, start: 0, step: 2, len: 1 }, &[x]).unwrap();
            let node = graph.nodes.last().unwrap();
            let site = Site { graph: &graph, node, inputs: &[unit], output: unit, element: Element::Int8, then: &[] };
            assert_eq!(lower(&site, axis, 0, 2).ok(), expected, "axis {axis}");
        }
    }
}

//! Walks over tensors of any rank, and the operators that only name elements anew: reshape and transpose.

use crate::graph::Tensor;
use crate::quantize::{Lowered, QuantOp, QuantizeError, Site};

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

/// What an operator of two operands combines a computed tensor with.
pub enum Operand {
    /// One constant.
    Scalar(f32),
    /// One constant for each channel.
    Channels(Vec<f32>),
    /// Another computed tensor.
    Tensor,
}

/// The second operand of an int8 sum or product.
///
/// # Errors
/// If the shapes differ in more than a single pixel that stands for all.
pub fn operand(site: &Site<'_>) -> Result<Operand, QuantizeError> {
    let out = site.output_shape();
    let channels = out.last().copied().unwrap_or(1);
    if let Some(i) = (0..2).find(|&i| site.param(i).is_some()) {
        let constant = site.need_param(i, "operand")?;
        if site.shape(1 - i) == out && constant.len() == 1 {
            return Ok(Operand::Scalar(constant.data()[0]));
        }
        if site.shape(1 - i) == out && constant.len() == channels && constant.shape().last() == Some(&channels) {
            return Ok(Operand::Channels(constant.data().to_vec()));
        }
        let problem = format!("a constant of shape {:?} meets a tensor of shape {out:?}", constant.shape());
        return Err(site.unsupported(problem, "use one constant, or one for each channel"));
    }
    let stands_for_all =
        |shape: &[usize]| shape.last() == Some(&channels) && shape.iter().product::<usize>() == channels;
    let (a, b) = (site.shape(0), site.shape(1));
    if (a == out && (b == out || stands_for_all(b))) || (b == out && stands_for_all(a)) {
        return Ok(Operand::Tensor);
    }
    let problem = format!("tensors of shapes {a:?} and {b:?} are repeated along some axes");
    Err(site.unsupported(problem, "use equal shapes, or one pixel against an image"))
}

/// The int8 form of a reordering of axes: nothing, as long as no two axes larger than 1 change places.
///
/// # Errors
/// If bytes would move.
pub fn lower_transpose(site: &Site<'_>, perm: &[usize]) -> Lowered {
    let long: Vec<usize> = perm.iter().copied().filter(|&axis| site.shape(0)[axis] > 1).collect();
    if long.is_sorted() {
        return Ok(QuantOp::Reshape);
    }
    let problem = format!("{perm:?} moves the data of a tensor of shape {:?}", site.shape(0));
    Err(site.unsupported(problem, "let the network work on channels-last tensors, or move the transpose to its input"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Op};
    use crate::quantize::Affine;
    use limbeck_runtime::Element;

    #[test]
    fn indices_run_in_memory_order() {
        let all: Vec<_> = indices(&[2, 3]).collect();
        assert_eq!(all, [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]);
        assert_eq!(indices(&[]).count(), 1);
        assert_eq!(indices(&[0, 2]).count(), 0);
    }

    #[test]
    fn transposes_are_views_or_errors() {
        let unit = Affine { scale: 1.0, zero_point: 0 };
        let mut graph = Graph::new("g");
        let x = graph.input("x", [1, 4, 1, 3]);
        for (perm, expected) in [(vec![0, 2, 1, 3], Some(QuantOp::Reshape)), (vec![0, 3, 2, 1], None)] {
            graph.add("n", Op::Transpose(perm.clone()), &[x]).unwrap();
            let node = graph.nodes.last().unwrap();
            let site = Site { graph: &graph, node, inputs: &[unit], output: unit, element: Element::Int8, then: &[] };
            assert_eq!(lower_transpose(&site, &perm).ok(), expected, "{perm:?}");
        }
    }
}

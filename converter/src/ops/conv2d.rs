//! Convolution of channels-last images, in any number of groups.

use super::depthwise;
use super::window::{sizes, tap};
use crate::graph::{Tensor, Window};
use crate::quantize::{Lowered, QuantOp, Site};

/// Convolution of `x [n, h, w, c]` with `weight [out, rows, columns, c / groups]` and, if any, `bias [out]`.
pub fn reference(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, window: &Window, groups: usize) -> Tensor {
    let ([n, h, w, c], [out, rows, columns, depth]) = (sizes(x), sizes(weight));
    let [oh, ow] = window.output([h, w]).expect("shapes were checked");
    let out_per_group = out / groups;
    let mut data = Vec::with_capacity(n * oh * ow * out);
    for image in 0..n {
        for y in 0..oh {
            for z in 0..ow {
                for o in 0..out {
                    let first = o / out_per_group * depth;
                    let mut sum = bias.map_or(0.0, |b| f64::from(b.data()[o]));
                    for ky in 0..rows {
                        for kz in 0..columns {
                            let Some([iy, iz]) = tap(window, [h, w], [y, z], [ky, kz]) else { continue };
                            let pixel = &x.data()[((image * h + iy) * w + iz) * c + first..][..depth];
                            let taps = &weight.data()[((o * rows + ky) * columns + kz) * depth..][..depth];
                            sum += pixel.iter().zip(taps).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
                        }
                    }
                    data.push(sum as f32);
                }
            }
        }
    }
    Tensor::new([n, oh, ow, out], data)
}

/// The int8 form: dense, depthwise, or for other groups a dense one whose weights across groups are zero.
///
/// # Errors
/// If the weight is not a parameter.
pub fn lower(site: &Site<'_>, window: &Window, groups: usize) -> Lowered {
    let weight = site.need_param(1, "weight")?;
    let [out, rows, columns, depth] = sizes(weight);
    let bias = site.param(2).map_or_else(|| vec![0.0; out], |b| b.data().to_vec());
    if groups > 1 && depth == 1 {
        return Ok(depthwise::lower(site, window, weight.data(), &bias));
    }
    let (window, clamp) = (*window, site.clamp());
    if groups == 1 {
        return Ok(QuantOp::Conv2d { window, weights: site.weights(weight.data(), &bias), clamp });
    }
    let mut dense = vec![0.0; out * rows * columns * depth * groups];
    for (i, tap) in weight.data().chunks_exact(depth).enumerate() {
        let group = i / (rows * columns) / (out / groups);
        dense[(i * groups + group) * depth..][..depth].copy_from_slice(tap);
    }
    Ok(QuantOp::Conv2d { window, weights: site.weights(&dense, &bias), clamp })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Op, Pads};
    use crate::quantize::Affine;
    use limbeck_runtime::Element;

    fn counting(shape: impl Into<Vec<usize>>) -> Tensor {
        let shape = shape.into();
        let len = shape.iter().product::<usize>();
        Tensor::new(shape, (1..=len).map(|v| v as f32).collect())
    }

    #[test]
    fn padding_adds_nothing() {
        let y = reference(&counting([1, 2, 2, 1]), &Tensor::full([1, 3, 3, 1], 1.0), None, &Window::square(3, 1, 1), 1);
        assert_eq!(y, Tensor::new([1, 2, 2, 1], vec![10.0; 4]));
    }

    #[test]
    fn strides_dilation_and_uneven_pads_move_the_window() {
        let window =
            Window { kernel: [1, 2], stride: [2, 1], dilation: [1, 2], pads: Pads { left: 1, ..Pads::default() } };
        let weight = Tensor::new([1, 1, 2, 1], vec![1.0, 10.0]);
        let y = reference(&counting([1, 3, 3, 1]), &weight, None, &window, 1);
        assert_eq!(y, Tensor::new([1, 2, 2, 1], vec![20.0, 31.0, 80.0, 97.0]));
    }

    #[test]
    fn groups_see_their_own_channels() {
        let weight = Tensor::new([2, 1, 1, 1], vec![2.0, 3.0]);
        let bias = Tensor::new([2], vec![0.5, -0.5]);
        let y = reference(&counting([1, 1, 2, 2]), &weight, Some(&bias), &Window::square(1, 1, 0), 2);
        assert_eq!(y, Tensor::new([1, 1, 2, 2], vec![2.5, 5.5, 6.5, 11.5]));
    }

    #[test]
    fn groups_become_depthwise_or_dense_with_zeros() {
        let unit = Affine { scale: 1.0, zero_point: 0 };
        let mut graph = Graph::new("g");
        let x = graph.input("x", [1, 1, 1, 4]);
        let window = Window::square(1, 1, 0);
        let rows: [(usize, &[f32], &[i8]); 3] = [
            (4, &[1.0, 2.0, 3.0, 4.0], &[127, 127, 127, 127]),
            (2, &[1.0, 2.0, 3.0, 4.0], &[64, 127, 0, 0, 0, 0, 95, 127]),
            (1, &[1.0, 0.0, -1.0, 0.5], &[127, 0, -127, 64]),
        ];
        for (groups, values, expected) in rows {
            let op = Op::Conv2d { window, groups };
            let out = values.len() * groups / 4;
            let w = graph.add_param("w", Tensor::new([out, 1, 1, 4 / groups], values.to_vec()));
            graph.add("conv", op, &[x, w]).unwrap();
            let node = graph.nodes.last().unwrap();
            let site = Site { graph: &graph, node, inputs: &[unit], output: unit, element: Element::Int8, then: &[] };
            let op = lower(&site, &window, groups).unwrap();
            assert_eq!(op.weights().unwrap().data, expected, "{groups} groups");
            assert_eq!(matches!(op, QuantOp::Depthwise { .. }), groups == 4);
        }
    }
}

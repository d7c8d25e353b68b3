//! Convolution of channels-last images; depthwise is the case of as many groups as channels.

use crate::graph::{Tensor, Window};

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

/// The input pixel under tap `k` of the window at output pixel `at`; `None` in the padding.
pub fn tap(window: &Window, size: [usize; 2], at: [usize; 2], k: [usize; 2]) -> Option<[usize; 2]> {
    let before = [window.pads.top, window.pads.left];
    let mut pixel = [0; 2];
    for axis in 0..2 {
        let padded = at[axis] * window.stride[axis] + k[axis] * window.dilation[axis];
        pixel[axis] = padded.checked_sub(before[axis]).filter(|&p| p < size[axis])?;
    }
    Some(pixel)
}

fn sizes(x: &Tensor) -> [usize; 4] {
    x.shape().try_into().expect("shapes were checked")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Pads;

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
}

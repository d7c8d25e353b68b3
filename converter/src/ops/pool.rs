//! Largest value and mean under a window of a channels-last image.

use super::conv2d::tap;
use crate::graph::{Tensor, Window};
use crate::quantize::{QuantOp, Site};

/// Largest value under the window; padding never wins.
pub fn max(x: &Tensor, window: &Window) -> Tensor {
    pool(x, window, |taps| taps.iter().flatten().copied().fold(f32::NEG_INFINITY, f32::max))
}

/// Mean under the window, where padding counts as zeros or not at all.
pub fn average(x: &Tensor, window: &Window, count_pad: bool) -> Tensor {
    pool(x, window, |taps| {
        let count = if count_pad { taps.len() } else { taps.iter().flatten().count() };
        let sum: f64 = taps.iter().flatten().map(|v| f64::from(*v)).sum();
        (sum / count.max(1) as f64) as f32
    })
}

/// Mean over rows and columns.
pub fn global_average(x: &Tensor) -> Tensor {
    let [_, h, w, _] = sizes(x);
    average(x, &Window { kernel: [h, w], ..Window::square(1, 1, 0) }, false)
}

/// `f` of what lies under the window at each output, `None` for taps in the padding.
fn pool(x: &Tensor, window: &Window, f: impl Fn(&[Option<f32>]) -> f32) -> Tensor {
    let [n, h, w, c] = sizes(x);
    let [oh, ow] = window.output([h, w]).expect("shapes were checked");
    let mut data = Vec::with_capacity(n * oh * ow * c);
    let mut taps = Vec::new();
    for image in 0..n {
        for y in 0..oh {
            for z in 0..ow {
                for channel in 0..c {
                    taps.clear();
                    for ky in 0..window.kernel[0] {
                        for kz in 0..window.kernel[1] {
                            let pixel = tap(window, [h, w], [y, z], [ky, kz]);
                            taps.push(pixel.map(|[iy, iz]| x.data()[((image * h + iy) * w + iz) * c + channel]));
                        }
                    }
                    data.push(f(&taps));
                }
            }
        }
    }
    Tensor::new([n, oh, ow, c], data)
}

fn sizes(x: &Tensor) -> [usize; 4] {
    x.shape().try_into().expect("shapes were checked")
}

/// The int8 form of a max pool.
pub fn lower_max(window: &Window) -> QuantOp {
    QuantOp::MaxPool { window: *window }
}

/// The int8 form of a mean under a window.
pub fn lower_average(site: &Site<'_>, window: &Window, count_pad: bool) -> QuantOp {
    QuantOp::AvgPool { window: *window, count_pad, clamp: site.clamp() }
}

/// The int8 form of a mean over the whole image.
pub fn lower_global(site: &Site<'_>) -> QuantOp {
    let &[_, h, w, _] = site.shape(0) else { unreachable!("shapes were checked") };
    lower_average(site, &Window { kernel: [h, w], ..Window::square(1, 1, 0) }, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square() -> Tensor {
        Tensor::new([1, 2, 2, 1], vec![-1.0, -2.0, -3.0, -6.0])
    }

    #[test]
    fn padding_never_wins() {
        let y = max(&square(), &Window::square(2, 2, 1));
        assert_eq!(y, Tensor::new([1, 2, 2, 1], vec![-1.0, -2.0, -3.0, -6.0]));
    }

    #[test]
    fn padding_counts_if_told() {
        let window = Window::square(3, 2, 1);
        assert_eq!(average(&square(), &window, false).data(), [-3.0]);
        assert_eq!(average(&square(), &window, true).data(), [-12.0 / 9.0]);
        assert_eq!(global_average(&square()), Tensor::new([1, 1, 1, 1], vec![-3.0]));
    }
}

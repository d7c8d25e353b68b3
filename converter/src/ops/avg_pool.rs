//! Mean under a window, and over the whole image.

use super::window::{self, sizes};
use crate::graph::{Tensor, Window};
use crate::quantize::{QuantOp, Site};

/// Mean under the window of `x [n, h, w, c]`, where padding counts as zeros or not at all.
pub fn reference(x: &Tensor, window: &Window, count_pad: bool) -> Tensor {
    window::fold(x, window, |taps| {
        let count = if count_pad { taps.len() } else { taps.iter().flatten().count() };
        let sum: f64 = taps.iter().flatten().map(|v| f64::from(*v)).sum();
        (sum / count.max(1) as f64) as f32
    })
}

/// Mean over rows and columns.
pub fn global(x: &Tensor) -> Tensor {
    let [_, h, w, _] = sizes(x);
    reference(x, &whole([h, w]), false)
}

/// The int8 form.
pub fn lower(site: &Site<'_>, window: &Window, count_pad: bool) -> QuantOp {
    QuantOp::AvgPool { window: *window, count_pad, clamp: site.clamp() }
}

/// The int8 form of a mean over the whole image.
pub fn lower_global(site: &Site<'_>) -> QuantOp {
    let &[_, h, w, _] = site.shape(0) else { unreachable!("shapes were checked") };
    lower(site, &whole([h, w]), true)
}

fn whole(kernel: [usize; 2]) -> Window {
    Window { kernel, ..Window::square(1, 1, 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_counts_if_told() {
        let x = Tensor::new([1, 2, 2, 1], vec![-1.0, -2.0, -3.0, -6.0]);
        let window = Window::square(3, 2, 1);
        assert_eq!(reference(&x, &window, false).data(), [-3.0]);
        assert_eq!(reference(&x, &window, true).data(), [-12.0 / 9.0]);
        assert_eq!(global(&x), Tensor::new([1, 1, 1, 1], vec![-3.0]));
    }
}

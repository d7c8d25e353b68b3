//! Largest value under a window.

use super::window;
use crate::graph::{Tensor, Window};
use crate::quantize::QuantOp;

/// Largest value under the window of `x [n, h, w, c]`; padding never wins.
pub fn reference(x: &Tensor, window: &Window) -> Tensor {
    window::fold(x, window, |taps| taps.iter().flatten().copied().fold(f32::NEG_INFINITY, f32::max))
}

/// The int8 form.
pub fn lower(window: &Window) -> QuantOp {
    QuantOp::MaxPool { window: *window }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_never_wins() {
        let x = Tensor::new([1, 2, 2, 1], vec![-1.0, -2.0, -3.0, -6.0]);
        assert_eq!(reference(&x, &Window::square(2, 2, 1)), x);
    }
}

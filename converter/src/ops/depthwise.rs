//! Convolution of every channel by itself: [`conv2d`](super::conv2d) in as many groups as channels.

use crate::graph::Window;
use crate::quantize::{QuantOp, Site};

/// The int8 form, of `weight [out, rows, columns, 1]` and `bias [out]`.
pub fn lower(site: &Site<'_>, window: &Window, weight: &[f32], bias: &[f32]) -> QuantOp {
    QuantOp::Depthwise { window: *window, weights: site.weights(weight, bias), clamp: site.clamp() }
}

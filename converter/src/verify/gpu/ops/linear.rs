//! Fully connected layer on the last axis: a convolution with one tap over a row of pixels.

use super::conv2d;
use super::prelude::*;
use limbeck_runtime::ops::Linear;

pub(super) fn lower(op: &Linear<'_>, call: &Call, to: &mut Lowering) {
    conv2d::lower(&op.as_conv2d(), call, to);
}

//! Tensors of one scale one after another.

use super::prelude::*;
use super::slice::{Copied, copy};
use limbeck_runtime::ops::Concat;

pub(super) fn lower(op: &Concat, call: &Call, to: &mut Lowering) {
    let axis = usize::from(op.axis);
    let mut before = [0; 3];
    for input in &call.inputs {
        copy(input, &call.output, &Copied { before, fill: None, ..Copied::WHOLE }, to);
        before[axis] += input.tensor.shape.sizes()[axis];
    }
}

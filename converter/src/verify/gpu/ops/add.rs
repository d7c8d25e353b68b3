//! Sum of two tensors of different scales.

use super::prelude::*;
use limbeck_runtime::ops::Add;

static SHADER: Shader = shader!("add");

pub(super) fn lower(op: &Add, call: &Call, to: &mut Lowering) {
    let [a, b] = [0, 1].map(|i| &call.inputs[i]);
    let y = &call.output;
    let params = Params::of(y).repeated(a, y).value(b).value(y).u32s(&[u32::from(a.tensor.shape.len() == 1)]);
    to.quads(&SHADER, y, sum(params, op));
}

/// The parameters of the sum of a pair.
pub(super) fn sum(params: Params, op: &Add) -> Params {
    let [a, b] = op.multipliers.map(i32::from);
    params.i32s(&[a, b, op.bias, op.shift.into(), op.lo.into(), op.hi.into()])
}

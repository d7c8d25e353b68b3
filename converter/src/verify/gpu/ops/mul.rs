//! Product of two tensors, the first possibly repeated over the pixels.

use super::prelude::*;
use limbeck_runtime::ops::Mul;

static SHADER: Shader = shader!("mul");

pub(super) fn lower(op: &Mul, call: &Call, to: &mut Lowering) {
    let [a, b] = [0, 1].map(|i| &call.inputs[i]);
    let y = &call.output;
    let params = Params::of(y).repeated(a, y).value(b).value(y).u32s(&[u32::from(a.tensor.shape.len() == 1)]);
    let [zero_a, zero_b] = op.zeros.map(i32::from);
    to.quads(&SHADER, y, params.i32s(&[zero_a, zero_b, op.multiplier, op.shift.into()]).range(&op.range));
}

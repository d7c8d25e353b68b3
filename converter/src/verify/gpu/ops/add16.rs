//! Sum of two tensors in 16 bits.

use super::prelude::*;
use limbeck_runtime::ops::Add16;

static SHADER: Shader = shader!("add16");

pub(super) fn lower(op: &Add16, call: &Call, to: &mut Lowering) {
    let [a, b] = [0, 1].map(|i| &call.inputs[i]);
    let y = &call.output;
    let [multiplier_a, multiplier_b] = op.multipliers.map(i32::from);
    let params = Params::of(y).value(a).value(b).value(y);
    to.quads(&SHADER, y, params.i32s(&[multiplier_a, multiplier_b, op.bias, op.shift.into()]));
}

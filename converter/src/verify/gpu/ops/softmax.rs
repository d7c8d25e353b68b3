//! Probabilities from scores, row by row.

use super::prelude::*;
use limbeck_runtime::ops::Softmax;

static SHADER: Shader = shader!("softmax");

pub(super) fn lower(op: &Softmax, call: &Call, to: &mut Lowering) {
    let exp2 = to.exp2();
    let y = &call.output;
    let params = Params::of(y).value(only(call)).value(y).sizes(&[op.len]).u32s(&[op.step, exp2]);
    to.dispatch(&SHADER, y.tensor.shape.pixels(), params);
}

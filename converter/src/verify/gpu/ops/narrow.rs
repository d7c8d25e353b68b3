//! From 16 to 8 bits.

use super::prelude::*;
use limbeck_runtime::ops::Narrow;

static SHADER: Shader = shader!("narrow");

pub(super) fn lower(op: &Narrow, call: &Call, to: &mut Lowering) {
    let y = &call.output;
    let params = Params::of(y).value(only(call)).value(y);
    to.quads(&SHADER, y, params.i32s(&[op.multiplier, op.shift.into()]).range(&op.range));
}

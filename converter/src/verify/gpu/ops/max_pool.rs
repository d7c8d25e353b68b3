//! Largest value under a window, channel by channel.

use super::prelude::*;
use limbeck_runtime::ops::MaxPool;

static SHADER: Shader = shader!("max_pool", WINDOW);

pub(super) fn lower(op: &MaxPool, call: &Call, to: &mut Lowering) {
    let y = &call.output;
    let params = Params::of(y).value(only(call)).value(y);
    to.quads(&SHADER, y, params.window(&op.window, op.input, op.output));
}

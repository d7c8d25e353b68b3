//! Mean under a window, channel by channel.

use super::prelude::*;
use limbeck_runtime::ops::AvgPool;

static SHADER: Shader = shader!("avg_pool", WINDOW);

pub(super) fn lower(op: &AvgPool<'_>, call: &Call, to: &mut Lowering) {
    let factors = to.factors(op.multipliers, op.shifts);
    let (y, pool) = (&call.output, &op.pool);
    let params = Params::of(y).value(only(call)).value(y).window(&pool.window, pool.input, pool.output);
    let params = params.i32s(&[op.input_zero.into()]).u32s(&[factors, u32::from(op.multipliers.len() == 1)]);
    to.quads(&SHADER, y, params.range(&op.range));
}

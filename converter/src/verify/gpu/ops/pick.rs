//! One row for all of them: the first, or their mean.

use super::prelude::*;
use limbeck_runtime::ops::Pick;
use limbeck_runtime::quant::Output;

static SHADER: Shader = shader!("pick");

pub(super) fn lower(op: &Pick<'_>, call: &Call, to: &mut Lowering) {
    let y = &call.output;
    let params = Params::of(y).value(only(call)).value(y);
    let params = match op {
        Pick::First => params.u32s(&[0, 0, 0]).range(&Output::full(0)),
        Pick::Mean(mean) => {
            let factors = to.factors(mean.multipliers, mean.shifts);
            params.u32s(&[1]).i32s(&[mean.input_zero.into()]).u32s(&[factors]).range(&mean.range)
        }
    };
    to.quads(&SHADER, y, params);
}

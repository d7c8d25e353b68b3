//! Each row becomes a mean of all rows, weighted by how alike queries and keys are.

use super::prelude::*;
use limbeck_runtime::ops::Attention;

static SHADER: Shader = shader!("attention");

pub(super) fn lower(op: &Attention, call: &Call, to: &mut Lowering) {
    let exp2 = to.exp2();
    let y = &call.output;
    let rows = y.tensor.shape.pixels();
    // Two heads that share a quad are made by one invocation, one after another.
    let is_apart = op.size.is_multiple_of(QUAD);
    let mut params = Params::of(y);
    for value in call.inputs.iter().chain([y]) {
        params = params.value(value);
    }
    let params = params.sizes(&[op.heads, op.size, usize::from(is_apart)]);
    let (score, score_shift) = op.score;
    let (value, value_right) = op.value;
    let params = params.i32s(&[score, score_shift.into(), value, value_right.into()]).u32s(&[exp2]).range(&op.range);
    let heads = if is_apart { op.heads } else { 1 };
    // Scores are made once for the largest and once for each sixteen channels.
    let products = op.width() / heads * rows * (2 + op.size.div_ceil(16));
    to.tiles(&SHADER, [rows * heads, 1, 1], products, params);
}

//! Each row brought to mean 0 and variance 1, then scaled and shifted channel by channel.

use super::prelude::*;
use limbeck_runtime::ops::LayerNorm;

static SHADER: Shader = shader!("layer_norm");

pub(super) fn lower(op: &LayerNorm<'_>, call: &Call, to: &mut Lowering) {
    let quad = |of: &[i32]| [0, 1, 2, 3].map(|i| of.get(i).map_or(0, |n| n.cast_unsigned()));
    let quads = op.gains.chunks(QUAD).zip(op.bias.chunks(QUAD));
    // Vectors are counted, not words.
    let gains = to.constants(quads.flat_map(|(gains, bias)| [quad(gains), quad(bias)]).flatten()) / 4;
    let y = &call.output;
    let params = Params::of(y).value(only(call)).value(y).sizes(&[op.gains.len()]);
    let params = params.u32s(&[op.eps as u32, (op.eps >> 32) as u32, gains, op.right.into()]);
    to.dispatch(&SHADER, y.tensor.shape.pixels(), params);
}

//! Depthwise convolution: each output channel reads one input channel.

use super::prelude::*;
use limbeck_runtime::ops::Depthwise;

static SHADER: Shader = shader!("depthwise", WINDOW);

pub(super) fn lower(op: &Depthwise<'_>, call: &Call, to: &mut Lowering) {
    let out = op.output.channels;
    // Vectors are counted here, words for the weights.
    let channels = to.constants((0..out).step_by(QUAD).flat_map(|first| channels_of(&op.channels, first))) / 4;
    let quad = |tap: usize, first: usize| {
        word([0, 1, 2, 3].map(|i| if first + i < out { op.weights[tap * out + first + i] } else { 0 }))
    };
    let taps = op.window.taps();
    let weights = to.constants((0..taps).flat_map(|tap| (0..out).step_by(QUAD).map(move |first| quad(tap, first))));
    let y = &call.output;
    let params = Params::of(y).value(only(call)).value(y).window(&op.window, op.input, op.output);
    let params = params.sizes(&[op.multiplicity()]).i32s(&[op.input_zero.into()]).u32s(&[channels, weights]);
    let quads = out.div_ceil(QUAD) * op.output.pixels();
    to.tiles(&SHADER, [quads, 1, 1], QUAD * taps, params.range(&op.range));
}

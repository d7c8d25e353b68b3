//! Convolution, all input channels into each output channel, with a residual if there is one.

use super::add::sum;
use super::prelude::*;
use limbeck_runtime::ops::{Add, Conv2d};

static SHADER: Shader = shader!("conv2d", WINDOW);

/// Pixels of an invocation.
const PIXELS: usize = 4;

pub(super) fn lower(op: &Conv2d<'_>, call: &Call, to: &mut Lowering) {
    let (out, channels) = (op.output.channels, op.input.channels);
    let words = channels.div_ceil(QUAD);
    // The four products of a word of the input and an output channel.
    let products = |o: usize, ky: usize, kx: usize, first: usize| {
        word([0, 1, 2, 3].map(|i| {
            let c = first + i;
            if o < out && c < channels { op.weight(o, ky, kx * channels + c) } else { 0 }
        }))
    };
    let [rows, columns] = op.window.kernel;
    let taps = || (0..rows).flat_map(|ky| (0..columns).map(move |kx| (ky, kx)));
    let tiles = (0..out).step_by(QUAD).flat_map(|first| {
        let places = taps().flat_map(|(ky, kx)| (0..channels).step_by(QUAD).map(move |c| (ky, kx, c)));
        let weights = places.flat_map(move |(ky, kx, c)| [0, 1, 2, 3].map(|i| products(first + i, ky, kx, c)));
        channels_of(&op.channels, first).chain(weights)
    });
    let tiles = to.constants(tiles) / 4;
    let (x, y) = (&call.inputs[0], &call.output);
    let params = Params::of(y).value(x).value(y).value(call.inputs.get(1).unwrap_or(y));
    let params = params.window(&op.window, op.input, op.output).sizes(&[words]);
    let tile = 3 + rows * columns * words;
    let params = params.u32s(&[word([op.input_zero; QUAD]), tiles]).sizes(&[tile]).range(&op.range);
    let none = Add { multipliers: [0; 2], bias: 0, shift: 0, lo: 0, hi: 0 };
    let params = sum(params.u32s(&[u32::from(op.residual.is_some())]), &op.residual.unwrap_or(none));
    let items = [op.output.pixels(), PIXELS, out.div_ceil(QUAD)];
    to.tiles(&SHADER, items, QUAD * op.window.taps() * channels, params);
}

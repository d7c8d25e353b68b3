//! The cases of each op: parameters from a random generator, run by scalar and by the table under test.

use super::bench::{Bench, Outcome, fill, geometry, layouts, pack, range, rescale_params, sum_params, zero};
use super::{ROOM, Rng, Shapes, WEIGHTS, Workspace};
use crate::kernels::{Kernels, Layout, scalar};
use crate::ops::{AvgPool, Conv2d, Depthwise, Linear, Lut, MaxPool, Mul, Softmax};
use crate::quant::Channels;
use crate::tensor::Shape;

/// Numbers of channels on, under and over the edges of any tile, and the usual ones.
pub(super) const WIDTHS: [usize; 24] =
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 17, 20, 24, 31, 32, 33, 40, 48, 63, 64, 65];

pub(super) fn conv2d(table: &Kernels, work: &mut Workspace, rng: &mut Rng, shapes: &mut Shapes) -> Outcome {
    let [own, other] = layouts(table.isa);
    let (window, input, output) = loop {
        let (window, input, output) = geometry(rng, |rng, _| rng.pick(&WIDTHS));
        let bytes =
            |layout: Layout| layout.weight_bytes(output.channels, window.kernel[0], window.kernel[1] * input.channels);
        if bytes(own).max(bytes(other)) <= WEIGHTS {
            break (window, input, output);
        }
    };
    *shapes = Shapes { input, output, window: Some(window) };
    let residual = if rng.one_in(3) { Some(sum_params(rng)) } else { None };
    let (input_zero, range) = (zero(rng), range(rng));
    pack(work, rng, [own, other], output.channels, [window.kernel[0], window.kernel[1] * input.channels]);
    let (weights, channels) = (&[], Channels::NONE);
    let op = Conv2d { input, output, window, input_zero, layout: own, weights, channels, range, residual };
    Bench::new(work, rng, input.len(), output.len()).compare(
        |w, x, y| (scalar::KERNELS.conv2d)(&w.conv2d(op, other), x, y, &mut []),
        |w, x, y, s| (table.conv2d)(&w.conv2d(op, own), x, y, s),
        |w| (table.isa.scratch().conv2d)(&w.conv2d(op, own)),
    )
}

pub(super) fn depthwise(table: &Kernels, work: &mut Workspace, rng: &mut Rng, shapes: &mut Shapes) -> Outcome {
    let (window, input, output) = geometry(rng, |rng, channels| channels * rng.pick(&[1, 1, 1, 2, 3]));
    *shapes = Shapes { input, output, window: Some(window) };
    let (input_zero, range) = (zero(rng), range(rng));
    pack(work, rng, [Layout::PLAIN; 2], output.channels, [1, window.taps()]);
    // `[taps][channels]`: any order will do, since both sides read the same one.
    let (weights, channels) = (&[], Channels::NONE);
    let op = Depthwise { input, output, window, input_zero, weights, channels, range };
    Bench::new(work, rng, input.len(), output.len()).compare(
        |w, x, y| (scalar::KERNELS.depthwise)(&w.depthwise(op), x, y, &mut []),
        |w, x, y, s| (table.depthwise)(&w.depthwise(op), x, y, s),
        |w| (table.isa.scratch().depthwise)(&w.depthwise(op)),
    )
}

pub(super) fn linear(table: &Kernels, work: &mut Workspace, rng: &mut Rng, shapes: &mut Shapes) -> Outcome {
    let [own, other] = layouts(table.isa);
    let (rows, inputs, outputs) = loop {
        let rows = rng.pick(&[1, 1, 1, 2, 3, 4, 5, 7, 8, 17, 32]);
        let inputs = rng.pick(&[1, 3, 10, 16, 31, 64, 65, 100, 128, 256, 400, 576]);
        let outputs = rng.pick(&WIDTHS);
        let bytes = own.weight_bytes(outputs, 1, inputs).max(other.weight_bytes(outputs, 1, inputs));
        if rows * inputs.max(outputs) < ROOM && bytes <= WEIGHTS {
            break (rows, inputs, outputs);
        }
    };
    *shapes = Shapes { input: Shape::new(1, rows, inputs), output: Shape::new(1, rows, outputs), window: None };
    let range = range(rng);
    pack(work, rng, [own, other], outputs, [1, inputs]);
    let (weights, channels) = (&[], Channels::NONE);
    let op = Linear { rows, inputs, outputs, layout: own, weights, channels, range };
    Bench::new(work, rng, rows * inputs, rows * outputs).compare(
        |w, x, y| (scalar::KERNELS.linear)(&w.linear(op, other), x, y, &mut []),
        |w, x, y, s| (table.linear)(&w.linear(op, own), x, y, s),
        |w| (table.isa.scratch().linear)(&w.linear(op, own)),
    )
}

pub(super) fn add(table: &Kernels, work: &mut Workspace, rng: &mut Rng, shapes: &mut Shapes) -> Outcome {
    let op = sum_params(rng);
    let [a, output] = repeated(rng, shapes);
    Bench::new(work, rng, a, output)
        .compare_elementwise(|x, y| (scalar::KERNELS.add)(&op, x, y), |x, y| (table.add)(&op, x, y))
}

pub(super) fn mul(table: &Kernels, work: &mut Workspace, rng: &mut Rng, shapes: &mut Shapes) -> Outcome {
    let (multiplier, shift) = rescale_params(rng, 16);
    let op = Mul { zeros: [zero(rng), zero(rng)], multiplier, shift, range: range(rng) };
    let [a, output] = repeated(rng, shapes);
    Bench::new(work, rng, a, output)
        .compare_elementwise(|x, y| (scalar::KERNELS.mul)(&op, x, y), |x, y| (table.mul)(&op, x, y))
}

pub(super) fn lut(table: &Kernels, work: &mut Workspace, rng: &mut Rng, shapes: &mut Shapes) -> Outcome {
    let mut values = [0; 256];
    fill(rng, &mut values);
    let op = Lut { table: &values };
    let [_, output] = repeated(rng, shapes);
    Bench::new(work, rng, 0, output)
        .compare_elementwise(|_, y| (scalar::KERNELS.lut)(&op, y), |_, y| (table.lut)(&op, y))
}

pub(super) fn max_pool(table: &Kernels, work: &mut Workspace, rng: &mut Rng, shapes: &mut Shapes) -> Outcome {
    let op = pool(rng, shapes);
    Bench::new(work, rng, op.input.len(), op.output.len()).compare(
        |_, x, y| (scalar::KERNELS.max_pool)(&op, x, y),
        |_, x, y, _| (table.max_pool)(&op, x, y),
        |_| 0,
    )
}

pub(super) fn avg_pool(table: &Kernels, work: &mut Workspace, rng: &mut Rng, shapes: &mut Shapes) -> Outcome {
    let pool = pool(rng, shapes);
    let n = if rng.one_in(2) { 1 } else { pool.window.taps() };
    let (mut multipliers, mut shifts) = ([0; 64], [0; 64]);
    for (multiplier, shift) in multipliers.iter_mut().zip(&mut shifts) {
        (*multiplier, *shift) = rescale_params(rng, 7 + pool.window.taps().ilog2());
    }
    let (multipliers, shifts) = (&multipliers[..n], &shifts[..n]);
    let op = AvgPool { pool, input_zero: zero(rng), multipliers, shifts, range: range(rng) };
    Bench::new(work, rng, pool.input.len(), pool.output.len()).compare(
        |_, x, y| (scalar::KERNELS.avg_pool)(&op, x, y),
        |_, x, y, _| (table.avg_pool)(&op, x, y),
        |_| 0,
    )
}

pub(super) fn softmax(table: &Kernels, work: &mut Workspace, rng: &mut Rng, shapes: &mut Shapes) -> Outcome {
    let op = Softmax {
        len: rng.pick(&[1, 2, 3, 10, 16, 31, 64, 100, 1000]),
        step: rng.pick(&[0, 1, 900, 6000, 94_548, 1 << 24]),
    };
    let rows = 1 + rng.below(5);
    *shapes = Shapes { input: Shape::new(1, rows, op.len), output: Shape::new(1, rows, op.len), window: None };
    Bench::new(work, rng, 0, rows * op.len)
        .compare_elementwise(|_, y| (scalar::KERNELS.softmax)(&op, y), |_, y| (table.softmax)(&op, y))
}

/// A pool's shapes; every window holds at least one pixel of the image.
fn pool(rng: &mut Rng, shapes: &mut Shapes) -> MaxPool {
    loop {
        let (window, input, output) = geometry(rng, |_, channels| channels);
        if window.taps() <= 64 && window.never_empty(input, output) {
            *shapes = Shapes { input, output, window: Some(window) };
            return MaxPool { input, output, window };
        }
    }
}

/// Lengths of a repeated operand and of an output: equal, one pixel, or one value.
fn repeated(rng: &mut Rng, shapes: &mut Shapes) -> [usize; 2] {
    let (pixels, channels) = (1 + rng.below(100), rng.pick(&WIDTHS));
    *shapes = Shapes { input: Shape::new(1, pixels, channels), output: Shape::new(1, pixels, channels), window: None };
    [rng.pick(&[pixels * channels, pixels * channels, channels, 1]), pixels * channels]
}

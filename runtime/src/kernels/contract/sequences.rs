//! The cases of the ops of text networks: parameters from a random generator, run by scalar and by the table under test.

use super::bench::{Bench, Outcome, Params, fill, range, rescale_params, zero};
use super::cases::WIDTHS;
use super::{Arrays, ROOM, Rng, Shapes, Workspace};
use crate::kernels::{Kernels, cast, scalar};
use crate::ops::{Add16, Attention, Embed, LayerNorm, Mean, Narrow, Qkv};
use crate::tensor::{Element, Shape, Values, ValuesMut};

/// Most rows of a case.
const ROWS: usize = 40;
/// Most channels of a row.
const WIDTH: usize = 160;

pub(super) fn embed(table: &Kernels, work: &mut Workspace, rng: &mut Rng, shapes: &mut Shapes) -> Outcome {
    const VOCABULARY: usize = 9;
    let (rows, width) = (1 + rng.below(ROWS), rng.pick(&WIDTHS));
    *shapes = sequence(rows, 1, width);
    let Arrays { weights, weights_len, .. } = &mut work.arrays;
    fill(rng, &mut weights[0]);
    weights[1] = weights[0];
    *weights_len = [(VOCABULARY + ROWS) * width; 2];
    let multipliers: [i16; ROWS] = core::array::from_fn(|_| rng.word() as i16);
    let shift = rng.pick(&[1, 6, 7, 8, 16, 22]);
    let (word_multipliers, position_multipliers) = (&multipliers[..VOCABULARY], &multipliers[..]);
    let run = |kernels: &Kernels, weights: &[i8], x: &[i8], y: &mut [i8]| {
        let (words, positions) = weights.split_at(VOCABULARY * width);
        let op = Embed { width, words, positions, word_multipliers, position_multipliers, shift };
        (kernels.embed)(&op, cast::u16s(x), cast::i16s_mut(y));
    };
    Bench::new(work, rng, 2 * rows, 2 * rows * width).even().compare(
        |w, x, y| run(&scalar::KERNELS, w.weights, x, y),
        |w, x, y, _| run(table, w.weights, x, y),
        |_| 0,
    )
}

pub(super) fn layer_norm(table: &Kernels, work: &mut Workspace, rng: &mut Rng, shapes: &mut Shapes) -> Outcome {
    let width = rng.pick(&[1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 64, 100, 128, WIDTH]);
    let rows = 1 + rng.below(8);
    let [from, to] = [(); 2].map(|()| rng.pick(&[Element::Int8, Element::Int16]));
    *shapes = sequence(rows, width, width);
    let usual = rng.below(3) > 0;
    // Gains lie where other ops have multipliers.
    let Arrays { bias, multiplier: gains, channels_len, .. } = &mut work.arrays;
    gains[..width].fill_with(|| rng.word() as i32 >> if usual { 8 } else { 0 });
    bias[0][..width].fill_with(|| rng.word() as i32 >> if usual { 16 } else { 0 });
    bias[1] = bias[0];
    *channels_len = [width; 2];
    let right = if usual { rng.pick(&[4, 6, 8, 10]) } else { 1 + rng.below(30) as u8 };
    let eps = rng.pick(&[1, 1, 1, 1000, 1 << 30, LayerNorm::MAX_EPS]);
    let run = |kernels: &Kernels, w: Params<'_>, x: &[i8], y: &mut [i8]| {
        let op = LayerNorm { eps, gains: w.channels.multiplier, bias: w.channels.bias, right };
        (kernels.layer_norm)(&op, Values::new(from, x), ValuesMut::new(to, y));
    };
    Bench::new(work, rng, from.bytes() * rows * width, to.bytes() * rows * width).even().compare(
        |w, x, y| run(&scalar::KERNELS, w, x, y),
        |w, x, y, _| run(table, w, x, y),
        |_| 0,
    )
}

pub(super) fn attention(table: &Kernels, work: &mut Workspace, rng: &mut Rng, shapes: &mut Shapes) -> Outcome {
    let (rows, heads, size) = loop {
        let (rows, heads) = (1 + rng.below(ROWS), rng.pick(&[1, 1, 2, 3, 4]));
        let size = rng.pick(&[1, 2, 5, 8, 16, 24, 31, 32, 33, 64]);
        if 3 * rows * heads * size <= ROOM {
            break (rows, heads, size);
        }
    };
    *shapes = sequence(rows, 3 * heads * size, heads * size);
    // From all weights alike to one that takes all.
    let (multiplier, _) = rescale_params(rng, 0);
    let shift = if rng.one_in(8) { (1 + rng.below(30) + 32 * rng.below(8)) as u8 } else { 1 + rng.below(12) as u8 };
    let (value, _) = rescale_params(rng, 0);
    let right = if rng.one_in(8) { 1 + rng.below(20) } else { 10 + rng.below(4) } as u8;
    let op = Attention { rows, heads, size, score: (multiplier, shift), value: (value, right), range: range(rng) };
    let n = op.rows * op.width();
    Bench::new(work, rng, 3 * n, n).compare(
        |_, x, y| {
            let mut scratch = Scratch([0; 4 * (ROWS + 64)]);
            (scalar::KERNELS.attention)(&op, thirds(x, n), y, &mut scratch.0);
        },
        |_, x, y, s| (table.attention)(&op, thirds(x, n), y, s),
        |_| (table.isa.scratch().attention)(&op),
    )
}

/// What scalar needs for the longest case.
#[repr(align(16))]
struct Scratch([u8; 4 * (ROWS + 64)]);

/// Queries, keys and values one after another.
fn thirds(x: &[i8], n: usize) -> Qkv<'_> {
    let (q, rest) = x.split_at(n.min(x.len()));
    let (k, v) = rest.split_at(n.min(rest.len()));
    [q, k, v]
}

pub(super) fn mean(table: &Kernels, work: &mut Workspace, rng: &mut Rng, shapes: &mut Shapes) -> Outcome {
    let (rows, width, from) = (1 + rng.below(ROWS), rng.pick(&WIDTHS), rng.pick(&[Element::Int8, Element::Int16]));
    *shapes = Shapes { input: Shape::new(rows, 1, width), output: Shape::new(1, 1, width), window: None };
    let (mut multipliers, mut shifts) = ([0; ROWS], [0; ROWS]);
    for (multiplier, shift) in multipliers.iter_mut().zip(&mut shifts) {
        (*multiplier, *shift) = rescale_params(rng, 7 * from.bytes() as u32 + rows.ilog2());
    }
    let op = Mean { rows, input_zero: zero(rng), multipliers: &multipliers, shifts: &shifts, range: range(rng) };
    Bench::new(work, rng, from.bytes() * rows * width, width).even().compare(
        |_, x, y| (scalar::KERNELS.mean)(&op, Values::new(from, x), y),
        |_, x, y, _| (table.mean)(&op, Values::new(from, x), y),
        |_| 0,
    )
}

pub(super) fn add16(table: &Kernels, work: &mut Workspace, rng: &mut Rng, shapes: &mut Shapes) -> Outcome {
    let (rows, width, from) = (1 + rng.below(ROWS), rng.pick(&WIDTHS), rng.pick(&[Element::Int8, Element::Int16]));
    *shapes = sequence(rows, width, width);
    let shift = rng.pick(&[1, 8, 15, 15, 16, 22]);
    let bias = if rng.one_in(8) { rng.pick(&[65535, -65535]) } else { (1 << shift >> 1).min(65535) };
    let mut multiplier = || (rng.word() as i16).max(-32767);
    let op = Add16 { multipliers: [multiplier(), multiplier()], bias, shift };
    Bench::new(work, rng, from.bytes() * rows * width, 2 * rows * width).even().compare(
        |_, x, y| (scalar::KERNELS.add16)(&op, Values::new(from, x), cast::i16s_mut(y)),
        |_, x, y, _| (table.add16)(&op, Values::new(from, x), cast::i16s_mut(y)),
        |_| 0,
    )
}

pub(super) fn narrow(table: &Kernels, work: &mut Workspace, rng: &mut Rng, shapes: &mut Shapes) -> Outcome {
    let (rows, width) = (1 + rng.below(ROWS), rng.pick(&WIDTHS));
    *shapes = sequence(rows, width, width);
    let (multiplier, shift) = rescale_params(rng, 15);
    let op = Narrow { multiplier, shift, range: range(rng) };
    Bench::new(work, rng, 2 * rows * width, rows * width).even().compare(
        |_, x, y| (scalar::KERNELS.narrow)(&op, cast::i16s(x), y),
        |_, x, y, _| (table.narrow)(&op, cast::i16s(x), y),
        |_| 0,
    )
}

fn sequence(rows: usize, from: usize, to: usize) -> Shapes {
    Shapes { input: Shape::new(rows, 1, from), output: Shape::new(rows, 1, to), window: None }
}

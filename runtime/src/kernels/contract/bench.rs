//! What the cases share: random parameters, packed weights, and the comparison of two outputs.

use core::ops::Range;

use super::cases::WIDTHS;
use super::guard::Edge;
use super::{Arrays, Difference, MARGIN, ROOM, Rng, SCRATCH, Workspace};
use crate::kernels::{Isa, Layout, Order};
use crate::ops::{Add, Conv2d, Depthwise, Linear, Window};
use crate::quant::{Channels, MIN_MULTIPLIER, Output};
use crate::tensor::Shape;

pub(super) type Outcome = Result<(), Difference>;

/// What lies before and after slices, in one run and the other: values that sums, minima and maxima are all sensitive to.
const OUTSIDE: [i8; 2] = [i8::MIN, i8::MAX];

/// Weights and channel arrays of one side of a comparison.
#[derive(Clone, Copy)]
pub(super) struct Params<'a> {
    pub(super) weights: &'a [i8],
    pub(super) channels: Channels<'a>,
}

impl<'a> Params<'a> {
    pub(super) fn conv2d(self, op: Conv2d<'a>, layout: Layout) -> Conv2d<'a> {
        Conv2d { layout, weights: self.weights, channels: self.channels, ..op }
    }

    pub(super) fn depthwise(self, op: Depthwise<'a>) -> Depthwise<'a> {
        Depthwise { weights: self.weights, channels: self.channels, ..op }
    }

    pub(super) fn linear(self, op: Linear<'a>, layout: Layout) -> Linear<'a> {
        Linear { layout, weights: self.weights, channels: self.channels, ..op }
    }
}

impl Arrays {
    /// What the table under test is given (0), or scalar (1).
    fn of(&self, side: usize) -> Params<'_> {
        let n = self.channels_len[side];
        Params {
            weights: &self.weights[side][..self.weights_len[side]],
            channels: Channels {
                bias: &self.bias[side][..n],
                multiplier: &self.multiplier[..n],
                shift: &self.shift[..n],
            },
        }
    }

    /// Changes what lies after them.
    fn surround(&mut self, outside: i8) {
        let ([weights, _], [n, _]) = (self.weights_len, self.channels_len);
        self.weights[0][weights..].fill(outside);
        self.bias[0][n..].fill(outside as i32);
        self.multiplier[n..].fill(outside as i32);
        self.shift[n..].fill(outside as u8);
    }
}

/// Buffers of one case: an input and two equal outputs, at odd places, among noise.
pub(super) struct Bench<'a> {
    work: &'a mut Workspace,
    input: Range<usize>,
    output: Range<usize>,
}

impl<'a> Bench<'a> {
    /// Fills the buffers for an input and an output of these lengths.
    pub(super) fn new(work: &'a mut Workspace, rng: &mut Rng, input: usize, output: usize) -> Self {
        let [at, to] = [MARGIN + rng.pick(&[0, 0, 16, 1, 3, 5]), MARGIN + rng.pick(&[0, 0, 1, 2, 7])];
        fill(rng, &mut work.input);
        // An elementwise op reads its operand from the output.
        fill(rng, &mut work.original);
        Bench { work, input: at..at + input, output: to..to + output }
    }

    /// The same with buffers that begin at multiples of two, for elements of 16 bits.
    pub(super) fn even(mut self) -> Self {
        for range in [&mut self.input, &mut self.output] {
            *range = (range.start & !1)..(range.start & !1) + range.len();
        }
        self
    }

    /// Runs both; the one under test also with buffers that are too short, which it must leave alone.
    pub(super) fn compare(
        self,
        expected: impl Fn(Params, &[i8], &mut [i8]),
        actual: impl Fn(Params, &[i8], &mut [i8], &mut [u8]),
        scratch: impl Fn(Params) -> usize,
    ) -> Outcome {
        let Workspace { scratch: room, input, original, actual: output, arrays, .. } = &mut *self.work;
        let own = arrays.of(0);
        let bytes = scratch(own);
        if bytes > SCRATCH {
            return Err(Difference::Scratch { bytes });
        }
        let (room, input) = (&mut room[MARGIN..][..bytes], &input[self.input.clone()]);
        let Range { start, end } = self.output;
        *output = *original;
        actual(own, input, &mut output[start..end - 1], room);
        actual(own, &input[1..], &mut output[start..end], room);
        if bytes > 0 {
            actual(own, input, &mut output[start..end], &mut room[..bytes - 1]);
        }
        if output != original {
            return Err(Difference::Careless);
        }
        self.run(bytes, expected, actual)
    }

    /// The same for an op that works in place and takes any length.
    pub(super) fn compare_elementwise(
        self,
        expected: impl Fn(&[i8], &mut [i8]),
        actual: impl Fn(&[i8], &mut [i8]),
    ) -> Outcome {
        self.run(0, |_, x, y| expected(x, y), |_, x, y, _| actual(x, y))
    }

    /// Runs both on buffers of the right sizes, the one under test among several surroundings.
    fn run(
        self,
        bytes: usize,
        expected: impl Fn(Params, &[i8], &mut [i8]),
        actual: impl Fn(Params, &[i8], &mut [i8], &mut [u8]),
    ) -> Outcome {
        let Bench { work, input: from, output: to } = self;
        let Workspace { scratch, input, original, expected: wanted, actual: output, arrays, guards } = work;
        *wanted = *original;
        expected(arrays.of(1), &input[from.clone()], &mut wanted[to.clone()]);
        let scratch = &mut scratch[..bytes + 2 * MARGIN];
        for outside in OUTSIDE {
            arrays.surround(outside);
            *output = *original;
            for (buffer, inside) in [(&mut *input, &from), (&mut *wanted, &to), (&mut *output, &to)] {
                buffer[inside.start - MARGIN..inside.start].fill(outside);
                buffer[inside.end..inside.end + MARGIN].fill(outside);
            }
            scratch.fill(outside as u8);
            let room = &mut scratch[MARGIN..][..bytes];
            actual(arrays.of(0), &input[from.clone()], &mut output[to.clone()], room);
            same(wanted, output, &to).map_err(|difference| match difference {
                // It did the right thing among others.
                Difference::Byte { at, .. } if outside != OUTSIDE[0] => Difference::Depends { at },
                difference => difference,
            })?;
            let (before, rest) = scratch.split_at(MARGIN);
            if before.iter().chain(&rest[bytes..]).any(|&v| v != outside as u8) {
                return Err(Difference::Outside);
            }
        }
        if let Some(guards) = guards {
            for edge in [Edge::End, Edge::Start] {
                let buffers = [&input[from.clone()], &original[to.clone()]];
                let output = guards.run(edge, arrays.of(0), buffers, bytes, &actual);
                same(&wanted[to.clone()], output, &(0..to.len()))?;
            }
        }
        Ok(())
    }
}

/// Compares whole buffers; `output` is where they may have changed.
fn same(expected: &[i8], actual: &[i8], output: &Range<usize>) -> Outcome {
    match expected.iter().zip(actual).position(|(e, a)| e != a) {
        None => Ok(()),
        Some(i) if output.contains(&i) => {
            Err(Difference::Byte { at: i - output.start, expected: expected[i], actual: actual[i] })
        }
        Some(_) => Err(Difference::Outside),
    }
}

/// The table's own layout, and another one for scalar to read.
pub(super) fn layouts(isa: Isa) -> [Layout; 2] {
    let foreign = Layout { n: 3, k: 5, order: Order::NMinor, input_offset: 128 };
    [isa.layout(), if isa.layout() == Layout::PLAIN { foreign } else { Layout::PLAIN }]
}

/// Random or extreme values.
pub(super) fn fill(rng: &mut Rng, values: &mut [i8]) {
    let constant = rng.pick(&[None, None, None, None, None, None, Some(-128), Some(127), Some(0)]);
    for v in values {
        *v = constant.unwrap_or_else(|| rng.byte());
    }
}

/// Weights of `out` channels with `[rows, row length]` products, packed in both layouts, with biases, multipliers and shifts.
pub(super) fn pack(work: &mut Workspace, rng: &mut Rng, layouts: [Layout; 2], out: usize, [rows, row_len]: [usize; 2]) {
    let extreme = rng.pick(&[None, None, None, None, Some(127), Some(-127)]);
    // A table may have a faster way for layers without any left shift or clamp: those are the usual ones.
    let usual = rng.one_in(2);
    let arrays = &mut work.arrays;
    for (side, layout) in layouts.iter().enumerate() {
        arrays.weights_len[side] = layout.weight_bytes(out, rows, row_len);
        arrays.channels_len[side] = layout.padded_channels(out);
    }
    arrays.weights.as_flattened_mut().fill(0);
    arrays.bias.as_flattened_mut().fill(0);
    arrays.multiplier.fill(MIN_MULTIPLIER);
    arrays.shift.fill(1);
    for o in 0..out {
        // Mostly sums of usual size; now and then one that wraps.
        let bias = if rng.one_in(16) { rng.word() as i32 } else { rng.byte() as i32 * (rows * row_len) as i32 * 16 };
        let mut total = 0i32;
        for row in 0..rows {
            for i in 0..row_len {
                let weight = extreme.unwrap_or_else(|| rng.byte().max(-127));
                total = total.wrapping_add(weight as i32);
                for (layout, weights) in layouts.iter().zip(&mut arrays.weights) {
                    layout.put(weights, [rows, row_len], [o, row, i], weight);
                }
            }
        }
        for (layout, biases) in layouts.iter().zip(&mut arrays.bias) {
            biases[o] = bias.wrapping_sub(total.wrapping_mul(layout.input_offset as i32));
        }
        (arrays.multiplier[o], arrays.shift[o]) = rescale_params(rng, 13 + (rows * row_len).ilog2());
        if usual {
            arrays.shift[o] = (arrays.shift[o] & 31).min(22);
        }
    }
}

/// Multiplier and shift that bring sums of about `bits` bits into the range of a byte; at times any that the contract allows.
pub(super) fn rescale_params(rng: &mut Rng, bits: u32) -> (i32, u8) {
    let multiplier = match rng.below(8) {
        0 => MIN_MULTIPLIER,
        1 => i32::MAX,
        _ => MIN_MULTIPLIER | (rng.word() >> 2) as i32,
    };
    if rng.one_in(8) {
        return (multiplier, (1 + rng.below(30) + 32 * rng.below(8)) as u8);
    }
    let left = rng.below(3);
    let right = bits as usize + left + rng.below(3);
    (multiplier, (right.saturating_sub(9).clamp(1, 30) + 32 * left) as u8)
}

/// Parameters of a sum of two tensors.
pub(super) fn sum_params(rng: &mut Rng) -> Add {
    let mut multiplier = || match rng.below(6) {
        0 => 32767,
        1 => -32767,
        _ => (rng.word() as i16).max(-32767),
    };
    let multipliers = [multiplier(), multiplier()];
    let shift = rng.pick(&[15, 16, 16, 16, 17, 1, 8, 22]);
    let bias =
        if rng.one_in(8) { rng.pick(&[1 << 30, -(1 << 30)]) } else { (rng.byte() as i32) << shift | 1 << (shift - 1) };
    let Output { lo, hi, .. } = range(rng);
    Add { multipliers, bias, shift, lo, hi }
}

/// A zero point.
pub(super) fn zero(rng: &mut Rng) -> i8 {
    let any = rng.byte();
    rng.pick(&[0, 0, -128, 127, any])
}

/// Zero point and clamp.
pub(super) fn range(rng: &mut Rng) -> Output {
    let [zero, a, b] = [zero(rng), rng.byte(), rng.byte()];
    let all = (i8::MIN, i8::MAX);
    let (lo, hi) = rng.pick(&[all, all, (zero, i8::MAX), (a.min(b), a.max(b))]);
    Output { zero, lo, hi }
}

/// A window and shapes that belong to it and fit the workspace; `out` says how many channels come out of how many.
pub(super) fn geometry(rng: &mut Rng, out: impl Fn(&mut Rng, usize) -> usize) -> (Window, Shape, Shape) {
    loop {
        let square = rng.one_in(2);
        let mut pair = |choices: &[usize]| {
            let rows = rng.pick(choices);
            [rows, if square { rows } else { rng.pick(choices) }]
        };
        let kernel = pair(&[1, 1, 2, 3, 3, 3, 4, 5, 7]);
        let stride = pair(&[1, 1, 1, 2, 2, 3]);
        let dilation = pair(&[1, 1, 1, 1, 2, 3]);
        let reach = [0, 1].map(|axis| (kernel[axis] - 1) * dilation[axis]);
        let pad = reach.map(|reach| rng.below(reach + 1));
        let after = reach.map(|reach| rng.below(reach + 1));
        let window = Window { kernel, stride, dilation, pad };
        let input = match rng.below(8) {
            0 => Shape::new(16, 32, 3),
            1 => Shape::new(8, 8, 64),
            _ => Shape::new(1 + rng.below(12), 1 + rng.below(20), rng.pick(&WIDTHS)),
        };
        let channels = out(rng, input.channels);
        if let Some(output) = window.output(input, after, channels)
            && window.relates(input, output)
            && input.len().max(output.len()) <= ROOM
        {
            return (window, input, output);
        }
    }
}

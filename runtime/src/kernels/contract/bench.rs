//! What the cases share: random parameters, packed weights, and the comparison of two outputs.

use super::cases::WIDTHS;
use super::{ACTIVATION, CHANNELS, Difference, Rng, WEIGHTS, Workspace};
use crate::kernels::{Isa, Layout, Order};
use crate::ops::{Add, Conv2d, Depthwise, Linear, Window};
use crate::quant::{Channels, MIN_MULTIPLIER, Output};
use crate::tensor::Shape;

pub(super) type Outcome = Result<(), Difference>;

/// Room left before and after an output, and for odd alignments.
const MARGIN: usize = 32;

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

/// Buffers of one case: an input and two equal outputs, at odd places, among noise.
pub(super) struct Bench<'a> {
    work: &'a mut Workspace,
    noise: Rng,
    input: core::ops::Range<usize>,
    output: core::ops::Range<usize>,
}

impl<'a> Bench<'a> {
    /// Fills the buffers for an input and an output of these lengths.
    pub(super) fn new(work: &'a mut Workspace, rng: &mut Rng, input: usize, output: usize) -> Self {
        let [at, to] = [rng.pick(&[0, 0, 16, 1, 3, 5]), MARGIN / 2 + rng.pick(&[0, 0, 1, 2, 7])];
        fill(rng, &mut work.input);
        let mut bench = Bench { work, noise: Rng::new(rng.word()), input: at..at + input, output: to..to + output };
        // An elementwise op reads its operand from the output, so the noise must have the values of operands.
        fill(&mut bench.noise.clone(), &mut bench.work.expected);
        fill(&mut bench.noise, &mut bench.work.actual);
        bench
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
        let work = self.work;
        let [own, other] = [0, 1].map(|i| Params {
            weights: &work.weights[i],
            channels: Channels { bias: &work.bias[i], multiplier: &work.multiplier, shift: &work.shift },
        });
        let bytes = scratch(own);
        let input = &work.input[self.input];
        let Some(scratch) = work.scratch.get_mut(..bytes) else { return Err(Difference::Scratch { bytes }) };
        scratch.fill(0xa5);
        let [start, end] = [self.output.start, self.output.end];
        actual(own, input, &mut work.actual[start..end - 1], scratch);
        actual(own, &input[1..], &mut work.actual[start..end], scratch);
        if bytes > 0 {
            actual(own, input, &mut work.actual[start..end], &mut scratch[..bytes - 1]);
        }
        if work.actual != work.expected {
            return Err(Difference::Careless);
        }
        expected(other, input, &mut work.expected[start..end]);
        actual(own, input, &mut work.actual[start..end], scratch);
        same(&work.expected, &work.actual, start..end)
    }

    /// The same for an op that works in place and takes any length.
    pub(super) fn compare_elementwise(
        self,
        expected: impl Fn(&[i8], &mut [i8]),
        actual: impl Fn(&[i8], &mut [i8]),
    ) -> Outcome {
        let work = self.work;
        expected(&work.input[self.input.clone()], &mut work.expected[self.output.clone()]);
        actual(&work.input[self.input], &mut work.actual[self.output.clone()]);
        same(&work.expected, &work.actual, self.output)
    }
}

/// Compares whole buffers; `output` is where they may have changed.
fn same(expected: &[i8], actual: &[i8], output: core::ops::Range<usize>) -> Outcome {
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
    work.weights = [[0; WEIGHTS]; 2];
    work.bias = [[0; CHANNELS]; 2];
    work.multiplier = [MIN_MULTIPLIER; CHANNELS];
    work.shift = [1; CHANNELS];
    for o in 0..out {
        // Mostly sums of usual size; now and then one that wraps.
        let bias = if rng.one_in(16) { rng.word() as i32 } else { rng.byte() as i32 * (rows * row_len) as i32 * 16 };
        let mut total = 0i32;
        for row in 0..rows {
            for i in 0..row_len {
                let weight = extreme.unwrap_or_else(|| rng.byte().max(-127));
                total = total.wrapping_add(weight as i32);
                for (layout, weights) in layouts.iter().zip(&mut work.weights) {
                    layout.put(weights, [rows, row_len], [o, row, i], weight);
                }
            }
        }
        for (layout, biases) in layouts.iter().zip(&mut work.bias) {
            biases[o] = bias.wrapping_sub(total.wrapping_mul(layout.input_offset as i32));
        }
        (work.multiplier[o], work.shift[o]) = rescale_params(rng, 13 + (rows * row_len).ilog2());
        if usual {
            work.shift[o] = (work.shift[o] & 31).min(22);
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
    const ROOM: usize = ACTIVATION - 2 * MARGIN;
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

//! Random networks of the runtime's ops, as model files: any seed gives one, the same on every machine.

use limbeck_runtime::format::emit::{self, File, PortSpec, SelfTestSpec, Step, TestInput};
use limbeck_runtime::ops::{
    Add, AvgPool, Concat, Conv2d, Depthwise, Linear, Lut, MaxPool, Mul, Op, Pad, Sharing, Slice, Softmax, Window,
};
use limbeck_runtime::quant::{Channels, MIN_MULTIPLIER, Output};
use limbeck_runtime::{AlignedBytes, Certificate, Isa, Kernels, Layout, Model, Rng, Session, Shape, Tensor};

/// Numbers that an op refers to.
#[derive(Clone, Debug, Default)]
struct Constants {
    weights: Vec<i8>,
    bias: Vec<i32>,
    multiplier: Vec<i32>,
    shift: Vec<u8>,
    table: Option<Box<[i8; 256]>>,
}

/// A network under construction.
struct Network {
    rng: Rng,
    layout: Layout,
    tensors: Vec<Tensor>,
    end: usize,
    steps: Vec<(Kind, Vec<u16>, u16, Constants)>,
}

/// An op without what it borrows.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Conv2d(Window, Option<Add>),
    Depthwise(Window),
    Linear,
    Add(Add),
    Mul,
    Lut,
    MaxPool(Window),
    AvgPool(Window),
    Softmax,
    Concat(u8),
    Pad([usize; 3]),
    Slice([usize; 3], [usize; 3]),
}

/// The network of a seed, its weights in this order, with the digest that scalar computes for one input as a self-test.
pub fn random(seed: u32, layout: Layout) -> AlignedBytes {
    let mut network = Network { rng: Rng::new(seed), layout, tensors: Vec::new(), end: 0, steps: Vec::new() };
    let rng = &mut network.rng;
    let shape = Shape::new(1 + rng.below(9), 1 + rng.below(9), 1 + rng.below(9));
    let ops = 1 + rng.below(8);
    network.place(shape);
    while network.steps.len() < ops {
        network.grow();
    }
    let file = network.file(&[]);
    let model = Model::parse(&file).unwrap();
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let scalar = Kernels::for_isa(Isa::Scalar).unwrap();
    let mut session = Session::with_kernels(&model, &mut arena, scalar).unwrap();
    let mut rng = Rng::new(seed);
    session.input_mut(0).fill_with(|| rng.byte());
    session.run();
    network.file(&[SelfTestSpec { digest: session.digest(), input: TestInput::Seed(seed) }])
}

/// A model of one op whose inputs are the model's inputs. What must lie where the output does lies there.
///
/// # Errors
/// If the op does not keep the rules.
pub fn one_op(op: Op<'_>, inputs: &[Tensor], output: Tensor) -> Result<AlignedBytes, emit::EmitError> {
    let layout = match op {
        Op::Conv2d(op) => op.layout,
        Op::Linear(op) => op.layout,
        _ => Layout::PLAIN,
    };
    let mut end = output.bytes().next_multiple_of(16);
    let tensors = inputs.iter().enumerate().map(|(i, &tensor)| {
        let offset = if op.sharing() == Sharing::Must(i) { 0 } else { end };
        end = end.max((offset + tensor.bytes()).next_multiple_of(16));
        Tensor { offset, ..tensor }
    });
    let mut tensors: Vec<Tensor> = tensors.collect();
    tensors.push(Tensor { offset: 0, ..output });
    let numbers: Vec<u16> = (0..inputs.len() as u16).collect();
    let step =
        Step { op: exact(op), inputs: &numbers, output: inputs.len() as u16, scratch_offset: 0, scratch_bytes: 0 };
    write(layout, &tensors, &[step], end, &numbers)
}

/// A model of some ops in plain layout, from its first tensor to its last.
///
/// # Panics
/// If it does not keep the rules.
pub fn file(tensors: &[Tensor], ops: &[Step<'_>], arena_bytes: usize) -> AlignedBytes {
    write(Layout::PLAIN, tensors, ops, arena_bytes, &[0]).unwrap()
}

fn write(
    layout: Layout,
    tensors: &[Tensor],
    ops: &[Step<'_>],
    arena_bytes: usize,
    inputs: &[u16],
) -> Result<AlignedBytes, emit::EmitError> {
    let port = |tensor| PortSpec { tensor, scale: 1.0, zero: 0, pixels: None };
    emit::to_bytes(&File {
        layout,
        arena_bytes,
        tensors,
        ops,
        inputs: &inputs.iter().map(|&i| port(i)).collect::<Vec<_>>(),
        outputs: &[port(tensors.len() as u16 - 1)],
        labels: "",
        metadata: "",
        vocabulary: &[],
        certificate: Certificate::default(),
        self_tests: &[],
    })
}

/// An op whose slices are just as long as a file has them.
fn exact(op: Op<'_>) -> Op<'_> {
    fn cut(channels: Channels<'_>, n: usize) -> Channels<'_> {
        let Channels { bias, multiplier, shift } = channels;
        Channels { bias: &bias[..n], multiplier: &multiplier[..n], shift: &shift[..n] }
    }
    match op {
        Op::Conv2d(op) => {
            let bytes = op.layout.weight_bytes(op.output.channels, op.window.kernel[0], op.row_len());
            let channels = cut(op.channels, op.layout.padded_channels(op.output.channels));
            Op::Conv2d(Conv2d { weights: &op.weights[..bytes], channels, ..op })
        }
        Op::Linear(op) => {
            let bytes = op.layout.weight_bytes(op.outputs, 1, op.inputs);
            let channels = cut(op.channels, op.layout.padded_channels(op.outputs));
            Op::Linear(Linear { weights: &op.weights[..bytes], channels, ..op })
        }
        Op::Depthwise(op) => {
            let n = op.output.channels;
            let channels = cut(op.channels, n);
            Op::Depthwise(Depthwise { weights: &op.weights[..op.window.taps() * n], channels, ..op })
        }
        op => op,
    }
}

impl Network {
    fn place(&mut self, shape: Shape) -> u16 {
        self.tensors.push(Tensor::new(self.end, shape));
        self.end = (self.end + shape.len()).next_multiple_of(16);
        self.tensors.len() as u16 - 1
    }

    /// One more op on the last tensor, if what the dice say is possible there.
    fn grow(&mut self) {
        let last = self.tensors.len() as u16 - 1;
        let input = self.tensors[last as usize].shape;
        // Another tensor of the same shape, for ops on two.
        let twin = (0..last).rev().find(|&i| self.tensors[i as usize].shape == input);
        let window = self.window();
        let channels = 1 + self.rng.below(20);
        let after = [self.rng.below(2), self.rng.below(2)];
        let output = window.output(input, after, input.channels).filter(|&output| window.relates(input, output));
        let dense = |window: Window, output| window.never_empty(input, output);
        match (self.rng.below(12), output, twin) {
            (0, Some(output), _) => {
                let output = self.place(Shape { channels, ..output });
                self.weighted(Kind::Conv2d(window, None), last, output);
            }
            (1, _, Some(twin)) => {
                let residual = Some(self.sum());
                // In place: the result lies where the residual was.
                self.tensors.push(self.tensors[twin as usize]);
                self.weighted(Kind::Conv2d(Window::square(3, 1, 1), residual), last, last + 1);
                if let Some(step) = self.steps.last_mut() {
                    step.1.push(twin);
                }
            }
            (2, Some(output), _) => {
                let channels = input.channels * (1 + self.rng.below(2));
                let output = self.place(Shape { channels, ..output });
                self.weighted(Kind::Depthwise(window), last, output);
            }
            (3, ..) => {
                let output = self.place(Shape { channels, ..input });
                self.weighted(Kind::Linear, last, output);
            }
            (4, _, Some(twin)) => {
                let output = self.place(input);
                let sum = self.sum();
                self.push(Kind::Add(sum), vec![last, twin], output);
            }
            (5, _, Some(twin)) => {
                let output = self.place(input);
                self.push(Kind::Mul, vec![last, twin], output);
            }
            (6, ..) => {
                // In place or not.
                let output = if self.rng.one_in(2) { last } else { self.place(input) };
                self.push(Kind::Lut, vec![last], output);
            }
            (7, Some(output), _) if dense(window, output) => {
                let output = self.place(output);
                self.push(Kind::MaxPool(window), vec![last], output);
            }
            (8, Some(output), _) if dense(window, output) => {
                let output = self.place(output);
                self.push(Kind::AvgPool(window), vec![last], output);
            }
            (9, ..) => {
                let output = self.place(input);
                self.push(Kind::Softmax, vec![last], output);
            }
            (10, ..) => {
                let axis = self.rng.below(3) as u8;
                let mut sizes = input.sizes();
                sizes[axis as usize] *= 2;
                let output = self.place(Shape::new(sizes[0], sizes[1], sizes[2]));
                self.push(Kind::Concat(axis), vec![last, last], output);
            }
            _ => {
                let before = [0; 3].map(|_| self.rng.below(3));
                let [height, width, channels] = input.sizes();
                let padded = Shape::new(height + before[0] + 1, width + before[1], channels + before[2]);
                let output = self.place(padded);
                self.push(Kind::Pad(before), vec![last], output);
                let step = [1 + self.rng.below(2), 1 + self.rng.below(2), 1];
                let sliced = Shape::new(padded.height.div_ceil(step[0]), padded.width.div_ceil(step[1]), channels);
                let cut = self.place(sliced);
                self.push(Kind::Slice([0, 0, before[2]], step), vec![output], cut);
            }
        }
    }

    fn window(&mut self) -> Window {
        let rng = &mut self.rng;
        let kernel = [0; 2].map(|_| rng.pick(&[1, 1, 2, 3, 3, 5]));
        let stride = [0; 2].map(|_| rng.pick(&[1, 1, 2, 3]));
        let dilation = [0; 2].map(|_| rng.pick(&[1, 1, 1, 2]));
        let pad = [0, 1].map(|axis| rng.below((kernel[axis] - 1) * dilation[axis] + 1));
        Window { kernel, stride, dilation, pad }
    }

    fn sum(&mut self) -> Add {
        let multipliers = [0; 2].map(|_| (self.rng.word() as i16).max(-32767));
        Add { multipliers, bias: 1 << 15, shift: 16, lo: -100, hi: 127 }
    }

    fn push(&mut self, kind: Kind, inputs: Vec<u16>, output: u16) {
        let table = Some(Box::new([0; 256].map(|_| self.rng.byte())));
        let (multiplier, shift) = self.factors(if let Kind::AvgPool(w) = kind { w.taps() } else { 1 }, 8);
        self.steps.push((kind, inputs, output, Constants { table, multiplier, shift, ..Constants::default() }));
    }

    fn weighted(&mut self, kind: Kind, input: u16, output: u16) {
        let [from, to] = [input, output].map(|i| self.tensors[i as usize].shape.channels);
        let [rows, row_len] = match kind {
            Kind::Conv2d(window, _) => [window.kernel[0], window.kernel[1] * from],
            Kind::Depthwise(window) => [1, window.taps()],
            _ => [1, from],
        };
        let weights: Vec<i8> = (0..to * rows * row_len).map(|_| self.rng.byte().max(-127)).collect();
        let n = self.layout.padded_channels(to);
        let is_depthwise = matches!(kind, Kind::Depthwise(_));
        let offset = if is_depthwise { 0 } else { self.layout.input_offset as i32 };
        let mut bias: Vec<i32> = (0..to).map(|_| self.rng.byte() as i32 * 64).collect();
        let mut packed =
            if is_depthwise { weights.clone() } else { vec![0; self.layout.weight_bytes(to, rows, row_len)] };
        for (i, &weight) in weights.iter().enumerate() {
            let [o, row, k] = [i / row_len / rows, i / row_len % rows, i % row_len];
            bias[o] -= offset * weight as i32;
            if !is_depthwise {
                self.layout.put(&mut packed, [rows, row_len], [o, row, k], weight);
            }
        }
        let (mut multiplier, mut shift) = self.factors(to, 13 + (rows * row_len).ilog2());
        // The padding of the last panel.
        bias.resize(n, 0);
        multiplier.resize(n, MIN_MULTIPLIER);
        shift.resize(n, 1);
        let constants = Constants { weights: packed, bias, multiplier, shift, table: None };
        self.steps.push((kind, vec![input], output, constants));
    }

    /// Multipliers and shifts that bring sums of so many bits into a byte.
    fn factors(&mut self, n: usize, bits: u32) -> (Vec<i32>, Vec<u8>) {
        let left = (9u32.saturating_sub(bits)) as u8;
        let right = (bits.saturating_sub(8)).max(1) as u8;
        let multipliers = (0..n).map(|_| MIN_MULTIPLIER | (self.rng.word() >> 2) as i32).collect();
        (multipliers, vec![right | left << 5; n])
    }

    fn op<'a>(&self, kind: Kind, inputs: &[u16], output: u16, constants: &'a Constants) -> Op<'a> {
        let [input, output] = [inputs[0], output].map(|i| self.tensors[i as usize].shape);
        let Constants { weights, bias, multiplier, shift, table } = constants;
        let channels = Channels { bias, multiplier, shift };
        let (layout, range, input_zero) = (self.layout, Output::full(-3), 7);
        match kind {
            Kind::Conv2d(window, residual) => {
                Op::Conv2d(Conv2d { input, output, window, input_zero, layout, weights, channels, range, residual })
            }
            Kind::Depthwise(window) => {
                Op::Depthwise(Depthwise { input, output, window, input_zero, weights, channels, range })
            }
            Kind::Linear => {
                let (rows, inputs, outputs) = (input.pixels(), input.channels, output.channels);
                Op::Linear(Linear { rows, inputs, outputs, layout, weights, channels, range })
            }
            Kind::Add(add) => Op::Add(add),
            Kind::Mul => Op::Mul(Mul { zeros: [-5, 6], multiplier: multiplier[0], shift: 9, range }),
            Kind::Lut => Op::Lut(Lut { table: table.as_deref().unwrap() }),
            Kind::MaxPool(window) => Op::MaxPool(MaxPool { input, output, window }),
            Kind::AvgPool(window) => {
                let pool = MaxPool { input, output, window };
                Op::AvgPool(AvgPool { pool, input_zero, multipliers: multiplier, shifts: shift, range })
            }
            Kind::Softmax => Op::Softmax(Softmax { len: output.channels, step: 4000 }),
            Kind::Concat(axis) => Op::Concat(Concat { axis }),
            Kind::Pad(before) => Op::Pad(Pad { before, value: 11 }),
            Kind::Slice(start, step) => Op::Slice(Slice { start, step }),
        }
    }

    fn file(&self, self_tests: &[SelfTestSpec<'_>]) -> AlignedBytes {
        let ops: Vec<Step<'_>> = self
            .steps
            .iter()
            .map(|(kind, inputs, output, constants)| {
                let op = self.op(*kind, inputs, *output, constants);
                Step { op, inputs, output: *output, scratch_offset: 0, scratch_bytes: 0 }
            })
            .collect();
        let port = |tensor| PortSpec { tensor, scale: 1.0, zero: 0, pixels: None };
        emit::to_bytes(&File {
            layout: self.layout,
            arena_bytes: self.end,
            tensors: &self.tensors,
            ops: &ops,
            inputs: &[port(0)],
            outputs: &[port(self.tensors.len() as u16 - 1)],
            labels: "",
            metadata: "{}",
            vocabulary: &[],
            certificate: Certificate::default(),
            self_tests,
        })
        .unwrap()
    }
}

//! Helpers of the tests: a model of one op, and a small network of all of them.

pub(crate) mod text;

use std::vec::Vec;

use crate::format::emit::{self, EmitError, File, PortSpec, SelfTestSpec, Step, TestInput};
use crate::format::{Certificate, Tensor};
use crate::kernels::Layout;
use crate::ops::{
    Add, AllOps, AvgPool, Concat, Conv2d, Depthwise, Linear, Lut, MaxPool, Mul, Op, Pad, Sharing, Slice, Softmax,
    Window,
};
use crate::quant::{self, Channels, Output};
use crate::text::Normalization;
use crate::{AlignedBytes, Element, Kernels, LoadError, Model, OpRule, Rng, Session, Shape};

/// Multiplier and shift of one half: `q = (acc + 1) >> 1`.
pub(crate) const HALF: (i32, u8) = (1 << 30, 1 | 2 << 5);

/// Multiplier and shift of one.
pub(crate) const ONE: (i32, u8) = (1 << 30, 1 | 3 << 5);

impl From<Shape> for Tensor {
    fn from(shape: Shape) -> Tensor {
        int8(shape)
    }
}

/// A tensor of int8 anywhere.
pub(crate) fn int8(shape: Shape) -> Tensor {
    Tensor::new(0, shape)
}

/// A tensor of int16 anywhere.
pub(crate) fn int16(shape: Shape) -> Tensor {
    Tensor { element: Element::Int16, ..int8(shape) }
}

/// A tensor of tokens anywhere.
pub(crate) fn tokens(length: usize) -> Tensor {
    Tensor { element: Element::Token, ..int8(Shape::new(length, 1, 1)) }
}

/// The same as a sequence.
pub(crate) fn sequence(tensor: Tensor) -> Tensor {
    Tensor { sequence: true, ..tensor }
}

/// A model of one op whose inputs are the model's inputs, laid out one after another.
pub(crate) fn one_op<T: Copy + Into<Tensor>>(
    op: Op<'_>,
    inputs: &[T],
    output: impl Into<Tensor>,
) -> Result<AlignedBytes, EmitError> {
    let layout = match op {
        Op::Conv2d(op) => op.layout,
        Op::Linear(op) => op.layout,
        _ => Layout::PLAIN,
    };
    let mut end = 0;
    let mut place = |tensor: Tensor| {
        let offset = end;
        end = (offset + tensor.bytes()).next_multiple_of(16);
        Tensor { offset, ..tensor }
    };
    let to = place(output.into());
    let shared = if let Sharing::Must(i) = op.sharing() { i } else { usize::MAX };
    let mut tensors: Vec<Tensor> = inputs
        .iter()
        .map(|&tensor| tensor.into())
        .enumerate()
        .map(|(i, tensor)| if i == shared { Tensor { offset: to.offset, ..tensor } } else { place(tensor) })
        .collect();
    tensors.push(to);
    let numbers: Vec<u16> = (0..inputs.len() as u16).collect();
    let port = |tensor| PortSpec { tensor, scale: 1.0, zero: 0, pixels: None };
    let ports: Vec<_> = numbers.iter().map(|&i| port(i)).collect();
    let out = inputs.len() as u16;
    emit::to_bytes(&File {
        layout,
        arena_bytes: end,
        tensors: &tensors,
        ops: &[Step { op, inputs: &numbers, output: out, scratch_offset: 0, scratch_bytes: 0 }],
        inputs: &ports,
        outputs: &[port(out)],
        labels: "",
        metadata: "",
        vocabulary: &[],
        certificate: Certificate::default(),
        self_tests: &[],
    })
}

/// Whether a model of one op loads, and if not, by which rule.
pub(crate) fn check_op<T: Copy + Into<Tensor>>(
    op: Op<'_>,
    inputs: &[T],
    output: impl Into<Tensor>,
) -> Result<(), OpRule> {
    match one_op(op, inputs, output) {
        Ok(_) => Ok(()),
        Err(EmitError::Rejected(LoadError::Op { index: 0, rule })) => Err(rule),
        Err(error) => panic!("{error}"),
    }
}

/// What an op makes of its inputs, in bytes.
pub(crate) fn run_op<T: Copy + Into<Tensor>>(op: Op<'_>, inputs: &[(T, &[i8])], output: impl Into<Tensor>) -> Vec<i8> {
    let tensors: Vec<T> = inputs.iter().map(|&(tensor, _)| tensor).collect();
    let file = one_op(op, &tensors, output).unwrap();
    let model = Model::parse(&file).unwrap();
    let kernels = Kernels::best::<AllOps>(model.layout());
    let mut arena = AlignedBytes::zeroed(crate::arena_bytes(&model, kernels.isa));
    let mut session = Session::with_kernels(&model, &mut arena, kernels).unwrap();
    for (i, &(_, values)) in inputs.iter().enumerate() {
        session.input_mut(i).copy_from_slice(values);
    }
    session.run();
    session.output(0).to_vec()
}

/// The same in numbers, whatever size they have.
pub(crate) fn run_integers(op: Op<'_>, inputs: &[(Tensor, &[i32])], output: Tensor) -> Vec<i32> {
    let bytes: Vec<Vec<i8>> = inputs.iter().map(|&(tensor, values)| stored(tensor.element, values)).collect();
    let inputs: Vec<_> = inputs.iter().zip(&bytes).map(|(&(tensor, _), bytes)| (tensor, &bytes[..])).collect();
    let bytes = run_op(op, &inputs, output);
    match output.element {
        Element::Int8 => bytes.into_iter().map(i32::from).collect(),
        _ => bytes.chunks(2).map(|pair| i16::from_le_bytes([pair[0] as u8, pair[1] as u8]).into()).collect(),
    }
}

/// Numbers as the bytes of a tensor.
pub(crate) fn stored(element: Element, values: &[i32]) -> Vec<i8> {
    let bytes = values.iter().flat_map(|v| v.to_le_bytes().into_iter().take(element.bytes()));
    bytes.map(|byte| byte as i8).collect()
}

/// Multiplier and shift byte of a real factor.
pub(crate) fn fixed(factor: f64) -> (i32, u8) {
    let exponent = factor.log2().floor() as i32;
    let multiplier = (factor * f64::powi(2.0, 30 - exponent)).round().min(2_147_483_647.0) as i32;
    let (right, left) = ((-2 - exponent).max(1), (3 + exponent).max(0));
    (multiplier, quant::shift_byte(right as u8, left as u8).unwrap())
}

/// A random number with mean 0 and variance 1, almost normal.
pub(crate) fn normal(rng: &mut Rng) -> f64 {
    (0..12).map(|_| f64::from(rng.word()) / 4_294_967_296.0).sum::<f64>() - 6.0
}

/// Signal to noise, in decibels.
pub(crate) fn decibels(expected: &[f64], found: impl IntoIterator<Item = f64>) -> f64 {
    let noise: f64 = expected.iter().zip(found).map(|(e, f)| (e - f).powi(2)).sum();
    10.0 * (expected.iter().map(|e| e * e).sum::<f64>() / noise).log10()
}

/// A small network with every op of the list, one self-test of each kind, labels and metadata.
pub(crate) fn all_ops(layout: Layout) -> AlignedBytes {
    let mut rng = Rng::new(7);
    let image = Shape::new(8, 8, 3);
    let features = Shape::new(8, 8, 8);
    let mut random = |n: usize| -> Vec<i8> { (0..n).map(|_| rng.byte().max(-127)).collect() };
    let mut pack = |out: usize, rows: usize, row_len: usize| {
        let mut weights = vec![0; layout.weight_bytes(out, rows, row_len)];
        for (n, w) in random(out * rows * row_len).into_iter().enumerate() {
            layout.put(&mut weights, [rows, row_len], [n / row_len / rows, n / row_len % rows, n % row_len], w);
        }
        weights
    };
    let (first, second, last) = (pack(8, 3, 9), pack(8, 3, 24), pack(10, 1, 17));
    let deep = random(9 * 8);
    let table: [i8; 256] = core::array::from_fn(|i| (i as u8 as i8).max(0));
    let (bias, multiplier, shift) = ([5; 64], [1 << 30 | 12345; 64], [7; 64]);
    let channels = |n: usize| {
        let n = layout.padded_channels(n);
        Channels { bias: &bias[..n], multiplier: &multiplier[..n], shift: &shift[..n] }
    };
    let full = Output::full(0);
    let add = Add { multipliers: [20000, -15000], bias: 1 << 14, shift: 15, lo: -128, hi: 127 };
    let window = Window::square(3, 1, 1);
    let pool = |input, output| MaxPool { input, output, window: Window::square(2, 2, 0) };
    let half = Shape::new(4, 4, 8);
    let vector = |n| Shape::new(1, 1, n);
    let conv = Conv2d {
        input: image,
        output: features,
        window,
        input_zero: -128,
        layout,
        weights: &first,
        channels: channels(8),
        range: full,
        residual: None,
    };
    let shapes = [
        image,
        features,
        features,
        half,
        half,
        Shape::new(4, 4, 16),
        Shape::new(5, 5, 17),
        vector(17),
        Shape::new(3, 2, 9),
        vector(10),
        vector(10),
    ];
    let mut end = 0;
    let tensors = shapes.map(|shape| {
        let offset = end;
        end = (offset + shape.len()).next_multiple_of(16);
        Tensor::new(offset, shape)
    });
    let step = |op, inputs, output| Step { op, inputs, output, scratch_offset: 0, scratch_bytes: 0 };
    let ops = [
        step(Op::Conv2d(conv), &[0][..], 1),
        step(
            Op::Depthwise(Depthwise {
                input: features,
                output: features,
                window,
                input_zero: 0,
                weights: &deep,
                channels: channels(8),
                range: full,
            }),
            &[1],
            2,
        ),
        step(
            Op::Conv2d(Conv2d { input: features, weights: &second, input_zero: 3, residual: Some(add), ..conv }),
            &[1, 2],
            2,
        ),
        step(Op::Add(add), &[1, 2], 2),
        step(Op::MaxPool(pool(features, half)), &[2], 3),
        step(Op::Lut(Lut { table: &table }), &[3], 4),
        step(Op::Mul(Mul { zeros: [0, 1], multiplier: 1 << 30, shift: 6, range: full }), &[4, 3], 3),
        step(Op::Concat(Concat { axis: 2 }), &[3, 4], 5),
        step(Op::Pad(Pad { before: [1, 0, 1], value: -1 }), &[5], 6),
        step(Op::Slice(Slice { start: [0, 1, 0], step: [2, 3, 2] }), &[6], 8),
        step(
            Op::AvgPool(AvgPool {
                pool: MaxPool {
                    input: Shape::new(5, 5, 17),
                    output: vector(17),
                    window: Window { kernel: [5; 2], ..Window::UNIT },
                },
                input_zero: -1,
                multipliers: &[1 << 30],
                shifts: &[3],
                range: full,
            }),
            &[6],
            7,
        ),
        step(
            Op::Linear(Linear {
                rows: 1,
                inputs: 17,
                outputs: 10,
                layout,
                weights: &last,
                channels: channels(10),
                range: full,
            }),
            &[7],
            9,
        ),
        step(Op::Softmax(Softmax { len: 10, step: 9000 }), &[9], 10),
    ];
    let pixels: Vec<i8> = (0..3 * 256).map(|i| (i % 256 / 2) as i8).collect();
    let port = |tensor| PortSpec { tensor, scale: 0.5, zero: 3, pixels: None };
    let stored = [1; 8 * 8 * 3];
    let vocabulary = crate::text::tests::small(Normalization::UNCASED);
    let mut file = File {
        layout,
        arena_bytes: end,
        tensors: &tensors,
        ops: &ops,
        inputs: &[PortSpec { pixels: Some(&pixels), ..port(0) }],
        outputs: &[port(10), port(8)],
        labels: "zero\none\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine",
        metadata: "{\"name\":\"all\"}",
        vocabulary: &vocabulary,
        certificate: Certificate { digest: 0x0123_4567_89ab_cdef, items: 1000 },
        self_tests: &[],
    };
    let bytes = emit::to_bytes(&file).unwrap();
    let model = Model::parse(&bytes).unwrap();
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let scalar = crate::Kernels::for_isa(crate::Isa::Scalar).unwrap();
    let mut session = Session::with_kernels(&model, &mut arena, scalar).unwrap();
    session.input_mut(0).copy_from_slice(&stored);
    session.run();
    let first = SelfTestSpec { digest: session.digest(), input: TestInput::Stored(&stored) };
    let mut rng = Rng::new(99);
    session.input_mut(0).fill_with(|| rng.byte());
    session.run();
    let second = SelfTestSpec { digest: session.digest(), input: TestInput::Seed(99) };
    let tests = [first, second];
    file.self_tests = &tests;
    emit::to_bytes(&file).unwrap()
}

//! Helpers of the tests: a model of one op, and a small network of all of them.

use std::vec::Vec;

use crate::format::emit::{self, EmitError, File, PortSpec, SelfTestSpec, Step, TestInput};
use crate::format::{Certificate, Tensor};
use crate::kernels::Layout;
use crate::ops::{
    Add, AvgPool, Concat, Conv2d, Depthwise, Linear, Lut, MaxPool, Mul, Op, Pad, Sharing, Slice, Softmax, Window,
};
use crate::quant::{Channels, Output};
use crate::{AlignedBytes, LoadError, Model, OpRule, Rng, Session, Shape};

/// Multiplier and shift of one half: `q = (acc + 1) >> 1`.
pub(crate) const HALF: (i32, u8) = (1 << 30, 1 | 2 << 5);

/// Multiplier and shift of one.
pub(crate) const ONE: (i32, u8) = (1 << 30, 1 | 3 << 5);

/// A model of one op whose inputs are the model's inputs, laid out one after another.
pub(crate) fn one_op(op: Op<'_>, inputs: &[Shape], output: Shape) -> Result<AlignedBytes, EmitError> {
    let layout = match op {
        Op::Conv2d(op) => op.layout,
        Op::Linear(op) => op.layout,
        _ => Layout::PLAIN,
    };
    let mut end = 0;
    let mut place = |shape: Shape| {
        let offset = end;
        end = (offset + shape.len()).next_multiple_of(16);
        Tensor { offset, shape }
    };
    let to = place(output);
    let shared = if let Sharing::Must(i) = op.sharing() { i } else { usize::MAX };
    let mut tensors: Vec<Tensor> = inputs
        .iter()
        .enumerate()
        .map(|(i, &shape)| if i == shared { Tensor { shape, ..to } } else { place(shape) })
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
        certificate: Certificate::default(),
        self_tests: &[],
    })
}

/// Whether a model of one op loads, and if not, by which rule.
pub(crate) fn check_op(op: Op<'_>, inputs: &[Shape], output: Shape) -> Result<(), OpRule> {
    match one_op(op, inputs, output) {
        Ok(_) => Ok(()),
        Err(EmitError::Rejected(LoadError::Op { index: 0, rule })) => Err(rule),
        Err(error) => panic!("{error}"),
    }
}

/// What an op makes of its inputs.
pub(crate) fn run_op(op: Op<'_>, inputs: &[(Shape, &[i8])], output: Shape) -> Vec<i8> {
    let shapes: Vec<Shape> = inputs.iter().map(|&(shape, _)| shape).collect();
    let file = one_op(op, &shapes, output).unwrap();
    let model = Model::parse(&file).unwrap();
    let mut arena = AlignedBytes::zeroed(model.arena_bytes());
    let mut session = Session::new(&model, &mut arena).unwrap();
    for (i, &(_, values)) in inputs.iter().enumerate() {
        session.input_mut(i).copy_from_slice(values);
    }
    session.run();
    session.output(0).to_vec()
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
        Tensor { offset, shape }
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
    let mut file = File {
        layout,
        arena_bytes: end,
        tensors: &tensors,
        ops: &ops,
        inputs: &[PortSpec { pixels: Some(&pixels), ..port(0) }],
        outputs: &[port(10), port(8)],
        labels: "zero\none\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine",
        metadata: "{\"name\":\"all\"}",
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

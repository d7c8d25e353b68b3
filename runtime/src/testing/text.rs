//! A small transformer for the tests: two layers on tokens, with every op of sequences.

use std::vec::Vec;

use super::{fixed, int8, int16, sequence, tokens};
use crate::format::emit::{self, File, PortSpec, SelfTestSpec, Step, TestInput};
use crate::ops::{Add, Add16, Attention, Embed, LayerNorm, Linear, Lut, Mean, Mul, Narrow, Op, Pick, Softmax};
use crate::quant::{Channels, Output};
use crate::{AlignedBytes, Certificate, Isa, Kernels, Layout, Model, Rng, Session, Shape, Tensor};

/// Tokens that the network knows.
pub(crate) const VOCABULARY: usize = 11;
/// The longest sequence for which it has places.
pub(crate) const MAX_LENGTH: usize = 9;
/// Channels of a row, and between the two linear layers.
const WIDTH: usize = 8;
const HIDDEN: usize = 12;
const FULL: Output = Output::full(0);

/// Numbers of the tensors.
const TOKENS: u16 = 0;
const STREAM: u16 = 1;
const NORMAL: u16 = 2;
const NARROW: u16 = 3;
const Q: u16 = 4;
const K: u16 = 5;
const V: u16 = 6;
const MIXED: u16 = 7;
const PART: u16 = 8;
const WIDE: u16 = 9;
const EACH: u16 = 10;
const FIRST: u16 = 11;
const SCORES: u16 = 12;
const MEAN: u16 = 13;

/// A linear layer.
struct Dense {
    layout: Layout,
    sizes: [usize; 2],
    weights: Vec<i8>,
    bias: Vec<i32>,
    multiplier: Vec<i32>,
    shift: Vec<u8>,
}

impl Dense {
    /// The same real layer in every layout.
    fn random(rng: &mut Rng, layout: Layout, sizes: [usize; 2]) -> Self {
        let [inputs, outputs] = sizes;
        let padded = layout.padded_channels(outputs);
        let mut weights = vec![0; layout.weight_bytes(outputs, 1, inputs)];
        let mut bias = vec![0; padded];
        let (mut multiplier, mut shift) = (vec![1 << 30; padded], vec![1; padded]);
        for o in 0..outputs {
            bias[o] = i32::from(rng.byte()) * 32;
            for i in 0..inputs {
                let weight = rng.byte().max(-127);
                layout.put(&mut weights, [1, inputs], [o, 0, i], weight);
                bias[o] -= i32::from(layout.input_offset) * i32::from(weight);
            }
            (multiplier[o], shift[o]) = fixed(0.012 / (inputs as f64).sqrt());
        }
        Dense { layout, sizes, weights, bias, multiplier, shift }
    }

    fn op(&self, rows: usize) -> Op<'_> {
        let [inputs, outputs] = self.sizes;
        let channels = Channels { bias: &self.bias, multiplier: &self.multiplier, shift: &self.shift };
        Op::Linear(Linear { rows, inputs, outputs, layout: self.layout, weights: &self.weights, channels, range: FULL })
    }
}

/// The network for sequences of up to `max_length` rows; it differs from that for longer ones only in this.
pub(crate) fn transformer(layout: Layout, max_length: usize) -> AlignedBytes {
    let mut rng = Rng::new(4);
    let mut bytes = |n: usize| -> Vec<i8> { (0..n).map(|_| rng.byte().max(-127)).collect() };
    let (words, positions) = (bytes(VOCABULARY * WIDTH), bytes(MAX_LENGTH * WIDTH));
    let gelu: [i8; 256] = core::array::from_fn(|i| (i as u8 as i8).max(-9));
    let layers: Vec<[Dense; 6]> = (0..2)
        .map(|_| {
            let sizes = [[WIDTH; 2], [WIDTH; 2], [WIDTH; 2], [WIDTH; 2], [WIDTH, HIDDEN], [HIDDEN, WIDTH]];
            sizes.map(|sizes| Dense::random(&mut rng, layout, sizes))
        })
        .collect();
    let [each, last] = [[WIDTH, 3], [WIDTH, 5]].map(|sizes| Dense::random(&mut rng, layout, sizes));
    let gains: Vec<i32> = (0..WIDTH as i32).map(|i| (900 + 50 * i) << 14).collect();
    let (multipliers, shifts): (Vec<i32>, Vec<u8>) = (1..=max_length).map(|n| fixed(1.0 / 150.0 / n as f64)).unzip();

    let norm = Op::LayerNorm(LayerNorm { eps: 12345, gains: &gains, bias: &[-1000; WIDTH], right: 2 });
    let (multiplier, shift) = fixed(1.0 / 150.0);
    let narrow = Op::Narrow(Narrow { multiplier, shift, range: Output { zero: 5, lo: -128, hi: 127 } });
    let sum16 = Op::Add16(Add16 { multipliers: [1000, 15000], bias: 1 << 13, shift: 14 });
    let sum = Op::Add(Add { multipliers: [20000, -15000], bias: 1 << 14, shift: 15, lo: -128, hi: 127 });
    let product = Op::Mul(Mul { zeros: [0, 1], multiplier: 1 << 30, shift: 5, range: FULL });
    let mix = Op::Attention(Attention {
        rows: max_length,
        heads: 2,
        size: WIDTH / 2,
        score: fixed(0.05),
        value: fixed(1.0 / 12000.0),
        range: FULL,
    });
    let embed = Op::Embed(Embed {
        width: WIDTH,
        words: &words,
        positions: &positions[..max_length * WIDTH],
        word_multipliers: &[700, 800, 650, 710, 720, 730, 1000, 400, 700, 700, -700],
        position_multipliers: &[300; MAX_LENGTH][..max_length],
        shift: 4,
    });
    let mean = Op::Pick(Pick::Mean(Mean {
        rows: max_length,
        input_zero: 0,
        multipliers: &multipliers,
        shifts: &shifts,
        range: FULL,
    }));

    let mut steps: Vec<(Op<'_>, &[u16], u16)> = vec![(embed, &[TOKENS], STREAM), (norm, &[STREAM], NORMAL)];
    for [q, k, v, mixed, up, down] in &layers {
        steps.extend([
            (narrow, &[NORMAL][..], NARROW),
            (q.op(max_length), &[NARROW], Q),
            (k.op(max_length), &[NARROW], K),
            (v.op(max_length), &[NARROW], V),
            (mix, &[Q, K, V], MIXED),
            (mixed.op(max_length), &[MIXED], PART),
            (sum16, &[PART, NORMAL], NORMAL),
            (norm, &[NORMAL], STREAM),
            (narrow, &[STREAM], NARROW),
            (up.op(max_length), &[NARROW], WIDE),
            (Op::Lut(Lut { table: &gelu }), &[WIDE], WIDE),
            (down.op(max_length), &[WIDE], PART),
            (sum16, &[PART, STREAM], STREAM),
            (norm, &[STREAM], NORMAL),
        ]);
    }
    steps.extend([
        (narrow, &[NORMAL][..], NARROW),
        (Op::Pick(Pick::First), &[NARROW], FIRST),
        (last.op(1), &[FIRST], SCORES),
        (Op::Softmax(Softmax { len: 5, step: 3000 }), &[SCORES], SCORES),
        (mean, &[NORMAL], MEAN),
        (product, &[NARROW, PART], PART),
        // The row of the means serves all rows.
        (sum, &[MEAN, PART], PART),
        (each.op(max_length), &[PART], EACH),
        (Op::Softmax(Softmax { len: 3, step: 3000 }), &[EACH], EACH),
    ]);
    let row = |channels| int8(Shape::new(max_length, 1, channels));
    let mut end = 0;
    let tensors = [
        sequence(tokens(max_length)),
        sequence(int16(row(WIDTH).shape)),
        sequence(int16(row(WIDTH).shape)),
        sequence(row(WIDTH)),
        sequence(row(WIDTH)),
        sequence(row(WIDTH)),
        sequence(row(WIDTH)),
        sequence(row(WIDTH)),
        sequence(row(WIDTH)),
        sequence(row(HIDDEN)),
        sequence(row(3)),
        int8(Shape::new(1, 1, WIDTH)),
        int8(Shape::new(1, 1, 5)),
        int8(Shape::new(1, 1, WIDTH)),
    ]
    .map(|tensor| {
        let offset = end;
        end = (offset + tensor.bytes()).next_multiple_of(16);
        Tensor { offset, ..tensor }
    });
    let ops: Vec<_> = steps
        .into_iter()
        .map(|(op, inputs, output)| Step { op, inputs, output, scratch_offset: 0, scratch_bytes: 0 })
        .collect();
    let port = |tensor| PortSpec { tensor, scale: 1.0, zero: 0, pixels: None };
    let file = File {
        layout,
        arena_bytes: end,
        tensors: &tensors,
        ops: &ops,
        inputs: &[port(TOKENS)],
        outputs: &[port(SCORES), port(MEAN), port(EACH)],
        labels: "",
        metadata: "",
        vocabulary: &[],
        certificate: Certificate::default(),
        self_tests: &[],
    };
    let stored: Vec<i8> = (0..max_length as i8).flat_map(|i| [i, 0]).collect();
    let digests = digests(&emit::to_bytes(&file).unwrap(), [&stored[..], &[]]);
    let inputs = [TestInput::Stored(&stored), TestInput::Seed(3)];
    let tests: Vec<_> = digests.iter().zip(inputs).map(|(&digest, input)| SelfTestSpec { digest, input }).collect();
    emit::to_bytes(&File { self_tests: &tests, ..file }).unwrap()
}

/// What scalar's table gives for these bytes, or if there are none, for those of seed 3.
fn digests(file: &[u8], inputs: [&[i8]; 2]) -> [u64; 2] {
    let model = Model::parse(file).unwrap();
    let mut arena = AlignedBytes::zeroed(crate::arena_bytes(&model, Isa::Scalar));
    let mut session = Session::with_kernels(&model, &mut arena, Kernels::for_isa(Isa::Scalar).unwrap()).unwrap();
    inputs.map(|bytes| {
        let mut rng = Rng::new(3);
        let mut bytes = bytes.iter().copied();
        session.input_mut(0).fill_with(|| bytes.next().unwrap_or_else(|| rng.byte()));
        session.run();
        session.digest()
    })
}

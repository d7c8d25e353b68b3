//! Encoders of any size with a classifier, as DistilBERT has it, with seeded random weights; made of integers only.

use limbeck_runtime::format::emit::{self, EmitError, File, PortSpec, SelfTestSpec, Step};
use limbeck_runtime::ops::{Add16, Attention, Embed, LayerNorm, Linear, Lut, Narrow, Op, Pick};
use limbeck_runtime::quant::{Channels, Output};
use limbeck_runtime::{AlignedBytes, Certificate, Element, Isa, Layout, Rng, Shape, Tensor};

/// The sizes that make an encoder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Number of layers.
    pub(crate) layers: usize,
    /// Channels of a row.
    pub(crate) width: usize,
    /// Heads of attention, which share the channels.
    pub(crate) heads: usize,
    /// Channels between the two linear layers behind attention.
    pub(crate) hidden: usize,
    /// Tokens that have a row.
    pub(crate) vocabulary: usize,
    /// Tokens of a text at most.
    pub(crate) length: usize,
    /// Scores.
    pub(crate) classes: usize,
}

const FULL: Output = Output::full(0);
/// One deviation of a row is 4000 steps of the residual stream.
const GAIN: i32 = 4000;
/// The residual stream, plus what a layer makes of it: in all some 1.2 deviations.
const SUM: Add16 = Add16 { multipliers: [4000, 15000], bias: 1 << 13, shift: 14 };
/// A 128th: four deviations of the stream are all of a byte.
const NARROW: Narrow = Narrow { multiplier: 1 << 30, shift: 5, range: FULL };

/// Numbers of the tensors: the residual stream before and behind normalization, what a layer reads of it, and what it makes.
const TOKENS: u16 = 0;
const STREAM: u16 = 1;
const NORMAL: u16 = 2;
const READ: u16 = 3;
const Q: u16 = 4;
const K: u16 = 5;
const V: u16 = 6;
const WIDE: u16 = 7;
const FIRST: u16 = 8;
const POOLED: u16 = 9;
const SCORES: u16 = 10;

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
    /// Outputs are about as large as inputs. The same real layer in every layout.
    fn random(rng: &mut Rng, layout: Layout, sizes: [usize; 2]) -> Self {
        let [inputs, outputs] = sizes;
        let padded = layout.padded_channels(outputs);
        let mut layer = Dense {
            layout,
            sizes,
            weights: vec![0; layout.weight_bytes(outputs, 1, inputs)],
            bias: vec![0; padded],
            multiplier: vec![1 << 30; padded],
            shift: vec![1; padded],
        };
        for o in 0..outputs {
            let mut sum = 0;
            for i in 0..inputs {
                let weight = rng.byte().max(-127) / 2;
                sum += i32::from(weight);
                layout.put(&mut layer.weights, [1, inputs], [o, 0, i], weight);
            }
            layer.bias[o] = i32::from(rng.byte()) * 32 - sum * i32::from(layout.input_offset);
            layer.multiplier[o] = 1 << 30 | (rng.word() >> 3) as i32;
            // Sums grow with the root of their length.
            layer.shift[o] = 4 + (inputs.ilog2() / 2) as u8;
        }
        layer
    }

    fn op(&self, rows: usize, range: Output) -> Op<'_> {
        let [inputs, outputs] = self.sizes;
        let channels = Channels { bias: &self.bias, multiplier: &self.multiplier, shift: &self.shift };
        Op::Linear(Linear { rows, inputs, outputs, layout: self.layout, weights: &self.weights, channels, range })
    }
}

/// An encoder with its weights.
pub(crate) struct Transformer {
    sizes: Sizes,
    layout: Layout,
    words: Vec<i8>,
    positions: Vec<i8>,
    /// Of each row of words, and of each position.
    multipliers: [Vec<i16>; 2],
    /// Queries, keys, values, what becomes of the mix, and the two behind it.
    layers: Vec<[Dense; 6]>,
    gains: Vec<i32>,
    bias: Vec<i32>,
    gelu: [i8; 256],
    pool: Dense,
    last: Dense,
}

impl Transformer {
    /// An encoder of these sizes.
    pub(crate) fn random(sizes: Sizes, layout: Layout) -> Self {
        let Sizes { layers, width, hidden, vocabulary, length, classes, .. } = sizes;
        let mut rng = Rng::new(9);
        let mut bytes = |n: usize| -> Vec<i8> { (0..n).map(|_| rng.byte().max(-127)).collect() };
        let (words, positions) = (bytes(vocabulary * width), bytes(length * width));
        let dense = [[width; 2], [width; 2], [width; 2], [width; 2], [width, hidden], [hidden, width]];
        Transformer {
            sizes,
            layout,
            words,
            positions,
            multipliers: [(0..vocabulary).map(|i| 12000 + (i % 64 * 128) as i16).collect(), vec![6000; length]],
            layers: (0..layers).map(|_| dense.map(|sizes| Dense::random(&mut rng, layout, sizes))).collect(),
            gains: (0..width).map(|_| (GAIN + i32::from(rng.byte()) * 8) << 14).collect(),
            bias: (0..width).map(|_| i32::from(rng.byte()) * 32).collect(),
            gelu: core::array::from_fn(|i| (i as u8 as i8).max(-9)),
            pool: Dense::random(&mut rng, layout, [width, width]),
            last: Dense::random(&mut rng, layout, [width, classes]),
        }
    }

    /// The model file, with class names one a line, a vocabulary section and self-tests if there are any.
    pub(crate) fn file(
        &self,
        labels: &str,
        vocabulary: &[u8],
        self_tests: &[SelfTestSpec<'_>],
    ) -> Result<AlignedBytes, EmitError> {
        let Sizes { layers, width, heads, length, .. } = self.sizes;
        let embed = Op::Embed(Embed {
            width,
            words: &self.words,
            positions: &self.positions,
            word_multipliers: &self.multipliers[0],
            position_multipliers: &self.multipliers[1],
            shift: 8,
        });
        let norm = Op::LayerNorm(LayerNorm { eps: 1, gains: &self.gains, bias: &self.bias, right: 2 });
        // Scores differ by some bits of the exponent: their deviation is 1000 times the root of the size of a head.
        let size = width / heads;
        let score = (3 << 29, 2 + (size.ilog2() / 2) as u8 / 2);
        let mix = Op::Attention(Attention { rows: length, heads, size, score, value: (1 << 30, 10), range: FULL });
        let (narrow, sum, gelu) = (Op::Narrow(NARROW), Op::Add16(SUM), Op::Lut(Lut { table: &self.gelu }));
        let mut steps: Vec<(Op<'_>, &[u16], u16)> = vec![(embed, &[TOKENS], STREAM), (norm, &[STREAM], NORMAL)];
        for [q, k, v, mixed, up, down] in &self.layers {
            steps.extend([
                (narrow, &[NORMAL][..], READ),
                (q.op(length, FULL), &[READ], Q),
                (k.op(length, FULL), &[READ], K),
                (v.op(length, FULL), &[READ], V),
                (mix, &[Q, K, V], READ),
                (mixed.op(length, FULL), &[READ], Q),
                (sum, &[Q, NORMAL], NORMAL),
                (norm, &[NORMAL], STREAM),
                (narrow, &[STREAM], READ),
                (up.op(length, FULL), &[READ], WIDE),
                (gelu, &[WIDE], WIDE),
                (down.op(length, FULL), &[WIDE], READ),
                (sum, &[READ, STREAM], STREAM),
                (norm, &[STREAM], NORMAL),
            ]);
        }
        steps.extend([
            (narrow, &[NORMAL][..], READ),
            (Op::Pick(Pick::First), &[READ], FIRST),
            (self.pool.op(1, Output { lo: 0, ..FULL }), &[FIRST], POOLED),
            (self.last.op(1, FULL), &[POOLED], SCORES),
        ]);
        let (tensors, end) = self.tensors();
        // Whichever table runs it finds its working memory.
        let tables: Vec<Isa> = Isa::ALL.iter().copied().filter(|isa| isa.reads(self.layout)).collect();
        let scratch = |op: &Op<'_>| tables.iter().map(|&isa| op.scratch(isa)).max().unwrap_or(0);
        let ops: Vec<Step<'_>> = steps
            .into_iter()
            .map(|(op, inputs, output)| Step { op, inputs, output, scratch_offset: end, scratch_bytes: scratch(&op) })
            .collect();
        let port = |tensor| PortSpec { tensor, scale: 1.0 / 32.0, zero: 0, pixels: None };
        emit::to_bytes(&File {
            layout: self.layout,
            arena_bytes: ops.iter().map(|step| end + step.scratch_bytes).max().unwrap_or(end).next_multiple_of(16),
            tensors: &tensors,
            ops: &ops,
            inputs: &[port(TOKENS)],
            outputs: &[port(SCORES)],
            labels,
            metadata: &format!("{{\"name\":\"random-bert-{layers}x{width}\"}}"),
            vocabulary,
            certificate: Certificate::default(),
            self_tests,
        })
    }

    /// The tensors in the order of their numbers, and where the last of them ends.
    fn tensors(&self) -> (Vec<Tensor>, usize) {
        let Sizes { width, hidden, length, classes, .. } = self.sizes;
        let row = |element: Element, channels| Tensor {
            offset: 0,
            shape: Shape::new(length, 1, channels),
            element,
            sequence: true,
        };
        let one = |channels| Tensor::new(0, Shape::new(1, 1, channels));
        let (wide, byte) = (row(Element::Int16, width), row(Element::Int8, width));
        let mut end = 0;
        let mut after = |from: Option<usize>, tensor: Tensor| {
            let offset: usize = from.unwrap_or(end).next_multiple_of(16);
            end = end.max(offset + tensor.bytes()).next_multiple_of(16);
            Tensor { offset, ..tensor }
        };
        let tokens = after(None, row(Element::Token, 1));
        let (stream, normal, read) = (after(None, wide), after(None, wide), after(None, byte));
        let (q, k, v) = (after(None, byte), after(None, byte), after(None, byte));
        // Nothing that attention reads or the classifier makes is needed while the widest tensor is there.
        let widest = after(Some(q.offset), row(Element::Int8, hidden));
        let first = after(Some(q.offset), one(width));
        let pooled = after(Some(first.offset + first.bytes()), one(width));
        let scores = after(Some(pooled.offset + pooled.bytes()), one(classes));
        (vec![tokens, stream, normal, read, q, k, v, widest, first, pooled, scores], end)
    }
}

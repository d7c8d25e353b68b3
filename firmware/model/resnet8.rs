//! ResNet-8 as in MLPerf Tiny, with seeded random weights.
//!
//! It classifies nothing, but it has the shapes, the arena and the work of the real one, and self-tests whose digests the
//! scalar kernels computed on the host.

use limbeck_runtime::format::Certificate;
use limbeck_runtime::format::emit::{self, File, PortSpec, Step};
use limbeck_runtime::ops::{Add, AvgPool, Conv2d, Linear, MaxPool, Op, Window};
use limbeck_runtime::quant::{Channels, Output};
use limbeck_runtime::{Isa, Layout, Rng, Shape, Tensor};

/// Where the tensors lie: two halves of 16 KiB, each cut up again as the images shrink; working memory follows.
const TENSORS: [(usize, [usize; 3]); 12] = [
    (16384, [32, 32, 3]),
    (0, [32, 32, 16]),
    (16384, [32, 32, 16]),
    (0, [32, 32, 16]),
    (16384, [16, 16, 32]),
    (24576, [16, 16, 32]),
    (16384, [16, 16, 32]),
    (0, [8, 8, 64]),
    (4096, [8, 8, 64]),
    (0, [8, 8, 64]),
    (8192, [1, 1, 64]),
    (8256, [1, 1, 10]),
];
const SCRATCH: usize = 32768;

/// Convolutions: input, output, kernel, stride, and whether the output holds a residual.
const CONVS: [(u16, u16, usize, usize, bool); 9] = [
    (0, 1, 3, 1, false),
    (1, 2, 3, 1, false),
    (2, 3, 3, 1, true),
    (3, 4, 1, 2, false),
    (3, 5, 3, 2, false),
    (5, 6, 3, 1, true),
    (6, 7, 1, 2, false),
    (6, 8, 3, 2, false),
    (8, 9, 3, 1, true),
];

const RELU: Output = Output { zero: -128, lo: -128, hi: 127 };
const SUM: Add =
    Add { multipliers: [20000, 20000], bias: (40000 * 128) + (-128 << 15) + (1 << 14), shift: 15, lo: -128, hi: 127 };

/// Weights, biases and rescaling of a layer.
struct Layer {
    weights: Vec<i8>,
    bias: Vec<i32>,
    multiplier: Vec<i32>,
    shift: Vec<u8>,
}

impl Layer {
    fn random(rng: &mut Rng, layout: Layout, out: usize, [rows, row_len]: [usize; 2], input_zero: i32) -> Self {
        let channels = layout.padded_channels(out);
        let mut layer = Layer {
            weights: vec![0; layout.weight_bytes(out, rows, row_len)],
            bias: vec![0; channels],
            multiplier: vec![1 << 30; channels],
            shift: vec![1; channels],
        };
        let products = rows * row_len;
        for o in 0..out {
            let mut sum = 0;
            for product in 0..products {
                let weight = rng.byte().max(-127) / 2;
                sum += i32::from(weight);
                let place = [o, product / row_len, product % row_len];
                layout.put(&mut layer.weights, [rows, row_len], place, weight);
            }
            layer.bias[o] = i32::from(rng.byte()) * 64 - sum * (input_zero + i32::from(layout.input_offset));
            layer.multiplier[o] = 1 << 30 | (rng.word() >> 3) as i32;
            // Sums grow with the root of their length.
            layer.shift[o] = 4 + (products.ilog2() / 2) as u8;
        }
        layer
    }

    fn channels(&self) -> Channels<'_> {
        Channels { bias: &self.bias, multiplier: &self.multiplier, shift: &self.shift }
    }
}

/// The model file for kernels of `isa`.
pub(super) fn build(isa: Isa) -> super::Built {
    let layout = isa.layout();
    let mut rng = Rng::new(8);
    let tensors = TENSORS.map(|(offset, [h, w, c])| Tensor::new(offset, Shape::new(h, w, c)));
    let shape = |i: u16| tensors[usize::from(i)].shape;
    let convs: Vec<_> = CONVS
        .iter()
        .map(|&(from, to, kernel, ..)| {
            let zero = if from == 0 { 0 } else { -128 };
            Layer::random(&mut rng, layout, shape(to).channels, [kernel, kernel * shape(from).channels], zero)
        })
        .collect();
    let last = Layer::random(&mut rng, layout, 10, [1, 64], -128);
    let mut ops = Vec::new();
    let mut end = SCRATCH;
    let inputs: Vec<_> =
        CONVS.iter().map(|&(from, to, .., residual)| if residual { vec![from, to] } else { vec![from] }).collect();
    for ((&(from, to, kernel, stride, residual), layer), inputs) in CONVS.iter().zip(&convs).zip(&inputs) {
        let conv = Conv2d {
            input: shape(from),
            output: shape(to),
            // With stride 2 all padding is below and to the right, as TensorFlow has it.
            window: Window::square(kernel, stride, if stride == 1 { kernel / 2 } else { 0 }),
            input_zero: if from == 0 { 0 } else { -128 },
            layout,
            weights: &layer.weights,
            channels: layer.channels(),
            range: RELU,
            residual: residual.then_some(SUM),
        };
        let scratch_bytes = (isa.scratch().conv2d)(&conv);
        end = end.max(SCRATCH + scratch_bytes);
        let inputs = inputs.as_slice();
        ops.push(Step { op: Op::Conv2d(conv), inputs, output: to, scratch_offset: SCRATCH, scratch_bytes });
    }
    let pool = MaxPool { input: shape(9), output: shape(10), window: Window::square(8, 1, 0) };
    // One sixty-fourth.
    let mean = AvgPool { pool, input_zero: -128, multipliers: &[1 << 30], shifts: &[4], range: RELU };
    ops.push(Step { op: Op::AvgPool(mean), inputs: &[9], output: 10, scratch_offset: 0, scratch_bytes: 0 });
    let range = Output::full(0);
    let linear =
        Linear { rows: 1, inputs: 64, outputs: 10, layout, weights: &last.weights, channels: last.channels(), range };
    let scratch_bytes = (isa.scratch().linear)(&linear);
    ops.push(Step { op: Op::Linear(linear), inputs: &[10], output: 11, scratch_offset: SCRATCH, scratch_bytes });
    let port = |tensor| PortSpec { tensor, scale: 1.0 / 64.0, zero: 0, pixels: None };
    let mut file = File {
        layout,
        arena_bytes: end.next_multiple_of(16),
        tensors: &tensors,
        ops: &ops,
        inputs: &[port(0)],
        outputs: &[port(11)],
        labels: "",
        metadata: "{\"name\":\"random-resnet8\"}",
        vocabulary: &[],
        certificate: Certificate::default(),
        self_tests: &[],
    };
    let tests = super::self_tests(&emit::to_bytes(&file)?)?;
    file.self_tests = &tests;
    Ok(emit::to_bytes(&file)?)
}

//! Model files and single layers with random weights.

use limbeck_runtime::format::emit::{File, PortSpec, Step, to_bytes};
use limbeck_runtime::ops::{Add, AvgPool, Conv2d, Linear, MaxPool, Op, Window};
use limbeck_runtime::quant::{Channels, MIN_MULTIPLIER, Output};
use limbeck_runtime::{AlignedBytes, Certificate, Isa, Layout, Rng, Shape, Tensor};

use crate::networks::{Layer, Network};

/// The range of a tensor behind a ReLU.
const RANGE: Output = Output::full(-128);

/// Weights of one op.
pub struct Weights {
    layout: Layout,
    values: Vec<i8>,
    bias: Vec<i32>,
    multiplier: Vec<i32>,
    shift: Vec<u8>,
}

impl Weights {
    /// Random weights of `channels` output channels with `[rows, row length]` products.
    pub fn random(layout: Layout, rng: &mut Rng, channels: usize, [rows, row_len]: [usize; 2]) -> Self {
        let mut values = vec![0; layout.weight_bytes(channels, rows, row_len)];
        for o in 0..channels {
            for row in 0..rows {
                for i in 0..row_len {
                    layout.put(&mut values, [rows, row_len], [o, row, i], rng.byte().max(-127));
                }
            }
        }
        let n = layout.padded_channels(channels);
        // Sums of this many products then make use of the range of a byte.
        let shift = 5 + (rows * row_len).ilog2() as u8 / 2;
        Weights { layout, values, bias: vec![0; n], multiplier: vec![MIN_MULTIPLIER; n], shift: vec![shift; n] }
    }

    fn channels(&self) -> Channels<'_> {
        Channels { bias: &self.bias, multiplier: &self.multiplier, shift: &self.shift }
    }

    /// The convolution that these weights were made for.
    pub fn conv2d(&self, layer: &Layer) -> Conv2d<'_> {
        let add = Add { multipliers: [16384; 2], bias: 1 << 14, shift: 15, lo: -128, hi: 127 };
        Conv2d {
            input: layer.input,
            output: layer.output(),
            window: Window::square(layer.kernel, layer.stride, (layer.kernel - 1) / 2),
            input_zero: RANGE.zero,
            layout: self.layout,
            weights: &self.values,
            channels: self.channels(),
            range: RANGE,
            residual: layer.residual.then_some(add),
        }
    }
}

/// A model file of `network` with random weights for every table that shares the layout of `isa`.
///
/// Activations lie in three places that the layers use in turn; a residual sum is made where the residual lies.
pub fn random(network: &Network, isa: Isa) -> AlignedBytes {
    let layout = isa.layout();
    let rng = &mut Rng::new(1);
    let of = |layer: &Layer, rng: &mut Rng| {
        let row = layer.kernel * layer.input.channels;
        Weights::random(layout, rng, layer.channels, [layer.kernel, row])
    };
    let weights: Vec<Weights> = network.layers().iter().map(|layer| of(layer, rng)).collect();
    let features = network.layers().last().map_or(0, |layer| layer.channels);
    let last = Weights::random(layout, rng, network.classes, [1, features]);
    let slot = network.layers().iter().map(|l| l.input.len().max(l.output().len())).max().unwrap_or(0);
    let mut build = Build {
        layout,
        slot: slot.next_multiple_of(16),
        tensors: Vec::new(),
        steps: Vec::new(),
        weights: weights.iter(),
    };

    let input = build.tensor(network.stem.input, 1);
    let mut x = build.conv(&network.stem, input, To::Slot(0));
    if network.pool {
        let shape = network.blocks[0].chain[0].input;
        let op = MaxPool { input: network.stem.output(), output: shape, window: Window::square(3, 2, 1) };
        x = build.push(Op::MaxPool(op), x, shape, To::Slot(1));
    }
    for block in &network.blocks {
        let residual = match &block.shortcut {
            Some(layer) => {
                let free = build.free([x, x]);
                build.conv(layer, x, free)
            }
            None => x,
        };
        for layer in &block.chain {
            let to = if layer.residual { To::Tensor(residual) } else { build.free([x, residual]) };
            x = build.conv(layer, x, to);
        }
    }
    let shape = build.tensors[x as usize].shape;
    let mean = Shape::new(1, 1, shape.channels);
    let window = Window { kernel: [shape.height, shape.width], ..Window::UNIT };
    let pool = MaxPool { input: shape, output: mean, window };
    let op = AvgPool { pool, input_zero: RANGE.zero, multipliers: &[MIN_MULTIPLIER], shifts: &[5], range: RANGE };
    let free = build.free([x, x]);
    x = build.push(Op::AvgPool(op), x, mean, free);
    let op = Linear {
        rows: 1,
        inputs: shape.channels,
        outputs: network.classes,
        layout,
        weights: &last.values,
        channels: last.channels(),
        range: Output::full(0),
    };
    let free = build.free([x, x]);
    x = build.push(Op::Linear(op), x, Shape::new(1, 1, network.classes), free);
    build.finish(input, x)
}

/// Where an op writes.
enum To {
    /// A new tensor in one of the three places.
    Slot(usize),
    /// A tensor that is there.
    Tensor(u16),
}

struct Build<'a> {
    layout: Layout,
    slot: usize,
    tensors: Vec<Tensor>,
    steps: Vec<(Op<'a>, Vec<u16>, u16)>,
    /// Of the convolutions that are still to come.
    weights: std::slice::Iter<'a, Weights>,
}

impl<'a> Build<'a> {
    fn tensor(&mut self, shape: Shape, slot: usize) -> u16 {
        self.tensors.push(Tensor::new(slot * self.slot, shape));
        self.tensors.len() as u16 - 1
    }

    /// A place where none of these tensors lies.
    fn free(&self, used: [u16; 2]) -> To {
        let used = used.map(|t| self.tensors[t as usize].offset / self.slot);
        To::Slot((0..3).find(|slot| !used.contains(slot)).expect("two of three places are in use"))
    }

    fn conv(&mut self, layer: &Layer, from: u16, to: To) -> u16 {
        let weights = self.weights.next().expect("one for each layer");
        self.push(Op::Conv2d(weights.conv2d(layer)), from, layer.output(), to)
    }

    fn push(&mut self, op: Op<'a>, from: u16, shape: Shape, to: To) -> u16 {
        let (inputs, output) = match to {
            To::Slot(slot) => (vec![from], self.tensor(shape, slot)),
            To::Tensor(output) => (vec![from, output], output),
        };
        self.steps.push((op, inputs, output));
        output
    }

    fn finish(self, input: u16, output: u16) -> AlignedBytes {
        let tables: Vec<Isa> = Isa::ALL.iter().copied().filter(|isa| isa.layout() == self.layout).collect();
        let scratch = |op: &Op<'_>| tables.iter().map(|&isa| op.scratch(isa)).max().unwrap_or(0);
        let scratch_bytes = self.steps.iter().map(|(op, ..)| scratch(op)).max().unwrap_or(0);
        let ops: Vec<Step<'_>> = self
            .steps
            .iter()
            .map(|(op, inputs, output)| Step {
                op: *op,
                inputs,
                output: *output,
                scratch_offset: 3 * self.slot,
                scratch_bytes: scratch(op),
            })
            .collect();
        let port = |tensor| PortSpec { tensor, scale: 1.0, zero: 0, pixels: None };
        let file = File {
            layout: self.layout,
            arena_bytes: 3 * self.slot + scratch_bytes,
            tensors: &self.tensors,
            ops: &ops,
            inputs: &[port(input)],
            outputs: &[port(output)],
            labels: "",
            metadata: "",
            vocabulary: &[],
            certificate: Certificate::default(),
            self_tests: &[],
        };
        to_bytes(&file).expect("a model that follows the rules")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limbeck_runtime::{Kernels, Model, Session, arena_bytes};

    #[test]
    fn all_tables_that_read_a_model_agree_on_it() {
        let network = Network::named("resnet8").unwrap();
        for isa in [Isa::Scalar, Isa::Avx2] {
            let file = random(&network, isa);
            let model = Model::parse(&file).unwrap();
            let digests: Vec<u64> = Kernels::all()
                .filter(|table| table.isa.reads(model.layout()))
                .map(|table| {
                    let mut arena = AlignedBytes::zeroed(arena_bytes(&model, table.isa));
                    let mut session = Session::with_kernels(&model, &mut arena, table).unwrap();
                    let mut rng = Rng::new(5);
                    session.input_mut(0).fill_with(|| rng.byte());
                    session.run();
                    assert!(session.output(0).iter().any(|&v| v != session.output(0)[0]), "{}", table.isa.name());
                    session.digest()
                })
                .collect();
            assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:x?}");
        }
    }
}

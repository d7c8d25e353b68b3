//! Convolutions with random weights, and the networks whose layers they are.

use limbeck_runtime::kernels::contract::Rng;
use limbeck_runtime::ops::{Add, Conv2d, Window};
use limbeck_runtime::quant::{Channels, MIN_MULTIPLIER, Output};
use limbeck_runtime::tensor::Shape;
use limbeck_runtime::{Kernels, Layout};

/// A convolution without its weights.
#[derive(Clone, Copy, Debug)]
pub struct Layer {
    /// Shape of the input.
    pub input: Shape,
    /// Output channels.
    pub channels: usize,
    /// Taps in each direction; images keep their size but for the stride.
    pub kernel: usize,
    /// Distance of neighbouring outputs.
    pub stride: usize,
    /// Whether a residual is added.
    pub residual: bool,
}

impl Layer {
    /// Shape of the output.
    pub fn output(&self) -> Shape {
        let size = |n: usize| n.div_ceil(self.stride);
        Shape::new(size(self.input.height), size(self.input.width), self.channels)
    }

    /// Multiplications.
    pub fn macs(&self) -> usize {
        self.output().len() * self.kernel * self.kernel * self.input.channels
    }

    /// Name such as `32x32x16 -> 16 3x3/1 +`.
    pub fn name(&self) -> String {
        let Layer { input: Shape { height, width, channels: from }, channels, kernel, stride, residual } = *self;
        let plus = if residual { " +" } else { "" };
        format!("{height}x{width}x{from} -> {channels} {kernel}x{kernel}/{stride}{plus}")
    }
}

/// Layers of a residual network of two-convolution blocks with a 1x1 convolution on the shortcut where shapes change:
/// `size` and `channels` after the stem, `blocks` in each stage.
fn residual(mut layers: Vec<Layer>, mut from: Shape, stages: &[(usize, usize)]) -> Vec<Layer> {
    for (i, &(channels, blocks)) in stages.iter().enumerate() {
        for block in 0..blocks {
            let stride = if i > 0 && block == 0 { 2 } else { 1 };
            let first = Layer { input: from, channels, kernel: 3, stride, residual: false };
            let second = Layer { input: first.output(), channels, kernel: 3, stride: 1, residual: true };
            if stride == 2 {
                layers.push(Layer { kernel: 1, ..first });
            }
            layers.extend([first, second]);
            from = second.output();
        }
    }
    layers
}

/// Layers of a residual network of bottleneck blocks.
fn bottlenecks(mut layers: Vec<Layer>, mut from: Shape, stages: &[(usize, usize)]) -> Vec<Layer> {
    for (i, &(channels, blocks)) in stages.iter().enumerate() {
        for block in 0..blocks {
            let stride = if i > 0 && block == 0 { 2 } else { 1 };
            let reduce = Layer { input: from, channels, kernel: 1, stride: 1, residual: false };
            let middle = Layer { input: reduce.output(), channels, kernel: 3, stride, residual: false };
            let expand = Layer { input: middle.output(), channels: 4 * channels, kernel: 1, stride: 1, residual: true };
            if block == 0 {
                layers.push(Layer { channels: 4 * channels, stride, ..reduce });
            }
            layers.extend([reduce, middle, expand]);
            from = expand.output();
        }
    }
    layers
}

/// The convolutions of a network, in order; `None` for an unknown name.
pub fn network(name: &str) -> Option<Vec<Layer>> {
    let stem = |size, channels, kernel, stride| {
        vec![Layer { input: Shape::new(size, size, 3), channels, kernel, stride, residual: false }]
    };
    Some(match name {
        "resnet8" => residual(stem(32, 16, 3, 1), Shape::new(32, 32, 16), &[(16, 1), (32, 1), (64, 1)]),
        "resnet20" => residual(stem(32, 16, 3, 1), Shape::new(32, 32, 16), &[(16, 3), (32, 3), (64, 3)]),
        "resnet18" => residual(stem(224, 64, 7, 2), Shape::new(56, 56, 64), &[(64, 2), (128, 2), (256, 2), (512, 2)]),
        "resnet50" => {
            bottlenecks(stem(224, 64, 7, 2), Shape::new(56, 56, 64), &[(64, 3), (128, 4), (256, 6), (512, 3)])
        }
        _ => return None,
    })
}

/// A layer with random weights and the buffers that it runs in.
pub struct Loaded {
    layer: Layer,
    layout: Layout,
    weights: Vec<i8>,
    bias: Vec<i32>,
    multiplier: Vec<i32>,
    shift: Vec<u8>,
    input: Vec<i8>,
    output: Vec<i8>,
    scratch: Vec<u8>,
}

impl Loaded {
    /// Random weights in the order of `table`, which `run` needs then.
    pub fn new(layer: Layer, table: &Kernels, rng: &mut Rng) -> Self {
        let layout = table.isa.layout();
        let channels = layout.padded_channels(layer.channels);
        let row = layer.kernel * layer.input.channels;
        let mut random = |n: usize| (0..n).map(|_| rng.byte().max(-127)).collect::<Vec<_>>();
        let weights = random(layout.weight_bytes(layer.channels, layer.kernel, row));
        let [input, output] = [random(layer.input.len()), random(layer.output().len())];
        let mut loaded = Loaded {
            layer,
            layout,
            weights,
            bias: vec![0; channels],
            multiplier: vec![MIN_MULTIPLIER; channels],
            shift: vec![5 + (row * layer.kernel).ilog2() as u8 / 2; channels],
            input,
            output,
            scratch: Vec::new(),
        };
        loaded.scratch = vec![0; (table.isa.scratch().conv2d)(&loaded.op())];
        loaded
    }

    fn op(&self) -> Conv2d<'_> {
        let Layer { input, kernel, stride, residual, .. } = self.layer;
        let add = Add { multipliers: [16384, 16384], bias: 1 << 14, shift: 15, lo: -128, hi: 127 };
        Conv2d {
            input,
            output: self.layer.output(),
            window: Window::square(kernel, stride, (kernel - 1) / 2),
            input_zero: -128,
            layout: self.layout,
            weights: &self.weights,
            channels: Channels { bias: &self.bias, multiplier: &self.multiplier, shift: &self.shift },
            range: Output::full(-128),
            residual: residual.then_some(add),
        }
    }

    /// Runs it once.
    pub fn run(&mut self, table: &Kernels) {
        let mut output = core::mem::take(&mut self.output);
        let mut scratch = core::mem::take(&mut self.scratch);
        (table.conv2d)(&self.op(), &self.input, &mut output, &mut scratch);
        (self.output, self.scratch) = (output, scratch);
    }
}

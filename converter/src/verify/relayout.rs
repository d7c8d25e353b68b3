//! The same model file with its weights in another order, so that every table can be tried on the one network.

use limbeck_runtime::format::ALIGN;
use limbeck_runtime::format::emit::{self, EmitError, File, PortSpec, Step};
use limbeck_runtime::ops::{Conv2d, Depthwise, Linear, Op};
use limbeck_runtime::quant::{Channels, MIN_MULTIPLIER};
use limbeck_runtime::{AlignedBytes, Isa, Layout, Model, Port, Tensor};

/// Writes `model` again in `layout`. Places in the arena stay as they are; where a table that reads the new order wants more scratch than was
/// planned, it lies behind all else, and the arena grows. Self-tests are left out.
///
/// # Errors
/// If a section becomes too large for the format.
pub fn relayout(model: &Model<'_>, layout: Layout) -> Result<AlignedBytes, EmitError> {
    let tensors: Vec<Tensor> = (0..model.tensors()).filter_map(|i| model.tensor(i)).collect();
    // Tensors of one place and shape are as good as one another.
    let number = |tensor: Tensor| tensors.iter().position(|&t| t == tensor).unwrap_or(0) as u16;
    let ops: Vec<_> = model
        .ops()
        .filter_map(|view| {
            let op = view.op()?;
            let inputs: Vec<u16> = (0..view.inputs()).map(|i| number(view.input(i))).collect();
            Some((op, Layer::of(&op, layout), inputs, number(view.output()), view.scratch()))
        })
        .collect();
    let behind = model.arena_bytes().next_multiple_of(ALIGN);
    let mut arena_bytes = model.arena_bytes();
    let steps: Vec<Step<'_>> = ops
        .iter()
        .map(|(op, layer, inputs, output, planned)| {
            let op = layer.put_into(*op, layout);
            let tables = Isa::ALL.iter().filter(|isa| isa.layout() == layout);
            let wanted = tables.map(|&isa| op.scratch(isa)).max().unwrap_or(0);
            let scratch = if wanted <= planned.len() { planned.clone() } else { behind..behind + wanted };
            arena_bytes = arena_bytes.max(scratch.end);
            Step { op, inputs, output: *output, scratch_offset: scratch.start, scratch_bytes: scratch.len() }
        })
        .collect();
    let inputs: Vec<(Port<'_>, Option<Vec<i8>>)> =
        (0..model.inputs()).filter_map(|i| model.input(i)).map(|port| (port, pixel_table(&port))).collect();
    let outputs: Vec<(Port<'_>, Option<Vec<i8>>)> =
        (0..model.outputs()).filter_map(|i| model.output(i)).map(|port| (port, None)).collect();
    emit::to_bytes(&File {
        layout,
        arena_bytes,
        tensors: &tensors,
        ops: &steps,
        inputs: &specs(&inputs, number),
        outputs: &specs(&outputs, number),
        labels: &model.labels().collect::<Vec<_>>().join("\n"),
        metadata: model.metadata(),
        vocabulary: model.tokenizer().map_or(&[], |tokenizer| tokenizer.section()),
        certificate: model.certificate(),
        self_tests: &[],
    })
}

fn specs<'a>(ports: &'a [(Port<'_>, Option<Vec<i8>>)], number: impl Fn(Tensor) -> u16) -> Vec<PortSpec<'a>> {
    let spec = |(port, table): &'a (Port<'_>, Option<Vec<i8>>)| PortSpec {
        tensor: number(port.tensor),
        scale: port.scale,
        zero: port.zero,
        pixels: table.as_deref(),
    };
    ports.iter().map(spec).collect()
}

fn pixel_table(port: &Port<'_>) -> Option<Vec<i8>> {
    let bytes = (0..port.tensor.shape.channels).flat_map(|channel| (0..=255).map(move |p| port.pixel(channel, p)));
    port.has_pixel_tables().then(|| bytes.collect())
}

/// What of an op depends on the layout, in the new one; empty for ops of which nothing does.
#[derive(Default)]
struct Layer {
    weights: Vec<i8>,
    bias: Vec<i32>,
    multiplier: Vec<i32>,
    shift: Vec<u8>,
}

impl Layer {
    fn of(op: &Op<'_>, layout: Layout) -> Layer {
        match op {
            Op::Conv2d(op) => Layer::panels(op, layout),
            Op::Linear(op) => Layer::panels(&op.as_conv2d(), layout),
            Op::Depthwise(op) => {
                let layer = Layer::channels(&op.channels, op.output.channels, layout);
                Layer { weights: op.weights.to_vec(), ..layer }
            }
            _ => Layer::default(),
        }
    }

    fn panels(op: &Conv2d<'_>, layout: Layout) -> Layer {
        let (out, [rows, row_len]) = (op.output.channels, [op.window.kernel[0], op.row_len()]);
        let mut layer = Layer::channels(&op.channels, out, layout);
        layer.weights = vec![0; layout.weight_bytes(out, rows, row_len)];
        // What is added to every input is already in the bias: `bias + sum((x + offset) * w)`.
        let offset = i32::from(op.layout.input_offset) - i32::from(layout.input_offset);
        for o in 0..out {
            let mut sum = 0i32;
            for (row, i) in (0..rows).flat_map(|row| (0..row_len).map(move |i| (row, i))) {
                let weight = op.weight(o, row, i);
                layout.put(&mut layer.weights, [rows, row_len], [o, row, i], weight);
                sum += i32::from(weight);
            }
            layer.bias[o] = layer.bias[o].wrapping_add(offset.wrapping_mul(sum));
        }
        layer
    }

    /// The numbers of each channel, with the padding of the new layout.
    fn channels(channels: &Channels<'_>, out: usize, layout: Layout) -> Layer {
        fn padded<T: Copy>(values: &[T], out: usize, layout: Layout, padding: T) -> Vec<T> {
            let mut values: Vec<T> = values.iter().copied().take(out).collect();
            values.resize(layout.padded_channels(out), padding);
            values
        }
        Layer {
            weights: Vec::new(),
            bias: padded(channels.bias, out, layout, 0),
            multiplier: padded(channels.multiplier, out, layout, MIN_MULTIPLIER),
            shift: padded(channels.shift, out, layout, 1),
        }
    }

    fn put_into<'a>(&'a self, op: Op<'a>, layout: Layout) -> Op<'a> {
        let (weights, channels) =
            (&self.weights[..], Channels { bias: &self.bias, multiplier: &self.multiplier, shift: &self.shift });
        match op {
            Op::Conv2d(op) => Op::Conv2d(Conv2d { layout, weights, channels, ..op }),
            Op::Linear(op) => Op::Linear(Linear { layout, weights, channels, ..op }),
            Op::Depthwise(op) => Op::Depthwise(Depthwise { weights, channels, ..op }),
            other => other,
        }
    }
}

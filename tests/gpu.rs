//! The GPU gives the runtime's bytes: every op on the contract's cases, random networks, the shipped models.
//!
//! `LIMBECK_GPU_CASES=1000 cargo test -p limbeck-tests --test gpu` is the long run.

use std::sync::LazyLock;

use limbeck::data::Kind;
use limbeck::verify::Feed;
use limbeck::verify::exact::Subject;
use limbeck::verify::gpu::{Gpu, GpuError, GpuRun, Settings, prove};
use limbeck::verify::host::HostError;
use limbeck::watch::Unwatched;
use limbeck_runtime::format::emit::Step;
use limbeck_runtime::kernels::contract::{OPS, Workspace, check_case};
use limbeck_runtime::kernels::scalar;
use limbeck_runtime::ops::{Embed, Lut, Op, Pick};
use limbeck_runtime::tensor::{Values, ValuesMut};
use limbeck_runtime::{Element, Isa, Kernels, Layout, Model, Rng, Session, Shape, Tensor};
use limbeck_tests::network::{self, one_op};
use limbeck_tests::{root, skipped};

/// The device of these tests, opened once: shaders are compiled once, too.
static GPU: LazyLock<Option<Gpu>> = LazyLock::new(|| match Gpu::open() {
    Ok(gpu) => Some(gpu),
    Err(GpuError::NoDevice) => None,
    Err(error) => panic!("{error}"),
});

fn gpu() -> Option<&'static Gpu> {
    if GPU.is_none() {
        skipped("there is no GPU, not even one of software: `cargo xtask setup` installs it");
    }
    GPU.as_ref()
}

/// Cases of each op, and random networks.
fn cases(usual: u32) -> u32 {
    let given = std::env::var("LIMBECK_GPU_CASES").ok();
    given.map_or(usual, |given| given.parse().expect("LIMBECK_GPU_CASES is a number of cases"))
}

/// Inputs for a model of any kind: rows of sequences, and the bytes of each input.
struct Bytes(Vec<(usize, Vec<Vec<i8>>)>);

impl Feed for Bytes {
    fn kind(&self) -> Kind {
        Kind::Images
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn check(&self, _: &Model<'_>) -> Result<(), HostError> {
        Ok(())
    }

    fn give(&self, index: usize, session: &mut Session<'_, '_, '_>) -> Result<(), HostError> {
        let (length, inputs) = &self.0[index];
        if *length > 0 {
            session.set_length(*length)?;
        }
        for (i, bytes) in inputs.iter().enumerate() {
            session.input_mut(i).copy_from_slice(bytes);
        }
        Ok(())
    }
}

/// Random inputs for a model, of every length in turn if it has sequences.
fn random_inputs(model: &Model<'_>, examples: usize, seed: u32) -> Bytes {
    let mut rng = Rng::new(seed);
    let most = model.max_length();
    let ports: Vec<_> = (0..model.inputs()).filter_map(|i| model.input(i)).collect();
    let example = |example: usize| {
        let length = if most == 0 { 0 } else { 1 + example * 7 % most };
        let bytes = |tensor: Tensor| {
            let rows = if tensor.sequence { length } else { tensor.shape.height };
            tensor.bytes() / tensor.shape.height * rows
        };
        (length, ports.iter().map(|port| (0..bytes(port.tensor)).map(|_| rng.byte()).collect()).collect())
    };
    Bytes((0..examples).map(example).collect())
}

fn traced(gpu: &Gpu, file: &str, model: Model<'_>, batch: Option<usize>, feed: &dyn Feed) -> Result<GpuRun, GpuError> {
    let settings = Settings { batch, trace: true, ..Settings::default() };
    prove(gpu, &Subject { file, model, names: &[] }, settings, feed, &Unwatched::default()).map(|(run, _)| run)
}

/// Runs one op on the GPU and in the runtime, and demands equal bytes.
fn on_gpu(op: Op<'_>, inputs: &[(Tensor, &[i8])], output: Tensor, length: usize) {
    let Some(gpu) = GPU.as_ref() else { return };
    let tensors: Vec<Tensor> = inputs.iter().map(|&(tensor, _)| tensor).collect();
    let file = one_op(op, &tensors, output).unwrap_or_else(|error| panic!("{op:?}: {error}"));
    let model = Model::parse(&file).unwrap();
    let feed = Bytes(vec![(length, inputs.iter().map(|(_, bytes)| bytes.to_vec()).collect())]);
    traced(gpu, op.kind().name(), model, None, &feed).unwrap_or_else(|error| panic!("{error}\n{op:?}"));
}

fn image(shape: Shape) -> Tensor {
    Tensor::new(0, shape)
}

/// Rows of some kind of number.
fn rows(element: Element, rows: usize, channels: usize) -> Tensor {
    Tensor { element, ..image(Shape::new(rows, 1, channels)) }
}

fn sequence(tensor: Tensor) -> Tensor {
    Tensor { sequence: true, ..tensor }
}

/// The elements of a tensor and its bytes.
fn bytes_of(values: Values<'_>) -> (Element, Vec<i8>) {
    match values {
        Values::Int8(values) => (Element::Int8, values.to_vec()),
        Values::Int16(values) => (Element::Int16, bytes_of_shorts(values)),
    }
}

fn bytes_of_shorts(values: &[i16]) -> Vec<i8> {
    values.iter().flat_map(|v| v.to_le_bytes()).map(u8::cast_signed).collect()
}

/// Scalar's table that also computes everything on the GPU: so the contract's cases become cases of the GPU.
const WITNESS: Kernels = Kernels {
    isa: Isa::Scalar,
    conv2d: |op, x, y, s| {
        if op.fits(x, y) {
            let mut inputs = vec![(image(op.input), x)];
            if op.residual.is_some() {
                inputs.push((image(op.output), &*y));
            }
            on_gpu(Op::Conv2d(*op), &inputs, image(op.output), 0);
        }
        (scalar::KERNELS.conv2d)(op, x, y, s);
    },
    depthwise: |op, x, y, s| {
        if op.fits(x, y) {
            on_gpu(Op::Depthwise(*op), &[(image(op.input), x)], image(op.output), 0);
        }
        (scalar::KERNELS.depthwise)(op, x, y, s);
    },
    linear: |op, x, y, s| {
        if op.fits(x, y) {
            let [from, to] = [op.inputs, op.outputs].map(|n| rows(Element::Int8, op.rows, n));
            on_gpu(Op::Linear(*op), &[(from, x)], to, 0);
        }
        (scalar::KERNELS.linear)(op, x, y, s);
    },
    add: |op, a, y| {
        let [pixel, whole] = repeated(a.len(), y.len());
        on_gpu(Op::Add(*op), &[(pixel, a), (whole, y)], whole, 0);
        (scalar::KERNELS.add)(op, a, y);
    },
    mul: |op, a, y| {
        let [pixel, whole] = repeated(a.len(), y.len());
        on_gpu(Op::Mul(*op), &[(pixel, a), (whole, y)], whole, 0);
        (scalar::KERNELS.mul)(op, a, y);
    },
    lut: |op, y| {
        let [_, whole] = repeated(y.len(), y.len());
        on_gpu(Op::Lut(*op), &[(whole, y)], whole, 0);
        (scalar::KERNELS.lut)(op, y);
    },
    max_pool: |op, x, y| {
        if op.fits(x, y) {
            on_gpu(Op::MaxPool(*op), &[(image(op.input), x)], image(op.output), 0);
        }
        (scalar::KERNELS.max_pool)(op, x, y);
    },
    avg_pool: |op, x, y| {
        if op.fits(x, y) {
            on_gpu(Op::AvgPool(*op), &[(image(op.pool.input), x)], image(op.pool.output), 0);
        }
        (scalar::KERNELS.avg_pool)(op, x, y);
    },
    softmax: |op, y| {
        let whole = rows(Element::Int8, y.len() / op.len, op.len);
        on_gpu(Op::Softmax(*op), &[(whole, y)], whole, 0);
        (scalar::KERNELS.softmax)(op, y);
    },
    embed: |op, tokens, y| {
        if op.fits(tokens, y) {
            let most = op.position_multipliers.len();
            let bytes: Vec<i8> = tokens.iter().flat_map(|id| id.to_le_bytes()).map(u8::cast_signed).collect();
            let (ids, to) = (rows(Element::Token, most, 1), rows(Element::Int16, most, op.width));
            // A kernel takes any weights, a file only those of the contract.
            let [words, positions] =
                [op.words, op.positions].map(|rows| rows.iter().map(|&w| w.max(-127)).collect::<Vec<_>>());
            let op = Embed { words: &words, positions: &positions, ..*op };
            on_gpu(Op::Embed(op), &[(sequence(ids), &bytes)], sequence(to), tokens.len());
        }
        (scalar::KERNELS.embed)(op, tokens, y);
    },
    layer_norm: |op, x, y| {
        if op.fits(x.len(), y.len()) {
            let to = match y {
                ValuesMut::Int8(_) => Element::Int8,
                ValuesMut::Int16(_) => Element::Int16,
            };
            let (n, (from, bytes)) = (op.gains.len(), bytes_of(x));
            let [from, to] = [from, to].map(|element| rows(element, x.len() / n, n));
            on_gpu(Op::LayerNorm(*op), &[(from, &bytes)], to, 0);
        }
        (scalar::KERNELS.layer_norm)(op, x, y);
    },
    attention: |op, inputs, y, s| {
        if op.fits(inputs, y) {
            // Room for more rows than there are.
            let tensor = sequence(rows(Element::Int8, op.rows + 3, op.width()));
            on_gpu(Op::Attention(*op), &inputs.map(|input| (tensor, input)), tensor, op.rows);
        }
        (scalar::KERNELS.attention)(op, inputs, y, s);
    },
    mean: |op, x, y| {
        if op.fits(x.len(), y.len()) {
            let (from, bytes) = bytes_of(x);
            let from = sequence(rows(from, op.multipliers.len(), y.len()));
            on_gpu(Op::Pick(Pick::Mean(*op)), &[(from, &bytes)], rows(Element::Int8, 1, y.len()), op.rows);
        }
        (scalar::KERNELS.mean)(op, x, y);
    },
    add16: |op, a, y| {
        if a.len() == y.len() {
            let (from, bytes) = bytes_of(a);
            let [a, b] = [from, Element::Int16].map(|element| rows(element, 1, y.len()));
            on_gpu(Op::Add16(*op), &[(a, &bytes), (b, &bytes_of_shorts(y))], b, 0);
        }
        (scalar::KERNELS.add16)(op, a, y);
    },
    narrow: |op, x, y| {
        if x.len() == y.len() {
            let [from, to] = [Element::Int16, Element::Int8].map(|element| rows(element, 1, y.len()));
            on_gpu(Op::Narrow(*op), &[(from, &bytes_of_shorts(x))], to, 0);
        }
        (scalar::KERNELS.narrow)(op, x, y);
    },
};

/// Shapes of a repeated operand and of an output: as long as that, a pixel, or one number.
fn repeated(a: usize, output: usize) -> [Tensor; 2] {
    if a == 1 || a == output {
        return [a, output].map(|n| rows(Element::Int8, 1, n));
    }
    [rows(Element::Int8, 1, a), rows(Element::Int8, output / a, a)]
}

#[test]
fn every_op_keeps_the_contract() {
    if gpu().is_none() {
        return;
    }
    let mut work = Box::new(Workspace::new());
    for op in OPS {
        for case in 0..cases(60) {
            check_case(&WITNESS, &mut work, op, case).unwrap();
        }
    }
}

#[test]
fn a_tensor_is_read_in_another_shape() {
    let Some(gpu) = gpu() else { return };
    let table: [i8; 256] = std::array::from_fn(|i| (i as u8).wrapping_mul(3).cast_signed());
    let lut = Op::Lut(Lut { table: &table });
    // Whole quads and others, from pixels to a vector and back.
    for [first, second] in
        [[[2, 2, 3], [1, 1, 12]], [[1, 2, 6], [2, 2, 3]], [[2, 3, 4], [1, 3, 8]], [[1, 1, 5], [5, 1, 1]]]
    {
        let [first, second] = [first, second].map(|[height, width, channels]| Shape::new(height, width, channels));
        let place = |number: usize, shape| Tensor::new(32 * number, shape);
        let tensors = [place(0, first), place(1, first), place(1, second), place(2, second)];
        let step = |inputs, output| Step { op: lut, inputs, output, scratch_offset: 0, scratch_bytes: 0 };
        let file = network::file(&tensors, &[step(&[0], 1), step(&[2], 3)], 96);
        let model = Model::parse(&file).unwrap();
        traced(gpu, "reshaped", model, None, &random_inputs(&model, 3, 1)).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn random_networks_in_any_layout_give_equal_tensors() {
    let Some(gpu) = gpu() else { return };
    let layouts: Vec<Layout> = Isa::ALL.iter().map(|isa| isa.layout()).collect();
    for seed in 0..cases(120) {
        let file = network::random(seed, layouts[seed as usize % layouts.len()]);
        let model = Model::parse(&file).unwrap();
        // Two batches, the second of one example.
        let run = traced(gpu, "random", model, Some(2), &random_inputs(&model, 3, seed));
        let run = run.unwrap_or_else(|error| panic!("network {seed}: {error}"));
        assert_eq!((run.n, run.batch, run.tensors), (3, 2, model.ops().count() + 1));
    }
}

#[test]
fn shipped_models_give_equal_tensors() {
    let Some(gpu) = gpu() else { return };
    for (name, examples) in [("cifar10-resnet8", 5), ("banking77-mcu", 9), ("sst2-mcu", 9)] {
        let bytes = limbeck::verify::host::read(&root().join(format!("models/{name}.lmb"))).unwrap();
        let model = Model::parse(&bytes).unwrap();
        let run = traced(gpu, name, model, Some(4), &random_inputs(&model, examples, 1));
        assert_eq!(run.unwrap_or_else(|error| panic!("{error}")).n, examples);
    }
}

//! The stage from a plan to a model file: integers instead of reals, weights in the target's order, all in one buffer.

mod error;
pub(crate) mod params;
mod pixels;
pub mod sequences;

pub use error::PackError;

use crate::data::Normalize;
use crate::graph::Pick;
use crate::plan::{Plan, PlanStep};
use crate::quantize::{QuantGraph, QuantNode, QuantOp, QuantTensor, TensorId};
use limbeck_runtime::format::emit::{self, File, PortSpec, SelfTestSpec, Step, TestInput};
use limbeck_runtime::ops::{self, AllOps, Op};
use limbeck_runtime::text::Tokenizer;
use limbeck_runtime::{AlignedBytes, Certificate, Element, Kernels, Layout, Model, Rng, Session, Shape, Tensor};
use params::Layer;
use sequences::{Addend, Embedding, Norm};

/// Seeds of the self-tests that every file carries.
const SEEDS: [u32; 3] = [1, 2, 3];

/// What a model file says beside the network.
#[derive(Clone, Debug, Default)]
pub struct PackInfo {
    /// Names of the classes, in the order of the outputs; may be empty.
    pub labels: Vec<String>,
    /// Where the model comes from.
    pub metadata: serde_json::Value,
    /// How pixels of 8 bits become the first input; `None` if that is no image.
    pub pixels: Option<Normalize>,
    /// The section that makes tokens of text, see [`Vocabulary::section`](crate::text::Vocabulary::section); may be empty.
    pub vocabulary: Vec<u8>,
    /// Digest over the verification set; the default where that has not been run.
    pub certificate: Certificate,
}

/// Makes the model file of a plan, self-tests included. The same arguments give the same bytes.
///
/// # Errors
/// If a layer's integers are out of the contract's range, the vocabulary is not the network's, or something is too large for
/// the format.
pub fn pack(graph: &QuantGraph, plan: &Plan, info: &PackInfo) -> Result<AlignedBytes, PackError> {
    if let Some(label) = info.labels.iter().find(|l| l.contains('\n')) {
        return Err(PackError::Label { label: label.clone() });
    }
    check_vocabulary(graph, &info.vocabulary)?;
    let numbers = tensor_numbers(plan)?;
    let number = |id: TensorId| numbers[id.index()].unwrap_or(u16::MAX);
    let tensors = plan.offsets.iter().zip(&graph.tensors).filter_map(|(offset, tensor)| {
        let QuantTensor { shape: [height, width, channels], element, sequence, .. } = *tensor;
        Some(Tensor { offset: (*offset)?, shape: Shape { height, width, channels }, element, sequence })
    });
    let layers = plan.steps.iter().map(|step| stored(graph, &graph.nodes[step.node], plan.layout));
    let layers = layers.collect::<Result<Vec<_>, _>>()?;
    let wired: Vec<Wired> = plan.steps.iter().map(|step| wire(graph, plan, step)).collect();
    let inputs: Vec<Vec<u16>> = wired.iter().map(|w| w.inputs.iter().map(|&t| number(t)).collect()).collect();
    let mut steps = Vec::with_capacity(plan.steps.len());
    for (((step, wired), layer), inputs) in plan.steps.iter().zip(&wired).zip(&layers).zip(&inputs) {
        let [scratch_offset, scratch_bytes] = step.scratch;
        let op = operator(graph, step, wired, layer, plan.layout)?;
        steps.push(Step { op, inputs, output: number(wired.output), scratch_offset, scratch_bytes });
    }
    let tables = match (&info.pixels, graph.inputs.first()) {
        (Some(normalize), Some(&id)) => pixels::table(normalize, graph.tensor(id))?,
        _ => None,
    };
    let port = |id: TensorId, pixels| {
        let affine = graph.tensor(id).affine;
        PortSpec { tensor: number(id), scale: affine.scale, zero: affine.zero_point, pixels }
    };
    let first = |i: usize| if i == 0 { tables.as_deref() } else { None };
    let metadata = if info.metadata.is_null() { String::new() } else { info.metadata.to_string() };
    let file = File {
        layout: plan.layout,
        arena_bytes: plan.arena_bytes,
        tensors: &tensors.collect::<Vec<_>>(),
        ops: &steps,
        inputs: &graph.inputs.iter().enumerate().map(|(i, &id)| port(id, first(i))).collect::<Vec<_>>(),
        outputs: &graph.outputs.iter().map(|&id| port(id, None)).collect::<Vec<_>>(),
        labels: &info.labels.join("\n"),
        metadata: &metadata,
        vocabulary: &info.vocabulary,
        certificate: info.certificate,
        self_tests: &[],
    };
    let digests = digests(&emit::to_bytes(&file)?)?;
    let tests: Vec<_> = SEEDS
        .iter()
        .zip(digests)
        .map(|(&seed, digest)| SelfTestSpec { digest, input: TestInput::Seed(seed) })
        .collect();
    Ok(emit::to_bytes(&File { self_tests: &tests, ..file })?)
}

/// Whether a tokenizer's words are the rows that the graph looks up.
fn check_vocabulary(graph: &QuantGraph, section: &[u8]) -> Result<(), PackError> {
    if section.is_empty() {
        return Ok(());
    }
    let words = Tokenizer::parse(section).map_err(PackError::Tokenizer)?.size().into();
    let rows = graph.vocabulary().unwrap_or(0);
    if words == rows { Ok(()) } else { Err(PackError::Vocabulary { words, rows }) }
}

/// The number of each tensor in the file; tensors without a place have none.
fn tensor_numbers(plan: &Plan) -> Result<Vec<Option<u16>>, PackError> {
    let mut next = 0usize;
    plan.offsets
        .iter()
        .map(|offset| {
            offset.map_or(Ok(None), |_| {
                next += 1;
                u16::try_from(next - 1).map(Some).map_err(|_| PackError::TooManyTensors { count: plan.offsets.len() })
            })
        })
        .collect()
}

/// What goes into a file of a node beside its record.
enum Stored<'a> {
    /// Weights, or numbers of channels alone.
    Layer(Layer),
    /// Tables of words and positions.
    Embedding(Embedding<'a>),
    /// Gains and biases.
    Norm(Norm),
}

fn stored<'a>(graph: &QuantGraph, node: &'a QuantNode, layout: Layout) -> Result<Stored<'a>, PackError> {
    let [input, output] = [node.inputs[0], node.output].map(|id| graph.tensor(id));
    let scales = || out_of_range(node, format!("from scale {:e} to {:e}", input.affine.scale, output.affine.scale));
    let layer = match &node.op {
        QuantOp::Conv2d { weights, .. } | QuantOp::Linear { weights, .. } => {
            Layer::panels(graph, node, weights, layout)?
        }
        QuantOp::Depthwise { weights, .. } => Layer::taps(graph, node, weights, layout)?,
        QuantOp::AvgPool { count_pad, .. } => {
            let (multiplier, shift) = params::means(graph, node, *count_pad)?;
            Layer { multiplier, shift, ..Layer::default() }
        }
        QuantOp::Pick { pick: Pick::Mean } => {
            let means = sequences::means(input.shape[0], input.affine.scale, output.affine.scale);
            let (multiplier, shift) = means.ok_or_else(scales)?;
            Layer { multiplier, shift, ..Layer::default() }
        }
        QuantOp::Embed { words, positions } => {
            let tables = Embedding::new([words, positions], output.affine.scale);
            return tables.map(Stored::Embedding).ok_or_else(scales);
        }
        QuantOp::LayerNorm { eps, gamma, beta } => {
            let norm = Norm::new([gamma, beta], *eps, input.affine.scale, output.affine);
            return norm.map(Stored::Norm).ok_or_else(scales);
        }
        _ => Layer::default(),
    };
    Ok(Stored::Layer(layer))
}

fn out_of_range(node: &QuantNode, problem: String) -> PackError {
    PackError::Range { node: node.name.clone(), problem }
}

/// The operands of a step as the runtime orders them: of two, the second lies where the result does, if one does.
struct Wired {
    inputs: Vec<TensorId>,
    output: TensorId,
    /// The node of the sum or product, and which of its operands is the first.
    pair: Option<(usize, usize)>,
}

fn wire(graph: &QuantGraph, plan: &Plan, step: &PlanStep) -> Wired {
    let node = &graph.nodes[step.node];
    if let Some(add) = step.add {
        let sum = &graph.nodes[add];
        let made = sum.inputs.iter().position(|&t| t == node.output).unwrap_or(0);
        let inputs = vec![node.inputs[0], sum.inputs[1 - made]];
        return Wired { inputs, output: sum.output, pair: Some((add, made)) };
    }
    let mut wired = Wired { inputs: node.inputs.clone(), output: node.output, pair: None };
    if matches!(node.op, QuantOp::Add { .. } | QuantOp::Add16 | QuantOp::Mul { .. }) {
        let place = plan.offsets[node.output.index()];
        let whole = |i: usize| graph.tensor(node.inputs[i]).bytes() == graph.tensor(node.output).bytes();
        let lies_there = |i: usize| whole(i) && plan.offsets[node.inputs[i].index()] == place;
        // The graph has the operand that stands for every pixel second, and the second of a sum of 16 bits must have so many.
        let wide_only = |i: usize| node.op == QuantOp::Add16 && whole(i) && !whole(1 - i);
        let second = if lies_there(1) && !wide_only(0) || wide_only(1) { 1 } else { 0 };
        wired.inputs = vec![node.inputs[1 - second], node.inputs[second]];
        wired.pair = Some((step.node, 1 - second));
    }
    wired
}

fn operator<'a>(
    graph: &'a QuantGraph,
    step: &PlanStep,
    wired: &Wired,
    stored: &'a Stored<'a>,
    layout: Layout,
) -> Result<Op<'a>, PackError> {
    let node = &graph.nodes[step.node];
    let layer = match stored {
        Stored::Layer(layer) => layer,
        Stored::Embedding(tables) => return Ok(Op::Embed(tables.op())),
        Stored::Norm(norm) => return Ok(Op::LayerNorm(norm.op())),
    };
    let tensor = |id: TensorId| graph.tensor(id);
    let scales = || {
        let all: Vec<f32> = wired.inputs.iter().chain([&wired.output]).map(|&id| tensor(id).affine.scale).collect();
        out_of_range(node, format!("scales of {all:?}"))
    };
    let pair = |kind: &dyn Fn(&QuantNode, usize) -> Result<Op<'a>, PackError>| {
        let (node, first) = wired.pair.unwrap_or((step.node, 0));
        kind(&graph.nodes[node], first)
    };
    Ok(match &node.op {
        QuantOp::Conv2d { .. } => {
            let residual = step.add.and(wired.pair).map(|(add, first)| params::add(graph, &graph.nodes[add], first));
            Op::Conv2d(params::conv2d(graph, node, layer, layout, residual.transpose()?))
        }
        QuantOp::Depthwise { .. } => Op::Depthwise(params::depthwise(graph, node, layer)),
        QuantOp::Linear { .. } => Op::Linear(params::linear(graph, node, layer, layout)),
        QuantOp::Add { .. } => pair(&|node, first| params::add(graph, node, first).map(Op::Add))?,
        QuantOp::Mul { .. } => pair(&|node, first| params::mul(graph, node, first).map(Op::Mul))?,
        QuantOp::Lut { table } => Op::Lut(ops::Lut { table }),
        QuantOp::MaxPool { .. } => Op::MaxPool(params::max_pool(graph, node)),
        QuantOp::AvgPool { .. } => Op::AvgPool(params::avg_pool(graph, node, &layer.multiplier, &layer.shift)),
        QuantOp::Softmax => Op::Softmax(params::softmax(graph, node)),
        QuantOp::Concat { axis } => Op::Concat(ops::Concat { axis: *axis as u8 }),
        QuantOp::Pad { pads, value } => Op::Pad(ops::Pad { before: pads.map(|(before, _)| before), value: *value }),
        QuantOp::Slice { start, step } => Op::Slice(ops::Slice { start: *start, step: *step }),
        QuantOp::Attention { heads } => {
            let shape = params::attention_shape(graph, node, *heads);
            let scales_of = [0, 1, 2].map(|i| tensor(node.inputs[i]).affine.scale);
            let sizes = [shape.rows, shape.heads, shape.size];
            let op = sequences::attention(sizes, scales_of, tensor(node.output).affine, shape.range);
            Op::Attention(op.ok_or_else(scales)?)
        }
        QuantOp::Pick { pick: Pick::First } => Op::Pick(ops::Pick::First),
        QuantOp::Pick { pick: Pick::Mean } => Op::Pick(ops::Pick::Mean(ops::Mean {
            rows: tensor(node.inputs[0]).shape[0],
            input_zero: tensor(node.inputs[0]).affine.zero_point,
            multipliers: &layer.multiplier,
            shifts: &layer.shift,
            range: params::output(graph, node),
        })),
        QuantOp::Add16 => {
            let [a, b] = [wired.inputs[0], wired.inputs[1]].map(tensor);
            let addend = match a.element {
                Element::Int16 => Addend::Int16(a.affine.scale),
                _ => Addend::Int8(a.affine),
            };
            let sum = sequences::add16(addend, b.affine.scale, tensor(node.output).affine.scale);
            Op::Add16(sum.ok_or_else(scales)?)
        }
        QuantOp::Narrow => {
            let output = tensor(node.output).affine;
            let op = sequences::narrow(tensor(node.inputs[0]).affine.scale, output, params::output(graph, node));
            Op::Narrow(op.ok_or_else(scales)?)
        }
        QuantOp::Embed { .. } | QuantOp::LayerNorm { .. } | QuantOp::Reshape => {
            return Err(PackError::Range {
                node: node.name.clone(),
                problem: "it was planned as what it is not".into(),
            });
        }
    })
}

/// Digests of the outputs for each seed.
fn digests(file: &[u8]) -> Result<Vec<u64>, PackError> {
    let model = Model::parse(file).map_err(emit::EmitError::from)?;
    let kernels = Kernels::best::<AllOps>(model.layout());
    let mut arena = AlignedBytes::zeroed(limbeck_runtime::arena_bytes(&model, kernels.isa));
    let mut session = Session::with_kernels(&model, &mut arena, kernels).map_err(PackError::Session)?;
    Ok(SEEDS
        .iter()
        .map(|&seed| {
            let mut rng = Rng::new(seed);
            for i in 0..model.inputs() {
                session.input_mut(i).fill_with(|| rng.byte());
            }
            session.run();
            session.digest()
        })
        .collect())
}

#[cfg(test)]
mod tests;

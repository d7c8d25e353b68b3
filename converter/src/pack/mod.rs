//! The stage from a plan to a model file: integers instead of reals, weights in the target's order, all in one buffer.

mod error;
pub(crate) mod params;
mod pixels;
pub mod sequences;

pub use error::PackError;

use crate::data::Normalize;
use crate::plan::{Plan, PlanStep};
use crate::quantize::{QuantGraph, QuantNode, QuantOp, TensorId};
use limbeck_runtime::format::emit::{self, File, PortSpec, SelfTestSpec, Step, TestInput};
use limbeck_runtime::ops::{self, AllOps, Op};
use limbeck_runtime::{AlignedBytes, Certificate, Kernels, Layout, Model, Rng, Session, Shape, Tensor};
use params::Layer;

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
    /// Digest over the verification set; the default where that has not been run.
    pub certificate: Certificate,
}

/// Makes the model file of a plan, self-tests included. The same arguments give the same bytes.
///
/// # Errors
/// If a layer's integers are out of the contract's range, or something is too large for the format.
pub fn pack(graph: &QuantGraph, plan: &Plan, info: &PackInfo) -> Result<AlignedBytes, PackError> {
    if let Some(label) = info.labels.iter().find(|l| l.contains('\n')) {
        return Err(PackError::Label { label: label.clone() });
    }
    let numbers = tensor_numbers(plan)?;
    let number = |id: TensorId| numbers[id.index()].unwrap_or(u16::MAX);
    let tensors = plan.offsets.iter().zip(&graph.tensors).filter_map(|(offset, tensor)| {
        let [height, width, channels] = tensor.shape;
        Some(Tensor::new((*offset)?, Shape { height, width, channels }))
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
        vocabulary: &[],
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
fn stored(graph: &QuantGraph, node: &QuantNode, layout: Layout) -> Result<Layer, PackError> {
    match &node.op {
        QuantOp::Conv2d { weights, .. } | QuantOp::Linear { weights, .. } => {
            Layer::panels(graph, node, weights, layout)
        }
        QuantOp::Depthwise { weights, .. } => Layer::taps(graph, node, weights, layout),
        QuantOp::AvgPool { count_pad, .. } => {
            let (multiplier, shift) = params::means(graph, node, *count_pad)?;
            Ok(Layer { multiplier, shift, ..Layer::default() })
        }
        _ => Ok(Layer::default()),
    }
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
    if matches!(node.op, QuantOp::Add { .. } | QuantOp::Mul { .. }) {
        let place = plan.offsets[node.output.index()];
        let whole = |i: usize| graph.tensor(node.inputs[i]).bytes() == graph.tensor(node.output).bytes();
        let lies_there = |i: usize| whole(i) && plan.offsets[node.inputs[i].index()] == place;
        // The graph has the operand that stands for every pixel second.
        let second = if lies_there(1) { 1 } else { 0 };
        wired.inputs = vec![node.inputs[1 - second], node.inputs[second]];
        wired.pair = Some((step.node, 1 - second));
    }
    wired
}

fn operator<'a>(
    graph: &'a QuantGraph,
    step: &PlanStep,
    wired: &Wired,
    layer: &'a Layer,
    layout: Layout,
) -> Result<Op<'a>, PackError> {
    let node = &graph.nodes[step.node];
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
        QuantOp::Reshape => {
            return Err(PackError::Range { node: node.name.clone(), problem: "a view was planned as a step".into() });
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

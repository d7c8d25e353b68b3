//! Lowers the steps of a float graph to an int8 graph, given the mapping of every tensor.

use super::elements::{Elements, Form, NARROWED, operands};
use super::error::QuantizeError;
use super::graph::{QuantGraph, QuantOp, QuantTensor, TensorId};
use super::mapping::Mapping;
use super::proof::{Bounds, fold_bias};
use super::scheme::{Affine, FixedPoint, Weights};
use super::site::{Lowered, Site, image_shape, sequence_shape};
use super::steps::Step;
use crate::graph::{Graph, Node, Op, Pick, ValueId};
use crate::ops::{
    add, attention, avg_pool, batchnorm, concat, conv2d, embed, layer_norm, layout, linear, lut, matmul, max_pool, mul,
    pad, pick, slice, softmax,
};
use limbeck_runtime::kernels::Isa;
use limbeck_runtime::quant::MAX_LEFT;
use std::collections::BTreeMap;

/// An int8 graph and where it comes from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    /// The int8 graph.
    pub graph: QuantGraph,
    /// For each of its tensors the value of the float graph that it stands for.
    pub values: Vec<ValueId>,
}

/// The int8 graph of `graph` (a batch of one), or the scales that must become coarser first.
///
/// # Errors
/// If a node has no int8 form.
pub(super) fn lower(
    graph: &Graph,
    steps: &[Step],
    elements: &Elements,
    mapping: &Mapping,
) -> Result<Result<Origin, BTreeMap<Form, f32>>, QuantizeError> {
    let out = QuantGraph { name: graph.name.clone(), ..QuantGraph::default() };
    let origin = Origin { graph: out, values: Vec::new() };
    let mut lowering = Lowering { graph, elements, mapping, origin, tensors: BTreeMap::new(), floors: BTreeMap::new() };
    for &value in &graph.inputs {
        let tensor = lowering.make(Form { value, narrowed: false })?;
        lowering.origin.graph.inputs.push(tensor);
    }
    for (i, step) in steps.iter().enumerate() {
        lowering.step(i, step)?;
    }
    for &value in &graph.outputs {
        let reader = graph.producer(value);
        let tensor = lowering.read(elements.returned(value), reader)?;
        lowering.origin.graph.outputs.push(tensor);
    }
    if !lowering.floors.is_empty() {
        return Ok(Err(lowering.floors));
    }
    prove(&lowering.origin.graph)?;
    Ok(Ok(lowering.origin))
}

/// A graph on its way.
struct Lowering<'a> {
    graph: &'a Graph,
    elements: &'a Elements,
    mapping: &'a Mapping,
    origin: Origin,
    /// The tensors that are there.
    tensors: BTreeMap<Form, TensorId>,
    /// Scales that must become coarser.
    floors: BTreeMap<Form, f32>,
}

impl Lowering<'_> {
    fn step(&mut self, index: usize, step: &Step) -> Result<(), QuantizeError> {
        let node = &self.graph.nodes[step.node];
        let made = Form { value: step.output, narrowed: false };
        let output = self.affine(made)?;
        let mut inputs = Vec::new();
        for (k, value) in operands(self.graph, node).enumerate() {
            let mut tensor = self.read(self.elements.read(node, value), Some(node))?;
            if self.mapping.rescales(index, k) {
                tensor = self.rescaled(node, k, value, tensor, output);
            }
            inputs.push(tensor);
        }
        let affines: Vec<Affine> = inputs.iter().map(|&t| self.origin.graph.tensor(t).affine).collect();
        let element = self.elements.of(made);
        let site = Site { graph: self.graph, node, inputs: &affines, output, element, then: &step.then };
        let op = lower_node(&site)?;
        if self.elements.is_sequence(step.output) && !keeps_rows(&op) {
            let problem = format!("as `{}` it has no form for texts of different lengths", op.name());
            return Err(
                site.unsupported(problem, "join it with the linear layer beside it, or apply it behind pooling")
            );
        }
        if let Some(floor) = coarser(&op, &affines, output) {
            self.floors.insert(made, floor);
        }
        // The operand that stands for every pixel comes second.
        if inputs.len() == 2 && matches!(op, QuantOp::Add { .. } | QuantOp::Mul { .. }) {
            inputs.sort_by_key(|&t| std::cmp::Reverse(self.origin.graph.tensor(t).bytes()));
        }
        let tensor = self.make(made)?;
        self.origin.graph.push_node(&node.name, op, &inputs, tensor);
        Ok(())
    }

    /// The tensor of a form, which is made narrower here if that was not needed before.
    fn read(&mut self, form: Form, reader: Option<&Node>) -> Result<TensorId, QuantizeError> {
        if let Some(&tensor) = self.tensors.get(&form) {
            return Ok(tensor);
        }
        let whole = self.tensors.get(&Form { narrowed: false, ..form }).copied();
        let Some(whole) = whole.filter(|_| form.narrowed) else {
            let (node, op) = reader.map_or(("the output", "output"), |node| (node.name.as_str(), node.op.name()));
            let problem = "it reads a value that no int8 operator makes".to_owned();
            let remedy = "fold constants before quantizing";
            return Err(QuantizeError::Unsupported { node: node.to_owned(), op, problem, remedy });
        };
        let tensor = self.make(form)?;
        let name = self.origin.graph.tensor(tensor).name.clone();
        self.origin.graph.push_node(name, QuantOp::Narrow, &[whole], tensor);
        Ok(tensor)
    }

    /// A table that changes the scale of operand number `k`.
    fn rescaled(&mut self, node: &Node, k: usize, value: ValueId, tensor: TensorId, output: Affine) -> TensorId {
        let from = self.origin.graph.tensor(tensor).clone();
        let inputs = &[from.affine];
        let site = Site { graph: self.graph, node, inputs, output, element: from.element, then: &[] };
        let op = site.table(|x| x);
        let name = format!("{}.input{k}", node.name);
        let rescaled = self.origin.graph.push(QuantTensor { name: name.clone(), affine: output, ..from });
        self.origin.values.push(value);
        self.origin.graph.push_node(name, op, &[tensor], rescaled);
        rescaled
    }

    fn affine(&self, form: Form) -> Result<Affine, QuantizeError> {
        let name = || self.graph.value(form.value).name.clone();
        self.mapping.get(form).map(|c| c.affine).ok_or_else(|| QuantizeError::NonFiniteActivation { tensor: name() })
    }

    fn make(&mut self, form: Form) -> Result<TensorId, QuantizeError> {
        let value = self.graph.value(form.value);
        let sequence = self.elements.is_sequence(form.value);
        let shape = if sequence { sequence_shape(&value.shape) } else { image_shape(&value.shape) };
        let shape = shape.ok_or_else(|| QuantizeError::Unsupported {
            node: value.name.clone(),
            op: self.graph.producer(form.value).map_or("input", |n| n.op.name()),
            problem: format!("its result has shape {:?}", value.shape),
            remedy: "int8 tensors have a batch of 1 and up to three more axes",
        })?;
        let name = if form.narrowed { value.name.clone() + NARROWED } else { value.name.clone() };
        let (affine, element) = (self.affine(form)?, self.elements.of(form));
        let tensor = self.origin.graph.push(QuantTensor { name, shape, affine, element, sequence });
        self.origin.values.push(form.value);
        self.tensors.insert(form, tensor);
        Ok(tensor)
    }
}

fn lower_node(site: &Site<'_>) -> Lowered {
    match &site.node.op {
        Op::Conv2d { window, groups } => conv2d::lower(site, window, *groups),
        Op::Linear => linear::lower(site),
        Op::MatMul => matmul::lower(site),
        Op::BatchNorm { eps } => batchnorm::lower(site, *eps),
        Op::Embedding => embed::lower(site),
        Op::LayerNorm { eps } => layer_norm::lower(site, *eps),
        Op::Normalize => Err(layer_norm::refuse_normalize(site)),
        Op::Attention { heads } => attention::lower(site, *heads),
        Op::Pick(pick) => Ok(pick::lower(*pick)),
        Op::Unary(f) => Ok(lut::lower(site, *f)),
        Op::Add => add::lower(site),
        Op::Mul => mul::lower(site),
        Op::MaxPool(window) => Ok(max_pool::lower(window)),
        Op::AvgPool { window, count_pad } => Ok(avg_pool::lower(site, window, *count_pad)),
        Op::GlobalAvgPool => Ok(avg_pool::lower_global(site)),
        Op::Softmax { axis } => softmax::lower(site, *axis),
        Op::Concat { axis } => concat::lower(site, *axis),
        Op::Pad { pads, value } => pad::lower(site, pads, *value),
        Op::Slice { axis, start, step, .. } => slice::lower(site, *axis, *start, *step),
        Op::Reshape(_) => Ok(QuantOp::Reshape),
        Op::Transpose(perm) => layout::lower_transpose(site, perm),
    }
}

/// Whether an operator works on as many rows as there are.
fn keeps_rows(op: &QuantOp) -> bool {
    matches!(
        op,
        QuantOp::Embed { .. }
            | QuantOp::LayerNorm { .. }
            | QuantOp::Attention { .. }
            | QuantOp::Linear { .. }
            | QuantOp::Lut { .. }
            | QuantOp::Add { .. }
            | QuantOp::Mul { .. }
            | QuantOp::Add16
            | QuantOp::Softmax
    )
}

/// Real factors from accumulator to output, one for each output channel or for the whole tensor.
pub(super) fn factors(weights: &Weights, input: Affine, output: Affine) -> impl Iterator<Item = f64> {
    weights.scales.iter().map(move |&s| f64::from(input.scale) * f64::from(s) / f64::from(output.scale))
}

/// The scale that an output needs at least for its factors to be representable, if it is finer now.
fn coarser(op: &QuantOp, inputs: &[Affine], output: Affine) -> Option<f32> {
    let largest = |factor: f64, limit: f64| factor / limit;
    let excess = match op {
        QuantOp::Conv2d { weights, .. } | QuantOp::Depthwise { weights, .. } | QuantOp::Linear { weights, .. } => {
            let input = *inputs.first()?;
            let rows = weights.rows().zip(&weights.bias).zip(factors(weights, input, output));
            rows.map(|((row, &bias), factor)| {
                let bounds = offsets().map(|offset| {
                    let sum: i64 = row.iter().map(|&w| i64::from(w)).sum();
                    Bounds::of(row, i64::from(bias) - (i64::from(input.zero_point) + i64::from(offset)) * sum, offset)
                });
                let left = bounds.map(Bounds::room).min().unwrap_or(0);
                largest(factor, 0.249 * f64::from(1u32 << left))
            })
            .fold(0.0, f64::max)
        }
        QuantOp::Add { .. } => {
            inputs.iter().map(|a| largest(f64::from(a.scale / output.scale), 8_000.0)).fold(0.0, f64::max)
        }
        QuantOp::Mul { .. } => {
            let [a, b] = inputs else { return None };
            largest(f64::from(a.scale) * f64::from(b.scale) / f64::from(output.scale), 31.0)
        }
        QuantOp::AvgPool { .. } | QuantOp::Pick { pick: Pick::Mean } => {
            largest(f64::from(inputs.first()?.scale / output.scale), 31.0)
        }
        QuantOp::LayerNorm { gamma, beta, .. } => {
            let peak = |values: &[f32]| f64::from(values.iter().fold(0.0f32, |m, v| m.max(v.abs())));
            let [gain, shift] = [peak(gamma), peak(beta)].map(|peak| peak / f64::from(output.scale));
            largest(gain, f64::exp2(17.0)).max(largest(shift, f64::exp2(28.0)))
        }
        _ => 0.0,
    };
    (excess > 1.0).then(|| (f64::from(output.scale) * excess * 1.001) as f32)
}

/// What the registered layouts add to every input.
fn offsets() -> impl Iterator<Item = i32> {
    let mut all: Vec<i32> = Isa::ALL.iter().map(|isa| i32::from(isa.layout().input_offset)).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter()
}

/// Left shifts of a layer's accumulators.
///
/// # Errors
/// If a factor is out of range, which the choice of scales should have prevented.
pub fn fixed_points(
    layer: &str,
    weights: &Weights,
    input: Affine,
    output: Affine,
) -> Result<Vec<FixedPoint>, QuantizeError> {
    let range = |channel, factor| QuantizeError::Factor { layer: layer.to_owned(), channel, factor };
    factors(weights, input, output)
        .enumerate()
        .map(|(channel, factor)| FixedPoint::nearest(factor).ok_or_else(|| range(channel, factor)))
        .collect()
}

/// Proves for every layer and every registered layout that no accumulator can leave 32 bits.
fn prove(graph: &QuantGraph) -> Result<(), QuantizeError> {
    for node in &graph.nodes {
        let Some(weights) = node.op.weights() else { continue };
        let [input, output] = [node.inputs[0], node.output].map(|t| graph.tensor(t).affine);
        let fixed = fixed_points(&node.name, weights, input, output)?;
        let left: Vec<u8> = fixed.iter().map(|f| f.left.min(MAX_LEFT)).collect();
        for offset in offsets() {
            fold_bias(&node.name, weights, input.zero_point, offset, &left)?;
        }
    }
    Ok(())
}

//! Lowers the steps of a float graph to an int8 graph, given the mapping of every tensor.

use super::error::QuantizeError;
use super::graph::{QuantGraph, QuantNode, QuantOp, TensorId};
use super::mapping::Mapping;
use super::proof::{Bounds, fold_bias};
use super::scheme::{Affine, FixedPoint, Weights};
use super::site::{Lowered, Site, image_shape};
use super::steps::Step;
use crate::graph::{Graph, Op, ValueId};
use crate::ops::{
    add, avg_pool, batchnorm, concat, conv2d, layout, linear, lut, matmul, max_pool, mul, pad, slice, softmax,
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
    mapping: &Mapping,
) -> Result<Result<Origin, BTreeMap<ValueId, f32>>, QuantizeError> {
    let mut out = QuantGraph { name: graph.name.clone(), ..QuantGraph::default() };
    let mut values = Vec::new();
    let mut tensors: BTreeMap<ValueId, TensorId> = BTreeMap::new();
    let mut floors = BTreeMap::new();
    for &id in &graph.inputs {
        let tensor = add_tensor(&mut out, graph, id, affine(mapping, graph, id)?)?;
        tensors.insert(id, tensor);
        out.inputs.push(tensor);
        values.push(id);
    }
    for (i, step) in steps.iter().enumerate() {
        let node = &graph.nodes[step.node];
        let output = affine(mapping, graph, step.output)?;
        let computed: Vec<(usize, ValueId)> =
            node.inputs.iter().copied().filter(|&id| graph.param(id).is_none()).enumerate().collect();
        let mut inputs = Vec::new();
        for &(k, id) in &computed {
            let mut tensor = *tensors.get(&id).ok_or_else(|| no_constant_folding(node.name.clone(), &node.op))?;
            if mapping.rescales(i, k) {
                let from = out.tensor(tensor).affine;
                let site = Site { graph, node, inputs: &[from], output, then: &[] };
                let op = site.table(|x| x);
                let shape = out.tensor(tensor).shape;
                let name = format!("{}.input{k}", node.name);
                let rescaled = out.add_tensor(name.clone(), shape, output);
                values.push(id);
                out.nodes.push(QuantNode { name, op, inputs: vec![tensor], output: rescaled });
                tensor = rescaled;
            }
            inputs.push(tensor);
        }
        let affines: Vec<Affine> = inputs.iter().map(|&t| out.tensor(t).affine).collect();
        let site = Site { graph, node, inputs: &affines, output, then: &step.then };
        let op = lower_node(&site)?;
        if let Some(floor) = coarser(&op, &affines, output) {
            floors.insert(step.output, floor);
        }
        // The operand that stands for every pixel comes second.
        if inputs.len() == 2 && matches!(op, QuantOp::Add { .. } | QuantOp::Mul { .. }) {
            inputs.sort_by_key(|&t| std::cmp::Reverse(out.tensor(t).bytes()));
        }
        let tensor = add_tensor(&mut out, graph, step.output, output)?;
        tensors.insert(step.output, tensor);
        values.push(step.output);
        out.nodes.push(QuantNode { name: node.name.clone(), op, inputs, output: tensor });
    }
    for id in &graph.outputs {
        out.outputs.extend(tensors.get(id));
    }
    if !floors.is_empty() {
        return Ok(Err(floors));
    }
    prove(&out)?;
    Ok(Ok(Origin { graph: out, values }))
}

fn lower_node(site: &Site<'_>) -> Lowered {
    match &site.node.op {
        Op::Conv2d { window, groups } => conv2d::lower(site, window, *groups),
        Op::Linear => linear::lower(site),
        Op::MatMul => matmul::lower(site),
        Op::BatchNorm { eps } => batchnorm::lower(site, *eps),
        Op::Embedding | Op::LayerNorm { .. } | Op::Normalize | Op::Attention { .. } | Op::Pick(_) => {
            Err(site.unsupported("it has no int8 form yet".to_owned(), "quantize networks for images"))
        }
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

fn affine(mapping: &Mapping, graph: &Graph, id: ValueId) -> Result<Affine, QuantizeError> {
    let chosen = mapping.get(id).map(|c| c.affine);
    chosen.ok_or_else(|| QuantizeError::NonFiniteActivation { tensor: graph.value(id).name.clone() })
}

fn no_constant_folding(node: String, op: &Op) -> QuantizeError {
    let problem = "it reads a value that no int8 operator makes".to_owned();
    QuantizeError::Unsupported { node, op: op.name(), problem, remedy: "fold constants before quantizing" }
}

fn add_tensor(out: &mut QuantGraph, graph: &Graph, id: ValueId, affine: Affine) -> Result<TensorId, QuantizeError> {
    let value = graph.value(id);
    let shape = image_shape(&value.shape).ok_or_else(|| QuantizeError::Unsupported {
        node: value.name.clone(),
        op: graph.producer(id).map_or("input", |n| n.op.name()),
        problem: format!("its result has shape {:?}", value.shape),
        remedy: "int8 tensors have a batch of 1 and up to three more axes",
    })?;
    Ok(out.add_tensor(value.name.clone(), shape, affine))
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
        QuantOp::AvgPool { .. } => largest(f64::from(inputs.first()?.scale / output.scale), 31.0),
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

//! A float graph that rounds as its int8 graph does: each value to the numbers of its tensor, and in each step of a training the
//! weights to those of their layers. Gradients go straight through (Bengio et al. 2013; Jacob et al. 2018).
//!
//! The scales of values are those that calibration chose, and stay; those of weights follow the weights. So what is trained here is
//! lowered with the very mappings that it was trained with.

use super::candidate::Candidate;
use super::elements::{Elements, Form, NARROWED, operands};
use super::error::QuantizeError;
use super::graph::QuantOp;
use super::lower::Origin;
use super::scheme::{Affine, Table, Weights};
use crate::graph::{Graph, Node, Op, Pick, Source, Tensor, Unary, ValueId};
use crate::pack::params;
use crate::train::exec::Param;
use limbeck_runtime::Element;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A float graph that rounds as an int8 graph does.
#[derive(Clone, Debug)]
pub(super) struct Simulation {
    /// The graph. It rounds values; its parameters are those from which rounded ones are made.
    pub graph: Graph,
    layers: Vec<Layer>,
}

impl Simulation {
    /// The simulation of what a candidate was lowered to.
    ///
    /// # Errors
    /// If a sum has scales that are too far apart, which lowering should have prevented.
    pub(super) fn new(of: &Candidate) -> Result<Self, QuantizeError> {
        let elements = Elements::new(&of.float, &of.steps, &of.eight);
        let layers = layers(of, &elements);
        let graph = Graph::new(of.float.name.clone());
        let scales = sum_scales(&of.origin)?;
        let mut making = Making { of, elements, scales, graph, plain: BTreeMap::new(), rounded: BTreeMap::new() };
        making.make()?;
        Ok(Simulation { graph: making.graph, layers })
    }

    /// What a step sees instead of the parameters: rounded ones.
    pub(super) fn shown(&self, params: &[Param]) -> Vec<Vec<f32>> {
        let mut shown: Vec<Vec<f32>> = params.iter().map(|param| param.value.clone()).collect();
        let place = |name: &str| params.iter().position(|param| param.name == name);
        for layer in &self.layers {
            let [weight, bias] = layer.names().map(|name| name.and_then(place));
            let Some(weight) = weight else { continue };
            let (weights, biases) = layer.round(&params[weight].value, bias.map(|bias| &params[bias].value[..]));
            shown[weight] = weights;
            if let (Some(bias), Some(biases)) = (bias, biases) {
                shown[bias] = biases;
            }
        }
        shown
    }

    /// The graph with rounded parameters: it says what the int8 graph says.
    pub(super) fn rounded(&self) -> Graph {
        let mut graph = self.graph.clone();
        for layer in &self.layers {
            let [weight, bias] = layer.names().map(|name| graph.find(name?));
            let data = |id: ValueId| self.graph.param(id).map(|tensor| tensor.data());
            let Some(weights) = weight.and_then(data) else { continue };
            let (weights, biases) = layer.round(weights, bias.and_then(data));
            for (id, values) in [(weight, Some(weights)), (bias, biases)] {
                let (Some(id), Some(values)) = (id, values) else { continue };
                let tensor = Tensor::new(self.graph.shape(id), values);
                graph.value_mut(id).source = Source::Param(Arc::new(tensor));
            }
        }
        graph
    }

    /// The graph in which one value alone is rounded, and the parameters of the node that makes it; without a name, none is.
    pub(super) fn only(&self, value: Option<(&str, &str)>) -> Graph {
        let mut graph = self.graph.clone();
        let kept = |name: &str| {
            value.is_some_and(|(value, _)| {
                [".rounded", NARROWED].iter().any(|end| name.strip_suffix(end) == Some(value))
            })
        };
        // A number that is not rounded is the one before it; nodes are in an order in which they can run.
        let mut plain: BTreeMap<ValueId, ValueId> = BTreeMap::new();
        for node in &mut graph.nodes {
            node.inputs.iter_mut().for_each(|id| *id = plain.get(id).copied().unwrap_or(*id));
            if matches!(node.op, Op::Unary(Unary::Round { .. })) && !kept(&node.name) {
                plain.insert(node.output, node.inputs[0]);
            }
        }
        graph.outputs.iter_mut().for_each(|id| *id = plain.get(id).copied().unwrap_or(*id));
        let maker = graph.nodes.iter().find(|node| value.is_some_and(|(_, maker)| node.name == maker));
        let read: Vec<&str> =
            maker.into_iter().flat_map(|node| &node.inputs).map(|&id| &*graph.value(id).name).collect();
        let of_maker = |layer: &&Layer| layer.names()[0].is_some_and(|weight| read.contains(&weight));
        let layers: Vec<Layer> = self.layers.iter().filter(of_maker).cloned().collect();
        let mut graph = Simulation { graph, layers }.rounded();
        graph.remove_dead();
        graph
    }

    /// All that rounding of parameters depends on.
    pub(super) fn describe(&self) -> String {
        format!("{:?}", self.layers)
    }
}

/// Gives the parameters of `to` the numbers that those of the same names have in `from`.
pub(super) fn take_params(to: &mut Graph, from: &Graph) {
    let ids: Vec<ValueId> = to.params().map(|(id, _)| id).collect();
    for id in ids {
        if let Some(tensor) = from.find(&to.value(id).name).and_then(|other| from.param(other)) {
            to.value_mut(id).source = Source::Param(Arc::clone(tensor));
        }
    }
}

/// Parameters that are rounded together, by name.
#[derive(Clone, Debug)]
enum Layer {
    /// Weights in so many rows, and biases if there are some, between two mappings.
    Products { weight: String, bias: Option<String>, rows: usize, input: Affine, output: Affine },
    /// A table whose rows have so many numbers.
    Table { table: String, width: usize },
}

impl Layer {
    /// The names of what is multiplied or looked up, and of what is added.
    fn names(&self) -> [Option<&str>; 2] {
        match self {
            Layer::Products { weight, bias, .. } => [Some(weight), bias.as_deref()],
            Layer::Table { table, .. } => [Some(table), None],
        }
    }

    /// The parameters as the int8 layer has them.
    fn round(&self, weight: &[f32], bias: Option<&[f32]>) -> (Vec<f32>, Option<Vec<f32>>) {
        match *self {
            Layer::Products { rows, input, output, .. } => {
                let zeros = vec![0.0; rows];
                let weights = Weights::quantize(weight, bias.unwrap_or(&zeros), input, output);
                let real = |(&bias, &scale): (&i32, &f32)| {
                    (f64::from(bias) * f64::from(input.scale) * f64::from(scale)) as f32
                };
                let biases = bias.map(|_| weights.bias.iter().zip(&weights.scales).map(real).collect());
                (weights.dequantize(), biases)
            }
            Layer::Table { width, .. } => {
                let table = Table::quantize(weight, width);
                let rows = table.data.chunks_exact(width.max(1)).zip(&table.scales);
                (rows.flat_map(|(row, scale)| row.iter().map(move |&q| f32::from(q) * scale)).collect(), None)
            }
        }
    }
}

/// The layers of a candidate that have parameters in 8 bits.
fn layers(of: &Candidate, elements: &Elements) -> Vec<Layer> {
    let float = &of.float;
    let name = |id: ValueId| float.param(id).map(|_| float.value(id).name.clone());
    let mut layers = Vec::new();
    for step in &of.steps {
        let node = &float.nodes[step.node];
        let affine = |form| of.mapping.get(form).map(|chosen| chosen.affine);
        match node.op {
            Op::Linear | Op::Conv2d { .. } => {
                let input = affine(elements.read(node, node.inputs[0]));
                let output = affine(Form { value: step.output, narrowed: false });
                let bias = node.inputs.get(2).and_then(|&id| name(id));
                if let (Some(weight), Some(input), Some(output)) = (name(node.inputs[1]), input, output) {
                    let rows = float.shape(node.inputs[1])[0];
                    layers.push(Layer::Products { weight, bias, rows, input, output });
                }
            }
            Op::Embedding => layers.extend(node.inputs[1..].iter().filter_map(|&id| {
                let width = float.shape(id).last().copied()?;
                Some(Layer::Table { table: name(id)?, width })
            })),
            _ => {}
        }
    }
    layers
}

/// What one step of each operand of a sum counts, by the sum's name and the operand: multipliers have 16 bits.
fn sum_scales(origin: &Origin) -> Result<BTreeMap<(String, ValueId), f32>, QuantizeError> {
    let graph = &origin.graph;
    let mut scales = BTreeMap::new();
    for node in graph.nodes.iter().filter(|node| matches!(node.op, QuantOp::Add { .. })) {
        let add = params::add(graph, node, 0).map_err(|error| QuantizeError::Int8(error.to_string()))?;
        let unit = f64::from(graph.tensor(node.output).affine.scale) * f64::exp2(-f64::from(add.shift));
        for (tensor, multiplier) in node.inputs.iter().zip(add.multipliers) {
            scales.insert((node.name.clone(), origin.values[tensor.index()]), (f64::from(multiplier) * unit) as f32);
        }
    }
    Ok(scales)
}

/// A simulation on its way.
struct Making<'a> {
    of: &'a Candidate,
    elements: Elements,
    scales: BTreeMap<(String, ValueId), f32>,
    graph: Graph,
    /// Each value as it is before rounding.
    plain: BTreeMap<ValueId, ValueId>,
    rounded: BTreeMap<Form, ValueId>,
}

impl Making<'_> {
    fn make(&mut self) -> Result<(), QuantizeError> {
        let of = self.of;
        for (id, tensor) in of.float.params() {
            self.plain.insert(id, self.graph.add_param(of.float.value(id).name.clone(), tensor.as_ref().clone()));
        }
        for &id in &of.float.inputs {
            let value = of.float.value(id);
            self.plain.insert(id, self.graph.input(value.name.clone(), value.shape.clone()));
            self.round(id, false)?;
        }
        for (index, node) in of.float.nodes.iter().enumerate() {
            let step = of.steps.iter().position(|step| step.node == index);
            let read: Vec<ValueId> = operands(&of.float, node).collect();
            let mut inputs = Vec::new();
            for &id in &node.inputs {
                inputs.push(match read.iter().position(|&other| other == id) {
                    Some(operand) => self.operand(node, step, operand, id)?,
                    None => self.plain[&id],
                });
            }
            let made = self.graph.add(node.name.clone(), node.op.clone(), &inputs)?;
            self.plain.insert(node.output, made);
            if of.steps.iter().any(|step| step.output == node.output) {
                self.round(node.output, only_moves(&node.op))?;
            }
        }
        for &id in &of.float.outputs {
            let form = self.elements.returned(id);
            self.graph.outputs.push(self.rounded.get(&form).copied().unwrap_or(self.plain[&id]));
        }
        Ok(())
    }

    /// A computed operand as the int8 operator of a node reads it.
    fn operand(
        &mut self,
        node: &Node,
        step: Option<usize>,
        operand: usize,
        id: ValueId,
    ) -> Result<ValueId, QuantizeError> {
        let form = self.elements.read(node, id);
        // What is joined to the node before it is not rounded in between.
        let Some(&value) = self.rounded.get(&form) else { return Ok(self.plain[&id]) };
        let again = match (step, self.scales.get(&(node.name.clone(), id))) {
            (Some(step), _) if self.of.mapping.rescales(step, operand) => {
                let output = Form { value: self.of.steps[step].output, narrowed: false };
                self.grid(output, None)
            }
            (_, Some(&counts)) => self.grid(form, Some(counts)),
            _ => None,
        };
        let name = format!("{}.input{operand}", node.name);
        Ok(again.map_or(Ok(value), |grid| self.graph.add(name, grid, &[value]))?)
    }

    /// Rounds a value to the forms in which it is needed; what `moves` numbers only has those of its input.
    fn round(&mut self, id: ValueId, moves: bool) -> Result<(), QuantizeError> {
        let mut from = self.plain[&id];
        let forms: Vec<Form> = self.elements.forms(&self.of.float, id).collect();
        for form in forms.into_iter().filter(|_| self.elements.is_observed(id)) {
            let name = self.of.float.value(id).name.clone() + if form.narrowed { NARROWED } else { ".rounded" };
            if let Some(grid) = self.grid(form, None).filter(|_| form.narrowed || !moves) {
                from = self.graph.add(name, grid, &[from])?;
            }
            self.rounded.insert(form, from);
        }
        Ok(())
    }

    /// The function that rounds to the numbers of a form, of which one step counts `counts`, or as much as its scale.
    fn grid(&self, form: Form, counts: Option<f32>) -> Option<Op> {
        let Affine { scale, zero_point } = self.of.mapping.get(form)?.affine;
        let (least, most) = match self.elements.of(form) {
            Element::Int16 => (-f32::from(i16::MAX), f32::from(i16::MAX)),
            _ => (-128.0 - f32::from(zero_point), 127.0 - f32::from(zero_point)),
        };
        Some(Op::Unary(Unary::Round { scale, least, most, counts: counts.unwrap_or(scale) }))
    }
}

/// Whether an operator gives numbers other places and changes none.
fn only_moves(op: &Op) -> bool {
    matches!(
        op,
        Op::MaxPool(_) | Op::Reshape(_) | Op::Transpose(_) | Op::Pad { .. } | Op::Slice { .. } | Op::Pick(Pick::First)
    )
}

//! What takes linear layers apart: which can be, parts of their matrices, and new nodes in the midst of a graph.

use super::equalize::owns_params;
use crate::graph::{Graph, Node, Op, Tensor, Unary, ValueId};

/// Whether a node is a linear layer whose parameters are its own.
pub(super) fn is_layer(graph: &Graph, node: &Node) -> bool {
    node.op == Op::Linear && owns_params(graph, node)
}

/// The sum of two computed values of one shape that alone reads what a layer makes.
pub(super) fn sum_behind(graph: &Graph, layer: &Node) -> Option<ValueId> {
    let &[reader] = graph.consumers(layer.output).as_slice() else { return None };
    let sum = &graph.nodes[reader];
    let whole = |id: &ValueId| graph.param(*id).is_none() && graph.shape(*id) == graph.shape(sum.output);
    let fits = sum.op == Op::Add && sum.inputs[0] != sum.inputs[1] && sum.inputs.iter().all(whole);
    (fits && graph.uses(layer.output) == 1).then_some(sum.output)
}

/// A layer and a function before another layer.
#[derive(Clone, Copy)]
pub(super) struct Hidden<'a> {
    /// The layer.
    pub layer: &'a Node,
    /// The function.
    pub function: Unary,
    /// What it makes.
    pub values: ValueId,
}

impl<'a> Hidden<'a> {
    /// Those before `layer`, if nothing else reads what they make.
    pub(super) fn before(graph: &'a Graph, layer: &Node) -> Option<Self> {
        let made = graph.sole_producer(layer.inputs[0])?;
        let Op::Unary(function) = made.op else { return None };
        let first = graph.sole_producer(made.inputs[0]).filter(|node| is_layer(graph, node))?;
        Some(Hidden { layer: first, function, values: made.output })
    }
}

/// A linear layer with parameters of its own.
pub(super) fn linear(
    out: &mut Graph,
    name: String,
    x: ValueId,
    weight: Tensor,
    bias: Option<Tensor>,
) -> Option<ValueId> {
    let mut inputs = vec![x, out.add_param(format!("{name}.weight"), weight)];
    inputs.extend(bias.map(|bias| out.add_param(format!("{name}.bias"), bias)));
    out.add(name, Op::Linear, &inputs).ok()
}

/// Rows of a matrix (or of a vector, elements), and of these the columns that are named.
pub(super) fn part(tensor: &Tensor, rows: &[usize], columns: Option<&[usize]>) -> Tensor {
    let width = tensor.len() / tensor.shape()[0].max(1);
    let row = |&row: &usize| &tensor.data()[row * width..(row + 1) * width];
    match columns {
        None => {
            let shape = [&[rows.len()], &tensor.shape()[1..]].concat();
            Tensor::new(shape, rows.iter().flat_map(row).copied().collect())
        }
        Some(columns) => {
            let data = rows.iter().flat_map(|r| columns.iter().map(move |&column| row(r)[column])).collect();
            Tensor::new([rows.len(), columns.len()], data)
        }
    }
}

/// Makes rows and columns of a matrix zero.
pub(super) fn clear(tensor: &mut Tensor, rows: &[usize], columns: &[usize]) {
    let width = (tensor.len() / tensor.shape()[0].max(1)).max(1);
    for (index, row) in tensor.data_mut().chunks_exact_mut(width).enumerate() {
        if rows.contains(&index) {
            row.fill(0.0);
        }
        columns.iter().for_each(|&column| row[column] = 0.0);
    }
}

/// Puts nodes behind the one that makes `value`, whose readers read `instead` from now on.
pub(super) fn insert_behind(out: &mut Graph, value: ValueId, instead: ValueId, new: Vec<Node>) -> Option<()> {
    let reads = out.nodes.iter_mut().flat_map(|node| &mut node.inputs).chain(&mut out.outputs);
    reads.filter(|id| **id == value).for_each(|id| *id = instead);
    let place = out.nodes.iter().position(|node| node.output == value)? + 1;
    out.nodes.splice(place..place, new);
    Some(())
}

//! Runs a whole float graph operator by operator, slowly and plainly: what every faster executor must agree with.

use super::{
    add, attention, avg_pool, batchnorm, concat, conv2d, embed, layer_norm, linear, lut, matmul, max_pool, mul, pad,
    pick, slice, softmax,
};
use crate::graph::{Graph, Op, ShapeError, Source, Tensor, ValueId};
use std::sync::Arc;

/// The outputs of a graph for `inputs`, both in the graph's order.
///
/// # Errors
/// If the inputs differ from the graph's in number or shape.
pub fn run(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Tensor>, ShapeError> {
    let values = values(graph, inputs)?;
    Ok(graph.outputs.iter().map(|&id| Tensor::clone(value(&values, id))).collect())
}

/// Every value of a graph for `inputs`, indexed by [`ValueId`].
///
/// # Errors
/// If the inputs differ from the graph's in number or shape.
pub fn values(graph: &Graph, inputs: &[Tensor]) -> Result<Vec<Option<Arc<Tensor>>>, ShapeError> {
    check_inputs(graph, inputs)?;
    let stored = |source: &Source| if let Source::Param(tensor) = source { Some(Arc::clone(tensor)) } else { None };
    let mut values: Vec<Option<Arc<Tensor>>> = graph.values.iter().map(|v| stored(&v.source)).collect();
    for (&id, input) in graph.inputs.iter().zip(inputs) {
        values[id.0 as usize] = Some(Arc::new(input.clone()));
    }
    for node in &graph.nodes {
        let operands: Vec<&Tensor> = node.inputs.iter().map(|&id| value(&values, id)).collect();
        let result = eval(&node.op, &operands, graph.shape(node.output));
        values[node.output.0 as usize] = Some(Arc::new(result));
    }
    Ok(values)
}

/// What `op` makes of `inputs`, given the shape that the graph's rules say.
pub fn eval(op: &Op, inputs: &[&Tensor], shape: &[usize]) -> Tensor {
    let x = inputs[0];
    match op {
        Op::Conv2d { window, groups } => conv2d::reference(x, inputs[1], inputs.get(2).copied(), window, *groups),
        Op::Linear => linear::reference(x, inputs[1], inputs.get(2).copied()),
        Op::MatMul => matmul::reference(x, inputs[1], shape),
        Op::BatchNorm { eps } => batchnorm::reference(x, inputs[1], inputs[2], inputs[3], inputs[4], *eps),
        Op::Embedding => embed::reference(x, inputs[1], inputs.get(2).copied()),
        Op::LayerNorm { eps } => layer_norm::reference(x, inputs[1], inputs[2], *eps),
        Op::Normalize => layer_norm::normalize(x),
        Op::Attention { heads } => attention::reference([x, inputs[1], inputs[2]], inputs[3], *heads),
        Op::Pick(pick) => pick::reference(x, inputs[1], *pick),
        Op::Unary(f) => lut::reference(x, *f),
        Op::Add => add::reference(x, inputs[1], shape),
        Op::Mul => mul::reference(x, inputs[1], shape),
        Op::MaxPool(window) => max_pool::reference(x, window),
        Op::AvgPool { window, count_pad } => avg_pool::reference(x, window, *count_pad),
        Op::GlobalAvgPool => avg_pool::global(x),
        Op::Softmax { axis } => softmax::reference(x, *axis),
        Op::Concat { axis } => concat::reference(inputs, *axis),
        Op::Pad { pads, value } => pad::reference(x, pads, *value),
        Op::Slice { axis, start, step, len } => slice::reference(x, *axis, *start, *step, *len),
        Op::Reshape(_) => x.clone().reshape(shape),
        Op::Transpose(perm) => x.transpose(perm),
    }
}

fn value(values: &[Option<Arc<Tensor>>], id: ValueId) -> &Tensor {
    values[id.0 as usize].as_deref().expect("nodes stand in execution order")
}

fn check_inputs(graph: &Graph, inputs: &[Tensor]) -> Result<(), ShapeError> {
    let fail = |node: &str, problem| Err(ShapeError { node: node.to_owned(), op: "input", problem });
    if inputs.len() != graph.inputs.len() {
        return fail(&graph.name, format!("the graph has {} inputs, got {}", graph.inputs.len(), inputs.len()));
    }
    for (&id, input) in graph.inputs.iter().zip(inputs) {
        let shape = graph.shape(id);
        if input.shape() != shape {
            return fail(&graph.value(id).name, format!("needs {shape:?}, got {:?}", input.shape()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Unary;

    fn tiny() -> Graph {
        let mut graph = Graph::new("tiny");
        let x = graph.input("x", [1, 2]);
        let w = graph.add_param("w", Tensor::new([2, 2], vec![1.0, 1.0, 1.0, -1.0]));
        let y = graph.add("fc", Op::Linear, &[x, w]).unwrap();
        let y = graph.add("relu", Op::Unary(Unary::Relu), &[y]).unwrap();
        graph.outputs.push(y);
        graph
    }

    #[test]
    fn nodes_run_in_order() {
        let y = run(&tiny(), &[Tensor::new([1, 2], vec![1.0, 3.0])]).unwrap();
        assert_eq!(y, [Tensor::new([1, 2], vec![4.0, 0.0])]);
    }

    #[test]
    fn wrong_inputs_are_told() {
        let error = run(&tiny(), &[Tensor::zeros([2, 2])]).unwrap_err();
        assert_eq!(error.to_string(), "node `x` (input): needs [1, 2], got [2, 2]");
        assert!(run(&tiny(), &[]).is_err());
    }
}

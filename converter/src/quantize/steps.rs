//! Groups the nodes of a float graph into steps: one int8 operator each, with the functions of one value fused into it.

use super::error::QuantizeError;
use crate::graph::{Graph, Op, Unary, ValueId};

/// A node and the functions that are applied to its result before it becomes int8.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    /// Index of the node.
    pub node: usize,
    /// Functions of one value, in order; clamps alone unless the node itself becomes a table.
    pub then: Vec<Unary>,
    /// The value that becomes an int8 tensor.
    pub output: ValueId,
}

/// The steps of `graph`, in execution order.
pub(super) fn steps(graph: &Graph) -> Vec<Step> {
    let mut fused = vec![false; graph.nodes.len()];
    let mut steps = Vec::new();
    for (i, node) in graph.nodes.iter().enumerate() {
        if fused[i] {
            continue;
        }
        let mut step = Step { node: i, then: Vec::new(), output: node.output };
        while let &[next] = graph.consumers(step.output).as_slice()
            && !graph.outputs.contains(&step.output)
            && let Op::Unary(f) = graph.nodes[next].op
            && fuses(&node.op, f)
        {
            fused[next] = true;
            step.then.push(f);
            step.output = graph.nodes[next].output;
        }
        steps.push(step);
    }
    steps
}

/// Whether a function of one value can become a part of the int8 form of `op`.
fn fuses(op: &Op, f: Unary) -> bool {
    match op {
        Op::Unary(_) => true,
        Op::Conv2d { .. }
        | Op::Linear
        | Op::MatMul
        | Op::BatchNorm { .. }
        | Op::Add
        | Op::Mul
        | Op::AvgPool { .. }
        | Op::GlobalAvgPool => f.as_clamp().is_some(),
        _ => false,
    }
}

/// The function that alone reads a value.
pub(super) fn sole_function(graph: &Graph, value: ValueId) -> Option<Unary> {
    let &[reader] = graph.consumers(value).as_slice() else { return None };
    match graph.nodes[reader].op {
        Op::Unary(f) if !graph.outputs.contains(&value) => Some(f),
        _ => None,
    }
}

/// Refuses weights that are NaN or infinite.
///
/// # Errors
/// Names the first such weight.
pub(super) fn check_finite(graph: &Graph) -> Result<(), QuantizeError> {
    for (id, tensor) in graph.params() {
        if let Some((index, value)) = tensor.first_non_finite() {
            return Err(QuantizeError::NonFiniteWeight { tensor: graph.value(id).name.clone(), index, value });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Tensor;

    #[test]
    fn clamps_fuse_into_layers_and_functions_into_tables() {
        let mut graph = Graph::new("g");
        let x = graph.input("x", [1, 2]);
        let w = graph.add_param("w", Tensor::zeros([2, 2]));
        let fc = graph.add("fc", Op::Linear, &[x, w]).unwrap();
        let relu = graph.add("relu", Op::Unary(Unary::Relu), &[fc]).unwrap();
        let tanh = graph.add("tanh", Op::Unary(Unary::Tanh), &[relu]).unwrap();
        let swish = graph.add("swish", Op::Unary(Unary::HardSwish), &[tanh]).unwrap();
        let sum = graph.add("sum", Op::Add, &[swish, fc]).unwrap();
        graph.outputs.push(sum);
        let found: Vec<_> = steps(&graph).into_iter().map(|s| (s.node, s.then, s.output)).collect();
        // `fc` has two readers, so its clamp stays apart and takes the functions behind it along.
        let table = (1, vec![Unary::Tanh, Unary::HardSwish], swish);
        assert_eq!(found, [(0, vec![], fc), table, (4, vec![], sum)]);
        assert_eq!([fc, relu, swish].map(|id| sole_function(&graph, id)), [None, Some(Unary::Tanh), None]);
        graph.nodes[4].inputs[1] = relu;
        assert_eq!(steps(&graph)[0], Step { node: 0, then: vec![Unary::Relu], output: relu });
    }

    #[test]
    fn weights_must_be_finite() {
        let mut graph = Graph::new("g");
        graph.add_param("conv1.weight", Tensor::new([2], vec![1.0, f32::NAN]));
        let text = check_finite(&graph).unwrap_err().to_string();
        assert!(text.contains("`conv1.weight` holds NaN at element 1"), "{text}");
    }
}

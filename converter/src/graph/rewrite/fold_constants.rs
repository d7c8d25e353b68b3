//! A node that reads only parameters becomes a parameter.

use super::{Edit, Patch};
use crate::graph::{Graph, Node, Tensor};
use crate::ops::reference;

/// Computes the node now.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let inputs: Vec<&Tensor> = node.inputs.iter().map(|&id| graph.param(id).map(|t| &**t)).collect::<Option<_>>()?;
    let output = graph.value(node.output);
    let mut patch = Patch::new(graph);
    let result = patch.param(output.name.clone(), reference::eval(&node.op, &inputs, &output.shape));
    Some(patch.finish(result))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_rewrites, random_param};
    use crate::graph::{Graph, Op, Unary};

    #[test]
    fn what_does_not_depend_on_inputs_is_computed() {
        let mut graph = Graph::new("constants");
        let x = graph.input("x", [1, 2]);
        let c = random_param(&mut graph, "c", [2, 1]);
        let t = graph.add("t", Op::Transpose(vec![1, 0]), &[c]).unwrap();
        let t = graph.add("positive", Op::Unary(Unary::Relu), &[t]).unwrap();
        let y = graph.add("y", Op::Add, &[x, t]).unwrap();
        graph.outputs.push(y);
        assert_rewrites(
            &graph,
            &[super::rule],
            "x [1, 2] = input
             t [1, 2] = Transpose(c[2, 1]) [1, 0]
             positive [1, 2] = Relu(t)
             y [1, 2] = Add(x, positive)
             output y",
            "x [1, 2] = input
             y [1, 2] = Add(x, positive[1, 2])
             output y",
        );
    }
}

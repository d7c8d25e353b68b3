//! Scaling a vector to length 1 becomes a layer normalization of the vector and its negative, which together have mean 0.

use super::{Edit, Patch};
use crate::graph::{Graph, Node, Op, Tensor};

/// Below any variance that numbers of 32 bits can have and that is worth a direction.
const EPS: f32 = 1e-24;

/// Replaces a normalization of one vector for each item of the batch.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let (Op::Normalize, &[_, width]) = (&node.op, graph.shape(node.output)) else { return None };
    let (x, name) = (node.inputs[0], &node.name);
    let mut patch = Patch::new(graph);
    let minus = patch.param(format!("{name}.minus"), Tensor::scalar(-1.0));
    let negative = patch.node(format!("{name}.negative"), Op::Mul, &[x, minus])?;
    let both = patch.node(format!("{name}.both"), Op::Concat { axis: 1 }, &[x, negative])?;
    // The variance of both is the mean square, so that the length becomes the root of the width.
    let gamma = Tensor::full([2 * width], 1.0 / (width as f32).sqrt());
    let gamma = patch.param(format!("{name}.weight"), gamma);
    let beta = patch.param(format!("{name}.bias"), Tensor::zeros([2 * width]));
    let norm = patch.node(format!("{name}.norm"), Op::LayerNorm { eps: EPS }, &[both, gamma, beta])?;
    let result = patch.like(node, Op::Slice { axis: 1, start: 0, step: 1, len: width }, &[norm])?;
    Some(patch.finish(result))
}

#[cfg(test)]
mod tests {
    use super::super::testing::assert_rewrites;
    use crate::graph::{Graph, Op};

    #[test]
    fn vectors_of_items_are_normalized_beside_their_negatives() {
        let mut graph = Graph::new("vectors");
        let x = graph.input("x", [2, 3]);
        let y = graph.add("unit", Op::Normalize, &[x]).unwrap();
        graph.outputs.push(y);
        assert_rewrites(
            &graph,
            &[super::rule],
            "x [2, 3] = input
             unit [2, 3] = Normalize(x)
             output unit",
            "x [2, 3] = input
             unit.negative [2, 3] = Mul(x, unit.minus[])
             unit.both [2, 6] = Concat(x, unit.negative) axis 1
             unit.norm [2, 6] = LayerNorm(unit.both, unit.weight[6], unit.bias[6]) eps 1e-24
             unit [2, 3] = Slice(unit.norm) axis 1: 3 from 0 step 1
             output unit",
        );
        let mut tokens = Graph::new("tokens");
        let x = tokens.input("x", [1, 4, 3]);
        let y = tokens.add("unit", Op::Normalize, &[x]).unwrap();
        tokens.outputs.push(y);
        let before = tokens.clone();
        super::super::run(&mut tokens, &[super::rule]);
        assert_eq!(tokens, before);
    }
}

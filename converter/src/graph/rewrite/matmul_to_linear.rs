//! A matrix product with a stored right side becomes a fully connected layer.

use super::{Edit, Patch};
use crate::graph::{Graph, Node, Op};

/// Turns the stored matrix into a weight.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let Op::MatMul = node.op else { return None };
    let &[x, right] = &node.inputs[..] else { return None };
    let (lead, matrix) = graph.shape(right).split_last_chunk::<2>()?;
    if lead.iter().any(|&n| n != 1) || graph.shape(right).len() > graph.shape(x).len() {
        return None;
    }
    let weight = (**graph.param(right)?).clone().reshape(*matrix).transpose(&[1, 0]);
    let mut patch = Patch::new(graph);
    let weight = patch.param(graph.value(right).name.clone(), weight);
    let result = patch.like(node, Op::Linear, &[x, weight])?;
    Some(patch.finish(result))
}

#[cfg(test)]
mod tests {
    use super::super::{fold_scale, testing::*};
    use crate::graph::{Graph, Op};

    #[test]
    fn the_sum_after_it_is_its_bias() {
        let mut graph = Graph::new("matmul");
        let x = graph.input("x", [2, 3]);
        let w = random_param(&mut graph, "fc.weight", [3, 4]);
        let b = random_param(&mut graph, "b", [4]);
        let y = graph.add("fc", Op::MatMul, &[x, w]).unwrap();
        let y = graph.add("y", Op::Add, &[b, y]).unwrap();
        graph.outputs.push(y);
        assert_rewrites(
            &graph,
            &[super::rule, fold_scale::rule],
            "x [2, 3] = input
             fc [2, 4] = MatMul(x, fc.weight[3, 4])
             y [2, 4] = Add(b[4], fc)
             output y",
            "x [2, 3] = input
             y [2, 4] = Linear(x, fc.weight[4, 3], fc.bias[4]) @ fc
             output y",
        );
    }
}

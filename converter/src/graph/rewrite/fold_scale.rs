//! A product or sum per channel behind a convolution or a fully connected layer goes into its weights and bias.

use super::{Edit, Patch};
use crate::graph::{Graph, Node, Op, Tensor, ValueId};

/// Folds the node into the layer before it, if nothing else reads that layer.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let (x, numbers) = per_channel(graph, node)?;
    let layer = layer_before(graph, x)?;
    let mut weight = (**graph.param(layer.inputs[1])?).clone();
    let bias = match layer.inputs.get(2) {
        Some(&id) => graph.param(id)?.data().to_vec(),
        None => vec![0.0; numbers.len()],
    };
    let bias = if matches!(node.op, Op::Mul) {
        let depth = weight.len() / numbers.len();
        weight.data_mut().iter_mut().enumerate().for_each(|(i, w)| *w *= numbers[i / depth]);
        bias.iter().zip(&numbers).map(|(b, s)| b * s).collect()
    } else {
        bias.iter().zip(&numbers).map(|(b, s)| b + s).collect::<Vec<f32>>()
    };
    let mut patch = Patch::new(graph);
    let weight_name = &graph.value(layer.inputs[1]).name;
    let mut inputs = vec![layer.inputs[0], patch.param(weight_name.clone(), weight)];
    if layer.inputs.len() > 2 || matches!(node.op, Op::Add) {
        let name = layer.inputs.get(2).map_or_else(|| bias_name(weight_name), |&id| graph.value(id).name.clone());
        inputs.push(patch.param(name, Tensor::new([bias.len()], bias)));
    }
    let result = patch.like(layer, layer.op.clone(), &inputs)?;
    Some(patch.finish(result))
}

/// The layer that makes a value for one reader alone, if it is one with stored weights.
pub(super) fn layer_before(graph: &Graph, id: ValueId) -> Option<&Node> {
    let layer = graph.sole_producer(id).filter(|n| matches!(n.op, Op::Conv2d { .. } | Op::Linear))?;
    layer.inputs[1..].iter().all(|&id| graph.param(id).is_some()).then_some(layer)
}

/// The computed operand of a product or sum, and its other operand as one number for each of its channels.
pub(super) fn per_channel(graph: &Graph, node: &Node) -> Option<(ValueId, Vec<f32>)> {
    let (Op::Mul | Op::Add) = node.op else { return None };
    let &[a, b] = &node.inputs[..] else { return None };
    let (x, tensor) = [(a, b), (b, a)].into_iter().find_map(|(x, p)| Some((x, graph.param(p)?)))?;
    let shape = graph.shape(x);
    let channels = *shape.last()?;
    if shape != graph.shape(node.output) {
        return None;
    }
    match tensor.data() {
        &[number] => Some((x, vec![number; channels])),
        numbers if numbers.len() == channels && tensor.shape().last() == Some(&channels) => Some((x, numbers.to_vec())),
        _ => None,
    }
}

/// `conv1.bias` for `conv1.weight`.
pub(super) fn bias_name(weight: &str) -> String {
    format!("{}.bias", weight.strip_suffix(".weight").unwrap_or(weight))
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use crate::graph::{Graph, Op, Window};

    #[test]
    fn only_a_layer_read_once_takes_them() {
        let mut graph = Graph::new("scales");
        let x = graph.input("x", [1, 2, 2, 4]);
        let w = random_param(&mut graph, "dw.weight", [4, 1, 1, 1]);
        let b = random_param(&mut graph, "dw.bias", [4]);
        let [s, t, half] = [("s", vec![1, 1, 1, 4]), ("t", vec![4]), ("half", vec![])]
            .map(|(name, shape)| random_param(&mut graph, name, shape));
        let y = graph.add("dw", Op::Conv2d { window: Window::square(1, 1, 0), groups: 4 }, &[x, w, b]).unwrap();
        let y = graph.add("scaled", Op::Mul, &[y, s]).unwrap();
        let y = graph.add("shifted", Op::Add, &[y, t]).unwrap();
        let z = graph.add("halved", Op::Mul, &[half, y]).unwrap();
        graph.outputs.extend([y, z]);
        assert_rewrites(
            &graph,
            &[super::rule],
            "x [1, 2, 2, 4] = input
             dw [1, 2, 2, 4] = Conv2d(x, dw.weight[4, 1, 1, 1], dw.bias[4]) 1x1 groups 4
             scaled [1, 2, 2, 4] = Mul(dw, s[1, 1, 1, 4])
             shifted [1, 2, 2, 4] = Add(scaled, t[4])
             halved [1, 2, 2, 4] = Mul(half[], shifted)
             output shifted
             output halved",
            "x [1, 2, 2, 4] = input
             shifted [1, 2, 2, 4] = Conv2d(x, dw.weight[4, 1, 1, 1], dw.bias[4]) 1x1 groups 4 @ dw
             halved [1, 2, 2, 4] = Mul(half[], shifted)
             output shifted
             output halved",
        );
    }
}

//! A product or sum per channel of an image, with no layer before it that takes it, becomes a 1x1 depthwise convolution.

use super::fold_scale::{bias_name, per_channel};
use super::{Edit, Patch};
use crate::graph::{Graph, Node, Op, Tensor, Window};

/// Turns the numbers into a weight or a bias. One number for all channels stays: it needs no convolution.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let (x, numbers) = per_channel(graph, node)?;
    let channels = numbers.len();
    let one_for_all = node.inputs.iter().any(|&id| graph.param(id).is_some_and(|t| t.len() == 1));
    if graph.shape(x).len() != 4 || one_for_all {
        return None;
    }
    let name = node.inputs.iter().find(|&&id| graph.param(id).is_some()).map(|&id| &graph.value(id).name)?;
    let mut patch = Patch::new(graph);
    let mut inputs = vec![x];
    if matches!(node.op, Op::Mul) {
        inputs.push(patch.param(name.clone(), Tensor::new([channels, 1, 1, 1], numbers)));
    } else {
        inputs.push(patch.param(name.clone(), Tensor::full([channels, 1, 1, 1], 1.0)));
        inputs.push(patch.param(bias_name(name), Tensor::new([channels], numbers)));
    }
    let result = patch.like(node, Op::Conv2d { window: Window::square(1, 1, 0), groups: channels }, &inputs)?;
    Some(patch.finish(result))
}

#[cfg(test)]
mod tests {
    use super::super::{fold_scale, testing::*};
    use crate::graph::{Graph, Op};

    #[test]
    fn normalization_of_an_image_is_one_convolution() {
        let mut graph = Graph::new("normalize");
        let x = graph.input("x", [1, 2, 2, 3]);
        let [mean, std, half] = [("mean", vec![3]), ("std", vec![1, 1, 3]), ("half", vec![1])]
            .map(|(name, shape)| random_param(&mut graph, name, shape));
        let y = graph.add("halved", Op::Mul, &[x, half]).unwrap();
        let y = graph.add("centred", Op::Add, &[y, mean]).unwrap();
        let y = graph.add("y", Op::Mul, &[y, std]).unwrap();
        graph.outputs.push(y);
        assert_rewrites(
            &graph,
            &[fold_scale::rule, super::rule],
            "x [1, 2, 2, 3] = input
             halved [1, 2, 2, 3] = Mul(x, half[1])
             centred [1, 2, 2, 3] = Add(halved, mean[3])
             y [1, 2, 2, 3] = Mul(centred, std[1, 1, 3])
             output y",
            "x [1, 2, 2, 3] = input
             halved [1, 2, 2, 3] = Mul(x, half[1])
             y [1, 2, 2, 3] = Conv2d(halved, mean[3, 1, 1, 1], mean.bias[3]) 1x1 groups 3 @ centred
             output y",
        );
    }
}

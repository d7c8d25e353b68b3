//! Batch normalization by stored statistics becomes a product and a sum per channel.
//!
//! Behind a convolution or a fully connected layer these then fold into its weights (see [`fold_scale`]); on any other
//! image they are a 1x1 depthwise convolution.

use super::{Edit, Patch, fold_scale};
use crate::graph::{Graph, Node, Op, Tensor, Window};
use crate::ops::batchnorm::scale_shift;

/// Splits the node.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let Op::BatchNorm { eps } = node.op else { return None };
    let &[x, gamma, beta, mean, variance] = &node.inputs[..] else { return None };
    let (scale, shift) =
        scale_shift(graph.param(gamma)?, graph.param(beta)?, graph.param(mean)?, graph.param(variance)?, eps);
    let [scale, shift] = [scale, shift].map(|numbers| numbers.into_iter().map(|v| v as f32).collect::<Vec<_>>());
    let channels = scale.len();
    let lone_image = graph.shape(x).len() == 4 && fold_scale::layer_before(graph, x).is_none();
    let shape = if lone_image { vec![channels, 1, 1, 1] } else { vec![channels] };
    let mut patch = Patch::new(graph);
    let scale = patch.param(graph.value(gamma).name.clone(), Tensor::new(shape, scale));
    let shift = patch.param(graph.value(beta).name.clone(), Tensor::new([channels], shift));
    let result = if lone_image {
        patch.like(node, Op::Conv2d { window: Window::square(1, 1, 0), groups: channels }, &[x, scale, shift])?
    } else {
        let scaled = patch.node(format!("{}.scaled", node.name), Op::Mul, &[x, scale])?;
        patch.like(node, Op::Add, &[scaled, shift])?
    };
    Some(patch.finish(result))
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::super::{SIMPLIFY, fold_scale};
    use crate::graph::{Graph, Op, ValueId, Window};

    fn batch_norm(graph: &mut Graph, name: &str, x: ValueId) -> ValueId {
        let channels = graph.shape(x).last().copied().unwrap();
        let parts = ["weight", "bias", "running_mean", "running_var"];
        let [gamma, beta, mean, variance] =
            parts.map(|part| random_param(graph, &format!("{name}.{part}"), [channels]));
        if let crate::graph::Source::Param(tensor) = &mut graph.value_mut(variance).source {
            std::sync::Arc::make_mut(tensor).data_mut().iter_mut().for_each(|v| *v = v.abs() + 0.1);
        }
        graph.add(name, Op::BatchNorm { eps: 1e-3 }, &[x, gamma, beta, mean, variance]).unwrap()
    }

    #[test]
    fn behind_a_convolution_it_vanishes() {
        let mut graph = Graph::new("conv-bn");
        let x = graph.input("x", [1, 4, 4, 2]);
        let w = random_param(&mut graph, "conv1.weight", [3, 3, 3, 2]);
        let conv = Op::Conv2d { window: Window::square(3, 1, 1), groups: 1 };
        let y = graph.add("conv1", conv, &[x, w]).unwrap();
        let y = batch_norm(&mut graph, "bn1", y);
        let z = graph.add("pool", Op::GlobalAvgPool, &[y]).unwrap();
        graph.outputs.push(z);
        assert_rewrites(
            &graph,
            &[super::rule, fold_scale::rule],
            "x [1, 4, 4, 2] = input
             conv1 [1, 4, 4, 3] = Conv2d(x, conv1.weight[3, 3, 3, 2]) 3x3 pad 1
             bn1 [1, 4, 4, 3] = BatchNorm(conv1, bn1.weight[3], bn1.bias[3], bn1.running_mean[3], bn1.running_var[3]) eps 1e-3
             pool [1, 1, 1, 3] = GlobalAvgPool(bn1)
             output pool",
            "x [1, 4, 4, 2] = input
             conv1 [1, 4, 4, 3] = Conv2d(x, conv1.weight[3, 3, 3, 2], conv1.bias[3]) 3x3 pad 1
             pool [1, 1, 1, 3] = GlobalAvgPool(conv1)
             output pool",
        );
    }

    #[test]
    fn alone_it_is_a_depthwise_convolution_or_two_simple_nodes() {
        let mut graph = Graph::new("lone");
        let x = graph.input("x", [1, 4, 4, 3]);
        let rows = graph.input("rows", [2, 3]);
        let image = batch_norm(&mut graph, "bn1", x);
        let flat = batch_norm(&mut graph, "bn2", rows);
        graph.outputs.extend([image, flat]);
        assert_rewrites(
            &graph,
            SIMPLIFY,
            "x [1, 4, 4, 3] = input
             rows [2, 3] = input
             bn1 [1, 4, 4, 3] = BatchNorm(x, bn1.weight[3], bn1.bias[3], bn1.running_mean[3], bn1.running_var[3]) eps 1e-3
             bn2 [2, 3] = BatchNorm(rows, bn2.weight[3], bn2.bias[3], bn2.running_mean[3], bn2.running_var[3]) eps 1e-3
             output bn1
             output bn2",
            "x [1, 4, 4, 3] = input
             rows [2, 3] = input
             bn1 [1, 4, 4, 3] = Conv2d(x, bn1.weight[3, 1, 1, 1], bn1.bias[3]) 1x1 groups 3
             bn2.scaled [2, 3] = Mul(rows, bn2.weight[3])
             bn2 [2, 3] = Add(bn2.scaled, bn2.bias[3])
             output bn1
             output bn2",
        );
    }
}

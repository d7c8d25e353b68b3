//! The shortcut of CIFAR ResNets (every second pixel, channels padded with zeros) becomes an exact strided 1x1 convolution.
//!
//! He et al. 2015, "Deep Residual Learning for Image Recognition", section 4.2, option A. A subsampling without padding
//! becomes a depthwise convolution.

use super::{Edit, Patch};
use crate::graph::{Graph, Node, Op, Tensor, ValueId, Window};

/// Turns slices of rows and columns, with the padding of channels behind them if there is one, into a convolution.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let (sliced, before, behind) = match &node.op {
        Op::Pad { pads, value: 0.0 } => {
            let [(0, 0), (0, 0), (0, 0), (before, behind)] = pads[..] else { return None };
            (node.inputs[0], before, behind)
        }
        Op::Slice { .. } if !feeds_the_same(graph, node) => (node.output, 0, 0),
        _ => return None,
    };
    let (x, stride) = subsampled(graph, sliced)?;
    let depth = *graph.shape(x).last()?;
    let out = before + depth + behind;
    let window = Window { stride, ..Window::square(1, 1, 0) };
    let mut patch = Patch::new(graph);
    let name = format!("{}.weight", node.name);
    let result = if out == depth {
        let weight = patch.param(name, Tensor::full([out, 1, 1, 1], 1.0));
        patch.like(node, Op::Conv2d { window, groups: depth }, &[x, weight])?
    } else {
        let mut weight = Tensor::zeros([out, 1, 1, depth]);
        (0..depth).for_each(|c| weight.data_mut()[(before + c) * depth + c] = 1.0);
        let weight = patch.param(name, weight);
        patch.like(node, Op::Conv2d { window, groups: 1 }, &[x, weight])?
    };
    (patch.shape(result) == graph.shape(node.output)).then(|| patch.finish(result))
}

/// The image that a chain of slices ending in `id` takes every `stride`-th row and column of, from the first on.
fn subsampled(graph: &Graph, mut id: ValueId) -> Option<(ValueId, [usize; 2])> {
    let mut stride = [1, 1];
    while let Some(node) = graph.producer(id)
        && let Op::Slice { axis: axis @ 1..=2, start: 0, step, .. } = node.op
        && graph.shape(id).len() == 4
    {
        stride[axis - 1] *= step;
        id = node.inputs[0];
    }
    (stride != [1, 1]).then_some((id, stride))
}

/// Whether a slice is read by something that makes a larger whole with it.
fn feeds_the_same(graph: &Graph, node: &Node) -> bool {
    let joins = |reader: usize| match &graph.nodes[reader].op {
        Op::Slice { axis: 1..=2, start: 0, .. } => true,
        Op::Pad { pads, value: 0.0 } => pads.iter().take(3).all(|&p| p == (0, 0)),
        _ => false,
    };
    graph.consumers(node.output).into_iter().any(joins)
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use crate::graph::{Graph, Op};

    fn every_second(graph: &mut Graph) -> crate::graph::ValueId {
        let x = graph.input("x", [1, 5, 4, 2]);
        let y = graph.add("rows", Op::Slice { axis: 1, start: 0, step: 2, len: 3 }, &[x]).unwrap();
        graph.add("columns", Op::Slice { axis: 2, start: 0, step: 2, len: 2 }, &[y]).unwrap()
    }

    #[test]
    fn option_a_is_a_convolution() {
        let mut graph = Graph::new("option-a");
        let y = every_second(&mut graph);
        let pads = vec![(0, 0), (0, 0), (0, 0), (1, 1)];
        let y = graph.add("shortcut", Op::Pad { pads, value: 0.0 }, &[y]).unwrap();
        graph.outputs.push(y);
        assert_rewrites(
            &graph,
            &[super::rule],
            "x [1, 5, 4, 2] = input
             rows [1, 3, 4, 2] = Slice(x) axis 1: 3 from 0 step 2
             columns [1, 3, 2, 2] = Slice(rows) axis 2: 2 from 0 step 2
             shortcut [1, 3, 2, 4] = Pad(columns) [(0, 0), (0, 0), (0, 0), (1, 1)] with 0
             output shortcut",
            "x [1, 5, 4, 2] = input
             shortcut [1, 3, 2, 4] = Conv2d(x, shortcut.weight[4, 1, 1, 2]) 1x1 stride 2
             output shortcut",
        );
    }

    #[test]
    fn subsampling_alone_is_depthwise() {
        let mut graph = Graph::new("subsample");
        let y = every_second(&mut graph);
        graph.outputs.push(y);
        assert_rewrites(
            &graph,
            &[super::rule],
            "x [1, 5, 4, 2] = input
             rows [1, 3, 4, 2] = Slice(x) axis 1: 3 from 0 step 2
             columns [1, 3, 2, 2] = Slice(rows) axis 2: 2 from 0 step 2
             output columns",
            "x [1, 5, 4, 2] = input
             columns [1, 3, 2, 2] = Conv2d(x, columns.weight[2, 1, 1, 1]) 1x1 stride 2 groups 2
             output columns",
        );
    }

    #[test]
    fn a_crop_stays() {
        let mut graph = Graph::new("crop");
        let x = graph.input("x", [1, 5, 4, 2]);
        let y = graph.add("crop", Op::Slice { axis: 1, start: 1, step: 2, len: 2 }, &[x]).unwrap();
        graph.outputs.push(y);
        let text = "x [1, 5, 4, 2] = input\n crop [1, 2, 4, 2] = Slice(x) axis 1: 2 from 1 step 2\n output crop";
        assert_rewrites(&graph, &[super::rule], text, text);
    }
}

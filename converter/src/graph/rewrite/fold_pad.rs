//! A padding of rows and columns goes into the window that reads it.

use super::{Edit, Patch};
use crate::graph::{Graph, Node, Op, Pads, Window};

/// Folds the padding before the node into its window, where the window pads in the same way.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let pad = graph.producer(node.inputs[0])?;
    let Op::Pad { pads, value } = &pad.op else { return None };
    let &[(0, 0), (top, bottom), (left, right), (0, 0)] = &pads[..] else { return None };
    let widen = |window: &Window| {
        let own = window.pads;
        let pads =
            Pads { top: own.top + top, left: own.left + left, bottom: own.bottom + bottom, right: own.right + right };
        Window { pads, ..*window }
    };
    let op = match &node.op {
        Op::Conv2d { window, groups } if *value == 0.0 => Op::Conv2d { window: widen(window), groups: *groups },
        Op::AvgPool { window, count_pad } if *value == 0.0 && (*count_pad || window.pads == Pads::default()) => {
            Op::AvgPool { window: widen(window), count_pad: true }
        }
        Op::MaxPool(window) if *value <= f32::MIN => Op::MaxPool(widen(window)),
        _ => return None,
    };
    let mut patch = Patch::new(graph);
    let result = patch.like(node, op, &[&pad.inputs, &node.inputs[1..]].concat())?;
    Some(patch.finish(result))
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use crate::graph::{Graph, Op, Window};

    #[test]
    fn zeros_join_a_convolution_and_a_counting_mean() {
        let mut graph = Graph::new("pads");
        let x = graph.input("x", [1, 4, 4, 2]);
        let w = random_param(&mut graph, "w", [3, 3, 3, 2]);
        let pads = vec![(0, 0), (0, 1), (1, 0), (0, 0)];
        let padded = graph.add("padded", Op::Pad { pads, value: 0.0 }, &[x]).unwrap();
        let conv = Op::Conv2d { window: Window::square(3, 2, 1), groups: 1 };
        let a = graph.add("conv", conv, &[padded, w]).unwrap();
        let mean = Op::AvgPool { window: Window::square(2, 1, 0), count_pad: false };
        let b = graph.add("mean", mean, &[padded]).unwrap();
        let c = graph.add("largest", Op::MaxPool(Window::square(2, 1, 0)), &[padded]).unwrap();
        graph.outputs.extend([a, b, c]);
        assert_rewrites(
            &graph,
            &[super::rule],
            "x [1, 4, 4, 2] = input
             padded [1, 5, 5, 2] = Pad(x) [(0, 0), (0, 1), (1, 0), (0, 0)] with 0
             conv [1, 3, 3, 3] = Conv2d(padded, w[3, 3, 3, 2]) 3x3 stride 2 pad 1
             mean [1, 4, 4, 2] = AvgPool(padded) 2x2
             largest [1, 4, 4, 2] = MaxPool(padded) 2x2
             output conv
             output mean
             output largest",
            "x [1, 4, 4, 2] = input
             padded [1, 5, 5, 2] = Pad(x) [(0, 0), (0, 1), (1, 0), (0, 0)] with 0
             conv [1, 3, 3, 3] = Conv2d(x, w[3, 3, 3, 2]) 3x3 stride 2 pad [1, 2, 2, 1]
             mean [1, 4, 4, 2] = AvgPool(x) 2x2 pad [0, 1, 1, 0] counted
             largest [1, 4, 4, 2] = MaxPool(padded) 2x2
             output conv
             output mean
             output largest",
        );
    }
}

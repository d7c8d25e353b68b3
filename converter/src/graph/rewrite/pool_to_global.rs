//! A mean under a window as large as the image is the mean of the image.

use super::{Edit, Patch};
use crate::graph::{Graph, Node, Op, Pads, Window};

/// Forgets the size of the window.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let Op::AvgPool { window: Window { kernel, pads, .. }, .. } = &node.op else { return None };
    let &[_, h, w, _] = graph.shape(node.inputs[0]) else { return None };
    if *kernel != [h, w] || *pads != Pads::default() {
        return None;
    }
    let mut patch = Patch::new(graph);
    let result = patch.like(node, Op::GlobalAvgPool, &node.inputs)?;
    Some(patch.finish(result))
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use crate::graph::{Graph, Op, Window};

    #[test]
    fn only_the_whole_image_is_global() {
        let mut graph = Graph::new("pools");
        let x = graph.input("x", [1, 4, 4, 2]);
        let [a, b] = [4, 3].map(|n| {
            let op = Op::AvgPool { window: Window::square(n, 1, 0), count_pad: false };
            graph.add(format!("pool{n}"), op, &[x]).unwrap()
        });
        graph.outputs.extend([a, b]);
        assert_rewrites(
            &graph,
            &[super::rule],
            "x [1, 4, 4, 2] = input
             pool4 [1, 1, 1, 2] = AvgPool(x) 4x4
             pool3 [1, 2, 2, 2] = AvgPool(x) 3x3
             output pool4
             output pool3",
            "x [1, 4, 4, 2] = input
             pool4 [1, 1, 1, 2] = GlobalAvgPool(x)
             pool3 [1, 2, 2, 2] = AvgPool(x) 3x3
             output pool4
             output pool3",
        );
    }
}

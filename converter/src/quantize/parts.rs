//! Cuts feed-forward parts into parts of their own, one after another, so that less of what is inside of them is alive at once.
//!
//! `B f(A x)` is the sum of `B_i f(A_i x)` over groups of hidden values. Each product is rounded to 8 bits by itself and the
//! sum has 16, so nothing is lost but a little time; a run needs memory for one group of hidden values instead of all.

use super::split::{Hidden, insert_behind, linear, part, sum_behind};
use crate::graph::{Graph, Node, Op, Source, Tensor, ValueId};

/// The same function with the hidden values of feed-forward parts in so many groups, and how many parts were cut.
pub(super) fn cut(graph: &Graph, groups: usize) -> (Graph, usize) {
    let mut out = graph.clone();
    let mut cuts = 0;
    for layer in graph.nodes.iter().filter(|_| groups > 1) {
        let Some((hidden, sum)) = Hidden::before(graph, layer).zip(sum_behind(graph, layer)) else { continue };
        if cut_one(&mut out, layer, hidden, sum, groups).is_some() {
            cuts += 1;
        }
    }
    (out, cuts)
}

fn cut_one(out: &mut Graph, layer: &Node, hidden: Hidden<'_>, sum: ValueId, groups: usize) -> Option<()> {
    let before = out.clone();
    let param = |node: &Node, i: usize| node.inputs.get(i).and_then(|&id| before.param(id));
    let (first, second) = (param(hidden.layer, 1)?, param(layer, 1)?);
    let every: Vec<usize> = (0..second.shape()[0]).collect();
    // Whole tiles of any table, but for the last group.
    let size = first.shape()[0].div_ceil(groups).next_multiple_of(32);
    let all: Vec<usize> = (0..first.shape()[0]).collect();
    let mut total = sum;
    let mut nodes = Vec::new();
    for (i, rows) in all.chunks(size).enumerate().skip(1) {
        let old = out.nodes.len();
        let (inner, outer) = (format!("{}.part{i}", hidden.layer.name), format!("{}.part{i}", layer.name));
        let bias = param(hidden.layer, 2).map(|bias| part(bias, rows, None));
        let made = linear(out, inner.clone(), hidden.layer.inputs[0], part(first, rows, None), bias)?;
        let made = out.add(format!("{inner}.function"), Op::Unary(hidden.function), &[made]).ok()?;
        let made = linear(out, outer.clone(), made, part(second, &every, Some(rows)), None)?;
        total = out.add(format!("{outer}.sum"), Op::Add, &[made, total]).ok()?;
        nodes.extend(out.nodes.drain(old..));
    }
    let kept = &all[..size.min(all.len())];
    for (&id, i) in hidden.layer.inputs[1..].iter().zip(1..) {
        set(out, id, part(param(hidden.layer, i)?, kept, None));
    }
    set(out, layer.inputs[1], part(second, &every, Some(kept)));
    insert_behind(out, sum, total, nodes)?;
    out.infer_shapes().ok()
}

fn set(graph: &mut Graph, id: ValueId, tensor: Tensor) {
    let value = graph.value_mut(id);
    value.shape = tensor.shape().to_vec();
    value.source = Source::Param(tensor.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reference;
    use crate::quantize::testing::{ROOM, encoder};

    #[test]
    fn parts_add_up_to_the_whole() {
        let graph = encoder("distilbert-l2-h32-a4-f96", |_| ());
        let ids = (0..ROOM).map(|i| if i < 9 { (i * 4) as f32 } else { -1.0 }).collect();
        let ids = Tensor::new([1, ROOM], ids);
        for (groups, parts) in [(1, 0), (2, 2), (3, 2)] {
            let (out, cuts) = cut(&graph, groups);
            assert_eq!(cuts, parts);
            let widest = out.nodes.iter().filter_map(|node| out.shape(node.output).last()).max();
            assert_eq!(widest, Some(&[96, 64, 32][groups - 1]));
            assert_eq!(out.param_count(), graph.param_count());
            let [before, after] = [&graph, &out].map(|g| reference::run(g, std::slice::from_ref(&ids)).unwrap());
            assert!(before[0].data().iter().zip(after[0].data()).all(|(a, b)| (a - b).abs() < 1e-5), "{groups}");
        }
    }
}

//! Attention, written out by heads in products, a softmax and the moves of elements around them, becomes one operator.
//!
//! Exporters cut values into heads and join them again in many ways. So it is not the moves that are compared, but where they bring the
//! elements.

use super::merge_scale::scaled;
use super::{Edit, Patch};
use crate::graph::{Graph, Node, Op, Tensor, ValueId};
use crate::ops::reference;

/// `[batch, tokens, heads, depth]` with the heads in front of the tokens, or the other way round.
const HEADS: [usize; 4] = [0, 2, 1, 3];
/// The same for keys, whose tokens stand last.
const KEYS: [usize; 4] = [0, 2, 3, 1];

/// Floats tell as many elements apart.
const MOST: usize = 1 << 24;

/// Replaces the last of the moves that join the heads.
pub(super) fn rule(graph: &Graph, node: &Node) -> Option<Edit> {
    let &[batch, tokens, width] = graph.shape(node.output) else { return None };
    let joined = Moved::find(graph, node.output, |id| graph.producer(id).is_some_and(|n| n.op == Op::MatMul))?;
    let mix = graph.producer(joined.value)?;
    let (shares, depth) = (graph.producer(mix.inputs[0])?, *graph.shape(mix.output).last()?);
    let [scores, ..] = shares.inputs[..] else { return None };
    let scores = Moved::find(graph, scores, |id| graph.producer(id).is_some_and(|n| n.op == Op::MatMul))?;
    let product = graph.producer(scores.value)?;
    let last = graph.shape(scores.value).len() - 1;
    let ids = graph.nodes.iter().find(|lookup| lookup.op == Op::Embedding)?.inputs[0];
    let plain = shares.op == Op::Softmax { axis: last } && scores.nodes.is_empty() && joined.factor == 1.0;
    if !plain || batch * tokens * width > MOST || graph.shape(ids) != [batch, tokens] {
        return None;
    }
    let heads = width.checked_div(depth)?;
    let cut = |operand: ValueId, order: [usize; 4]| {
        let moved = Moved::find(graph, operand, |id| graph.shape(id) == [batch, tokens, width])?;
        let rows = if order == KEYS { [depth, tokens] } else { [tokens, depth] };
        let fits = graph.shape(operand).ends_with(&rows) && moved.is(graph, [batch, tokens, heads, depth], order);
        fits.then_some(moved)
    };
    let (q, k, v) = (cut(product.inputs[0], HEADS)?, cut(product.inputs[1], KEYS)?, cut(mix.inputs[1], HEADS)?);
    if v.factor != 1.0 || !joined.is(graph, [batch, heads, tokens, depth], HEADS) {
        return None;
    }
    let mut patch = Patch::new(graph);
    // Attention divides by the root of the depth itself.
    let further = scores.factor * q.factor * k.factor * (depth as f32).sqrt();
    let mut queries = q.value;
    if (further - 1.0).abs() > 1e-6 {
        let name = format!("{}.queries", graph.value(node.output).name);
        let number = patch.param(format!("{name}.scale"), Tensor::scalar(further));
        queries = patch.node(name, Op::Mul, &[queries, number])?;
    }
    let result = patch.like(node, Op::Attention { heads }, &[queries, k.value, v.value, ids])?;
    Some(patch.finish(result))
}

/// A value of which another has the elements in other places, multiplied by one number.
struct Moved<'g> {
    value: ValueId,
    factor: f32,
    /// What moves them, the last first.
    nodes: Vec<&'g Node>,
}

impl<'g> Moved<'g> {
    /// The farthest such value that is `wanted`, which may be the value itself.
    fn find(graph: &'g Graph, mut id: ValueId, wanted: impl Fn(ValueId) -> bool) -> Option<Self> {
        let (mut factor, mut nodes, mut found) = (1.0, Vec::new(), None);
        loop {
            if wanted(id) {
                found = Some((id, factor, nodes.len()));
            }
            let Some(node) = graph.producer(id) else { break };
            id = match (&node.op, scaled(graph, node)) {
                (_, Some((x, number))) if graph.shape(x) == graph.shape(id) => {
                    factor *= number;
                    x
                }
                (Op::Transpose(_) | Op::Reshape(_), _) => {
                    nodes.push(node);
                    node.inputs[0]
                }
                _ => break,
            };
        }
        let (value, factor, count) = found?;
        nodes.truncate(count);
        Some(Moved { value, factor, nodes })
    }

    /// Whether the elements are where they would be in a tensor of these sizes with its axes in this order.
    fn is(&self, graph: &Graph, sizes: [usize; 4], order: [usize; 4]) -> bool {
        let numbers = |shape: &[usize]| {
            let len = shape.iter().product::<usize>();
            Tensor::new(shape, (0..len).map(|i| i as f32).collect())
        };
        let mut found = numbers(graph.shape(self.value));
        for node in self.nodes.iter().rev() {
            found = reference::eval(&node.op, &[&found], graph.shape(node.output));
        }
        found.data() == numbers(&sizes).transpose(&order).data()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{run, testing::*};
    use crate::graph::{Dim, Graph, Op, Tensor, ValueId};
    use crate::ops::reference;

    /// How keys are turned: at once, in two steps, or in two steps of which the second knows nothing of the batch.
    const WAYS: [usize; 3] = [1, 2, 3];

    /// Attention of two heads of three channels, with these factors on queries, keys and scores.
    fn written_out(factors: [f32; 3], way: usize, last: [usize; 4]) -> Graph {
        let mut g = Graph::new("attention");
        let ids = g.input("ids", [1, 4]);
        let words = random_param(&mut g, "words", [9, 6]);
        let x = g.add("found", Op::Embedding, &[ids, words]).unwrap();
        let sized = |sizes: &[usize]| Op::Reshape(sizes.iter().map(|&size| Dim::Size(size)).collect());
        let heads = |g: &mut Graph, name: &str, perm: &[usize]| -> ValueId {
            let weight = random_param(g, &format!("{name}.weight"), [6, 6]);
            let y = g.add(name, Op::Linear, &[x, weight]).unwrap();
            let y = g.add(format!("{name}.cut"), sized(&[1, 4, 2, 3]), &[y]).unwrap();
            g.add(format!("{name}.turned"), Op::Transpose(perm.to_vec()), &[y]).unwrap()
        };
        let q = heads(&mut g, "q", &super::HEADS);
        let mut k = heads(&mut g, "k", if way == 1 { &super::KEYS } else { &super::HEADS });
        if way == 2 {
            k = g.add("k.again", Op::Transpose(vec![0, 1, 3, 2]), &[k]).unwrap();
        }
        if way == 3 {
            k = g.add("k.flat", sized(&[2, 4, 3]), &[k]).unwrap();
            k = g.add("k.again", Op::Transpose(vec![0, 2, 1]), &[k]).unwrap();
            k = g.add("k.open", sized(&[1, 2, 3, 4]), &[k]).unwrap();
        }
        let v = heads(&mut g, "v", &super::HEADS);
        let times = |g: &mut Graph, name: &str, x: ValueId, factor: f32| -> ValueId {
            let number = g.add_param(format!("{name}.number"), Tensor::scalar(factor));
            g.add(name, Op::Mul, &[x, number]).unwrap()
        };
        let (q, k) = (times(&mut g, "q.times", q, factors[0]), times(&mut g, "k.times", k, factors[1]));
        let scores = g.add("scores", Op::MatMul, &[q, k]).unwrap();
        let scores = times(&mut g, "scores.times", scores, factors[2]);
        let shares = g.add("shares", Op::Softmax { axis: 3 }, &[scores]).unwrap();
        let y = g.add("mix", Op::MatMul, &[shares, v]).unwrap();
        let y = g.add("joined", Op::Transpose(last.to_vec()), &[y]).unwrap();
        let y = g.add("y", sized(&[1, 4, 6]), &[y]).unwrap();
        g.outputs.push(y);
        g
    }

    #[test]
    fn every_way_of_scaling_and_turning_is_attention() {
        let root = 3.0_f32.sqrt();
        for (factors, further) in
            [([1.0, 1.0, 1.0 / root], false), ([1.0 / root, 1.0, 1.0], false), ([0.5, 0.5, 1.0], true)]
        {
            for way in WAYS {
                let graph = written_out(factors, way, super::HEADS);
                let mut joined = graph.clone();
                run(&mut joined, &[super::rule]);
                let has = |op: &Op| joined.nodes.iter().any(|node| node.op == *op);
                assert!(has(&Op::Attention { heads: 2 }) && !has(&Op::MatMul) && has(&Op::Mul) == further, "{joined}");
                let ids = Tensor::new([1, 4], vec![4.0, 0.0, 2.0, 8.0]);
                let [found, expected] =
                    [&joined, &graph].map(|graph| reference::run(graph, std::slice::from_ref(&ids)).unwrap());
                assert_close(&found, &expected);
            }
        }
    }

    #[test]
    fn heads_that_are_joined_otherwise_stay() {
        let graph = written_out([1.0; 3], 1, [0, 1, 2, 3]);
        let mut same = graph.clone();
        run(&mut same, &[super::rule]);
        assert_eq!(same, graph);
    }
}

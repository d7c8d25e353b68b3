//! Sets outlier channels of linear layers apart, so that they do not take the steps of one int8 scale from all others.
//!
//! Transformers make a few channels of a residual sum a hundred times larger than the rest, by a few values inside of the
//! feed-forward part (Sun et al., "Massive Activations in Large Language Models", 2024). Both are few, so layers of their
//! own cost little: `y = A x` becomes a sum of `A x` without its outlier rows, and of these rows alone, which a matrix of ones
//! puts in their places.

use super::equalize::change;
use super::split::{Hidden, clear, insert_behind, is_layer, linear, part, sum_behind};
use crate::graph::{Graph, Node, Op, Tensor, ValueId};

/// Channels that are set apart at most.
const MOST: usize = 16;
/// By this factor the sum of squared steps must fall.
const GAIN: f32 = 4.0;

/// The same function with outliers apart, and how many layers were split.
///
/// `peak` gives the largest magnitude seen in each channel (last axis) of a computed value.
pub(super) fn set_apart(graph: &Graph, peak: impl Fn(ValueId) -> Option<Vec<f32>>) -> (Graph, usize) {
    let mut out = graph.clone();
    let mut split = 0;
    for layer in graph.nodes.iter().filter(|node| is_layer(graph, node)) {
        let Some(sum) = sum_behind(graph, layer) else { continue };
        let rows = peak(layer.output).map_or_else(Vec::new, |peaks| outliers(&peaks));
        let hidden = Hidden::before(graph, layer);
        let columns = hidden.and_then(|h| peak(h.values)).map_or_else(Vec::new, |peaks| outliers(&peaks));
        if rows.is_empty() && columns.is_empty() {
            continue;
        }
        let parts = Split { layer, hidden: hidden.filter(|_| !columns.is_empty()), rows, columns };
        if parts.put_behind(&mut out, sum).is_some() {
            split += 1;
        }
    }
    (out, split)
}

/// The channels without which one scale for the rest and one for them have least squared steps; none if that gains little.
fn outliers(peaks: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..peaks.len()).collect();
    order.sort_by(|&a, &b| peaks[b].total_cmp(&peaks[a]));
    let square = |k: usize| order.get(k).map_or(0.0, |&channel| peaks[channel].powi(2));
    let steps = |k: usize| (peaks.len() - k) as f32 * square(k) + k as f32 * square(0);
    let most = MOST.min(peaks.len() / 8);
    let best = (0..=most).min_by(|&a, &b| steps(a).total_cmp(&steps(b))).unwrap_or(0);
    order.truncate(if steps(best) * GAIN < steps(0) { best } else { 0 });
    order.sort_unstable();
    order
}

/// A layer with the rows and columns that get layers of their own.
struct Split<'a> {
    layer: &'a Node,
    hidden: Option<Hidden<'a>>,
    rows: Vec<usize>,
    columns: Vec<usize>,
}

impl Split<'_> {
    /// Takes the outliers out of the layer, and adds them to `sum` by nodes behind it.
    fn put_behind(&self, out: &mut Graph, sum: ValueId) -> Option<()> {
        let (old, before) = (out.nodes.len(), out.clone());
        let name = self.layer.name.as_str();
        let [x, weight] = [self.layer.inputs[0], self.layer.inputs[1]];
        let matrix = before.param(weight)?;
        let bias = self.layer.inputs.get(2).and_then(|&id| before.param(id));
        let every: Vec<usize> = (0..matrix.shape()[0]).collect();
        let mut addends = Vec::new();
        let mut apart = Vec::new();
        if !self.rows.is_empty() {
            let mut rows = part(matrix, &self.rows, None);
            clear(&mut rows, &[], &self.columns);
            let bias = bias.map(|bias| part(bias, &self.rows, None));
            apart.push(linear(out, format!("{name}.outliers"), x, rows, bias)?);
        }
        if let Some(Hidden { layer, function, .. }) = self.hidden {
            let hidden = format!("{}.outliers", layer.name);
            let rows = part(before.param(layer.inputs[1])?, &self.columns, None);
            let own = layer.inputs.get(2).and_then(|&id| before.param(id)).map(|bias| part(bias, &self.columns, None));
            let made = linear(out, hidden.clone(), layer.inputs[0], rows, own)?;
            let made = out.add(format!("{hidden}.function"), Op::Unary(function), &[made]).ok()?;
            let mut rest = part(matrix, &every, Some(&self.columns));
            clear(&mut rest, &self.rows, &[]);
            addends.push(linear(out, format!("{name}.hidden_outliers"), made, rest, None)?);
            if !self.rows.is_empty() {
                let both = part(matrix, &self.rows, Some(&self.columns));
                apart.push(linear(out, format!("{name}.both_outliers"), made, both, None)?);
            }
        }
        if let &[first, ref more @ ..] = apart.as_slice() {
            let mut joined = first;
            for &other in more {
                joined = out.add(format!("{name}.outliers.sum"), Op::Add, &[joined, other]).ok()?;
            }
            let mut ones = Tensor::zeros([every.len(), self.rows.len()]);
            let width = self.rows.len();
            self.rows.iter().enumerate().for_each(|(i, &row)| ones.data_mut()[row * width + i] = 1.0);
            addends.push(linear(out, format!("{name}.outliers.placed"), joined, ones, None)?);
        }
        let mut total = sum;
        for (i, addend) in addends.into_iter().enumerate() {
            total = out.add(format!("{name}.sum{i}"), Op::Add, &[addend, total]).ok()?;
        }
        change(out, weight, |tensor| clear(tensor, &self.rows, &self.columns));
        if let Some(&bias) = self.layer.inputs.get(2) {
            change(out, bias, |tensor| clear(tensor, &self.rows, &[]));
        }
        if let Some(hidden) = self.hidden {
            hidden.layer.inputs[1..].iter().for_each(|&id| change(out, id, |t| clear(t, &self.columns, &[])));
        }
        let new = out.nodes.drain(old..).collect();
        insert_behind(out, sum, total, new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::reference;
    use crate::quantize::testing::{ROOM, encoder};

    #[test]
    fn few_large_channels_are_outliers() {
        let mut peaks = vec![1.0; 64];
        assert_eq!(outliers(&peaks), [0usize; 0]);
        (peaks[40], peaks[7]) = (90.0, 30.0);
        assert_eq!(outliers(&peaks), [7, 40]);
        peaks[..20].fill(100.0);
        assert_eq!(outliers(&peaks), [0usize; 0], "so many are no exception");
        assert_eq!(outliers(&[]), [0usize; 0]);
    }

    #[test]
    fn the_function_stays_when_outliers_are_set_apart() {
        let graph = encoder("distilbert-l2-h32-a4", |_| ());
        let peaks = |id: ValueId| {
            let mut peaks = vec![1.0; *graph.shape(id).last()?];
            (peaks[3], peaks[20]) = (50.0, 70.0);
            Some(peaks)
        };
        let (out, split) = set_apart(&graph, peaks);
        assert_eq!(split, 4);
        let linear = |graph: &Graph| graph.nodes.iter().filter(|node| node.op == Op::Linear).count();
        // Two layers for each attention, five for each feed-forward part.
        assert_eq!(linear(&out), linear(&graph) + 2 * 2 + 2 * 5);
        let ids: Vec<f32> = (0..ROOM).map(|i| if i < 9 { (i * 4) as f32 } else { -1.0 }).collect();
        let ids = Tensor::new([1, ROOM], ids);
        let [before, after] = [&graph, &out].map(|g| reference::run(g, std::slice::from_ref(&ids)).unwrap());
        assert!(
            before[0].data().iter().zip(after[0].data()).all(|(a, b)| (a - b).abs() < 1e-5),
            "{after:?} {before:?}"
        );
        let weight = out.param(out.find("transformer.layer.0.ffn.lin2.weight").unwrap()).unwrap();
        assert!(weight.data()[3 * 128..4 * 128].iter().all(|&w| w == 0.0) && weight.data()[20] == 0.0);
    }
}

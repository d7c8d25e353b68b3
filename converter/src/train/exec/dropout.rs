//! Dropout (Srivastava et al. 2014): some values, other ones at every step, are set to zero while a network learns.
//!
//! Which ones follows from the seed, the step, the layer and the place of a value in the batch, so it depends neither on
//! threads nor on shards, and the backward pass finds them again without storing anything.

use super::layer::Place;
use super::schedule::Stage;
use crate::data::random::{Purpose, stream};
use crate::graph::{Graph, Node, Op, ValueId};
use pulp::{Arch, Simd, WithSimd};
use rand::RngExt;

/// What a step drops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    /// Share of the values that become zero, from 0 to below 1. The others grow, so that the mean stays.
    pub share: f32,
    /// Other seeds drop other values.
    pub seed: u64,
    /// Number of the step.
    pub step: u64,
}

impl Dropout {
    /// Drops some of the values that a stage has for items or tokens from number `first` of the batch on; of a gradient the same.
    pub(super) fn apply(self, stage: &Stage, place: Place, first: usize, values: &mut [f32]) {
        let mut rng = stream(self.seed, Purpose::Dropout, self.step, u64::from(stage.output.0));
        let keys = rng.random::<[u32; 2]>();
        // Shares are rounded to 2^-24, which a float holds exactly.
        let below = (self.share * (1u32 << 24) as f32) as u32;
        let kept = 1.0 / (1.0 - self.share);
        Arch::new().dispatch(Drop { keys, below, kept, first: (first * place.len) as u32, values });
    }
}

struct Drop<'a> {
    keys: [u32; 2],
    below: u32,
    kept: f32,
    first: u32,
    values: &'a mut [f32],
}

impl WithSimd for Drop<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (number, value) in self.values.iter_mut().enumerate() {
            let kept = if scatter(self.first.wrapping_add(number as u32), self.keys) >> 8 < self.below {
                0.0
            } else {
                self.kept
            };
            *value *= kept;
        }
    }
}

/// A bijection of 32 bits, in which each bit of the input moves each of the output (Wellons's lowbias32), keyed.
#[inline(always)]
fn scatter(number: u32, keys: [u32; 2]) -> u32 {
    let mut x = number ^ keys[0];
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d) ^ keys[1];
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// The values that an encoder of texts drops from, where BERT does: the embedded tokens behind their normalization, what is
/// added to the residual stream, and what the classifier reads. (BERT also drops shares of attention.)
pub(super) fn places(graph: &Graph) -> Vec<ValueId> {
    let made_by = |id: ValueId, op: fn(&Op) -> bool| graph.producer(id).is_some_and(|node| op(&node.op));
    let of = |node: &Node| match node.op {
        Op::LayerNorm { .. } => made_by(node.inputs[0], |op| *op == Op::Embedding).then_some(node.output),
        Op::Add => node.inputs.iter().copied().find(|&id| made_by(id, |op| *op == Op::Linear)),
        Op::Linear if graph.outputs.first() == Some(&node.output) => {
            Some(node.inputs[0]).filter(|&id| graph.producer(id).is_some())
        }
        _ => None,
    };
    if !graph.nodes.iter().any(|node| node.op == Op::Embedding) {
        return Vec::new();
    }
    graph.nodes.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::distilbert::named;

    #[test]
    fn the_share_is_dropped_and_the_mean_stays() {
        for share in [0.0, 0.1, 0.5] {
            let below = (share * (1u32 << 24) as f32) as u32;
            let mut values = vec![1.0; 40_000];
            let keys = [12_345, 678_910];
            Arch::new().dispatch(Drop { keys, below, kept: 1.0 / (1.0 - share), first: 7, values: &mut values });
            let dropped = values.iter().filter(|v| **v == 0.0).count() as f32 / 40_000.0;
            let mean = values.iter().sum::<f32>() / 40_000.0;
            assert!((dropped - share).abs() < 0.01 && (mean - 1.0).abs() < 0.02, "{share}: {dropped}, mean {mean}");
            // Neighbours are dropped independently.
            let pairs = values.windows(2).filter(|pair| pair == &[0.0, 0.0]).count() as f32 / 40_000.0;
            assert!((pairs - share * share).abs() < 0.01, "{share}: {pairs} pairs");
        }
    }

    #[test]
    fn places_are_those_of_bert() {
        let graph = named("distilbert-l2-h16-a2", 10, 9, 2).unwrap().build("net", Some(1)).unwrap();
        let names: Vec<&str> = places(&graph).iter().map(|&id| graph.value(id).name.as_str()).collect();
        let expected = [
            "embeddings.LayerNorm",
            "transformer.layer.0.attention.out_lin",
            "transformer.layer.0.ffn.lin2",
            "transformer.layer.1.attention.out_lin",
            "transformer.layer.1.ffn.lin2",
            "pooled",
        ];
        assert_eq!(names, expected);
    }
}

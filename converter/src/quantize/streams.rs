//! Chooses which tensors between the layers of an encoder get along with 8 bits, by measuring what each of them costs.
//!
//! First each tensor alone gets 8 bits instead of 16, with the sums that then cannot have 16, and the noise of the outputs says how
//! sensitive to that the network is. Then as many as possible get 8 bits together, the least sensitive first, without more noise
//! than the bound allows.

use super::QuantSettings;
use super::calibrate::Samples;
use super::candidate::Candidate;
use super::elements::{Eight, Elements};
use super::error::QuantizeError;
use super::measure::Distance;
use crate::graph::ValueId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Bits of the tensors that are added up from layer to layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// 8 wherever that costs little: all of them together at most a decibel of the outputs' signal over noise.
    #[default]
    Auto,
    /// 16 wherever there is a form of them.
    Int16,
    /// 8: half the memory, and the noise of one more rounding in every layer.
    Int8,
}

/// By this factor the noise may grow for 8 bits instead of 16: a decibel.
pub(super) const MOST_NOISE: f64 = 1.26;
/// Samples on which tensors are tried.
const TRIED: usize = 64;

/// What was found about the tensors of 16 bits.
pub(super) struct Choice {
    /// Those that get along with 8, together.
    pub eight: BTreeSet<ValueId>,
    /// How far the outputs are from the float graph's with each of them alone in 8 bits.
    pub alone: Vec<(ValueId, Distance)>,
}

/// Tries the tensors of `best` that have 16 bits and could have 8.
///
/// # Errors
/// If a graph cannot be lowered or run.
pub(super) fn choose(best: &Candidate, samples: &Samples, settings: &QuantSettings) -> Result<Choice, QuantizeError> {
    let wide = Elements::new(&best.float, &best.steps, &Eight::None).optional(&best.float);
    if wide.is_empty() {
        return Ok(Choice { eight: BTreeSet::new(), alone: Vec::new() });
    }
    let samples = samples.thin(TRIED);
    let noise = |eight: BTreeSet<ValueId>| best.narrowed(&Eight::Some(eight), &samples, settings);
    let mut alone = Vec::new();
    for &value in &wide {
        alone.extend(noise([value].into())?.map(|distance| (value, distance)));
    }
    let mut order: Vec<_> = alone.iter().map(|&(value, distance)| (distance.noise(), value)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let first = |count: usize| -> BTreeSet<ValueId> { order[..count].iter().map(|&(_, value)| value).collect() };
    let bound = noise(BTreeSet::new())?.map_or(0.0, |distance| MOST_NOISE * distance.noise());
    // So many are known to get along, and so many are known not to.
    let (mut good, mut bad) = (0, order.len() + 1);
    while good + 1 < bad {
        let count = good.midpoint(bad);
        match noise(first(count))? {
            Some(distance) if distance.noise() <= bound => good = count,
            _ => bad = count,
        }
    }
    Ok(Choice { eight: first(good), alone })
}

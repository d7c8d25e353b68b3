//! The stage from a float graph to an int8 graph: calibrates, chooses scales, lowers, proves, measures.
//!
//! Static int8: weights symmetric with one scale for each output channel, activations with one scale and zero point for each
//! tensor. What might help (outliers apart, equalization, smoothing, bias correction) is tried, and kept only where the outputs on the calibration
//! samples come closer to the float graph's.

mod artifact;
mod bias;
mod calibrate;
mod elements;
mod equalize;
mod error;
mod graph;
mod int8;
mod lower;
mod mapping;
mod measure;
mod observer;
mod outliers;
mod parts;
mod proof;
mod scheme;
mod site;
mod smooth;
mod split;
mod steps;

pub use calibrate::Samples;
pub use error::QuantizeError;
pub use graph::{Clamp, QuantGraph, QuantNode, QuantOp, QuantTensor, TensorId};
pub use lower::fixed_points;
pub use measure::LayerError;
pub use observer::Calibrator;
pub use proof::{Bounds, fold_bias};
pub use scheme::{Affine, FixedPoint, Table, Weights};
pub use site::{Lowered, Site, image_axis};

use crate::graph::rewrite::{self, canonicalize};
use crate::graph::{Graph, ValueId};
use calibrate::Calibration;
use elements::{Elements, Form, NARROWED};
use lower::{Origin, lower};
use mapping::{Mapping, Rules};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use steps::{Step, check_finite, steps};

/// How to quantize.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuantSettings {
    /// Samples used, taken evenly from those given.
    pub samples: usize,
    /// Ways to choose a tensor's range; the best by measured error is taken.
    pub calibrators: Vec<Calibrator>,
    /// Share of values that the calibrator `percentile` keeps, in percent.
    pub percentile: f64,
    /// Whether to try to make channels alike: cross-layer equalization, smoothing of normalizations, outliers apart.
    pub equalize: bool,
    /// Whether to try bias correction.
    pub bias_correction: bool,
    /// Parts into which the hidden values of feed-forward parts of encoders are cut, which then are alive one after another.
    pub hidden_parts: usize,
}

impl Default for QuantSettings {
    fn default() -> Self {
        QuantSettings {
            samples: 512,
            calibrators: Calibrator::ALL.to_vec(),
            percentile: 99.99,
            equalize: true,
            bias_correction: true,
            hidden_parts: 1,
        }
    }
}

impl QuantSettings {
    /// Refuses what makes no sense.
    pub(crate) fn check(&self) -> Result<(), QuantizeError> {
        let wrong = |name, problem: String| Err(QuantizeError::Setting { name, problem });
        if self.samples == 0 {
            return wrong("samples", "0; at least 1 is needed".into());
        }
        if self.calibrators.is_empty() {
            let names = Calibrator::ALL.map(Calibrator::name).join(", ");
            return wrong("calibrators", format!("the list is empty; known are {names}"));
        }
        if !(1..=64).contains(&self.hidden_parts) {
            return wrong("hidden_parts", format!("{} is not from 1 to 64", self.hidden_parts));
        }
        if !(50.0..=100.0).contains(&self.percentile) {
            return wrong("percentile", format!("{} is not from 50 to 100", self.percentile));
        }
        Ok(())
    }
}

/// A way of quantizing that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What was added to the best so far.
    pub name: String,
    /// Signal over noise of the outputs in decibels; absent where there is no error at all.
    pub snr_db: Option<f64>,
    /// Whether it was kept.
    pub kept: bool,
}

/// The mapping of one tensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TensorReport {
    /// Its name.
    pub name: String,
    /// Scale and zero point.
    pub affine: Affine,
    /// Who chose them; absent if they were fixed.
    pub calibrator: Option<Calibrator>,
}

/// What the quantizer did and measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantReport {
    /// Samples used.
    pub samples: usize,
    /// What was tried.
    pub trials: Vec<Trial>,
    /// Signal over noise of the outputs in decibels; absent where there is no error at all.
    pub snr_db: Option<f64>,
    /// Every tensor's mapping.
    pub tensors: Vec<TensorReport>,
    /// Every layer's error, in execution order.
    pub layers: Vec<LayerError>,
}

/// Makes a float graph int8.
///
/// # Errors
/// Names the node, tensor or setting that stands in the way, and the remedy.
pub fn quantize(
    graph: &Graph,
    samples: &Samples,
    settings: &QuantSettings,
) -> Result<(QuantGraph, QuantReport), QuantizeError> {
    settings.check()?;
    check_finite(graph)?;
    let mut reference = canonicalize(graph.with_batch(1)?);
    rewrite::run(&mut reference, rewrite::TEXTS);
    let (reference, _) = parts::cut(&reference, settings.hidden_parts);
    let samples = samples.thin(settings.samples);
    let mut best = Candidate::new(reference.clone(), reference, &samples, settings)?;
    let mut trials = vec![Trial { name: "rounded".into(), snr_db: best.snr_db(), kept: true }];
    let mut consider = |name: &str, gain, ideal, float, best: &mut Candidate| -> Result<(), QuantizeError> {
        let other = Candidate::new(ideal, float, &samples, settings)?;
        let kept = other.noise() * gain < best.noise();
        trials.push(Trial { name: name.to_owned(), snr_db: other.snr_db(), kept });
        if kept {
            *best = other;
        }
        Ok(())
    };
    if settings.equalize {
        let (graph, layers) = outliers::set_apart(&best.float, |id| best.peaks(id));
        if layers > 0 {
            consider("outliers apart", WORTH_LAYERS, graph.clone(), graph, &mut best)?;
        }
        let (graph, pairs) = equalize::equalize(&best.float, |id| best.peaks(id));
        if pairs > 0 {
            consider("equalized", 1.0, graph.clone(), graph, &mut best)?;
        }
        let (graph, norms) = smooth::smooth(&best.float, |id| best.peaks(id));
        if norms > 0 {
            consider("smoothed", 1.0, graph.clone(), graph, &mut best)?;
        }
    }
    if settings.bias_correction {
        let graph = bias::correct(&best.float, &best.calibration);
        consider("biases corrected", 1.0, best.ideal.clone(), graph, &mut best)?;
    }
    let report = best.report(samples.len(), trials);
    Ok((best.origin.graph, report))
}

/// By this factor the noise must fall for layers to be added: a decibel.
const WORTH_LAYERS: f64 = 1.26;

/// A float graph, what it became, and how well.
struct Candidate {
    /// What the int8 graph should compute.
    ideal: Graph,
    /// What was rounded: the same values, except where mistakes were made on purpose to balance those of rounding.
    float: Graph,
    calibration: Calibration,
    mapping: Mapping,
    origin: Origin,
    errors: measure::Errors,
}

impl Candidate {
    fn new(
        ideal: Graph,
        float: Graph,
        samples: &Samples,
        settings: &QuantSettings,
    ) -> Result<Candidate, QuantizeError> {
        let steps = steps(&float);
        let elements = Elements::new(&float, &steps);
        let inputs = float.inputs.iter().copied().filter(|&id| elements.is_observed(id));
        let taps: Vec<ValueId> = inputs.chain(steps.iter().map(|s| s.output)).collect();
        let calibration = Calibration::run(&float, samples, &elements, &taps)?;
        let (mapping, origin) = lower_with(&float, &steps, &elements, &calibration, samples.mapping(), settings)?;
        let errors = measure::compare(&ideal, &origin, samples)?;
        Ok(Candidate { ideal, float, calibration, mapping, origin, errors })
    }

    /// The largest magnitude in each channel of a value.
    fn peaks(&self, id: ValueId) -> Option<Vec<f32>> {
        self.calibration.stats(id).map(|stats| stats.peaks.clone())
    }

    fn snr_db(&self) -> Option<f64> {
        self.errors.0.snr_db()
    }

    fn noise(&self) -> f64 {
        self.errors.0.noise()
    }

    fn report(&self, samples: usize, trials: Vec<Trial>) -> QuantReport {
        let tensors = self.mapping.iter().map(|(form, chosen)| {
            let name = self.float.value(form.value).name.clone();
            let name = if form.narrowed { name + NARROWED } else { name };
            TensorReport { name, affine: chosen.affine, calibrator: chosen.calibrator }
        });
        QuantReport {
            samples,
            trials,
            snr_db: self.snr_db(),
            tensors: tensors.collect(),
            layers: self.errors.1.clone(),
        }
    }
}

/// Rounds of coarser scales before giving up: each settles the operators that the former one disturbed.
const ROUNDS: usize = 16;

/// Chooses scales and lowers, with coarser scales where an operator's multipliers ask for them.
fn lower_with(
    graph: &Graph,
    steps: &[Step],
    elements: &Elements,
    calibration: &Calibration,
    input: Option<Affine>,
    settings: &QuantSettings,
) -> Result<(Mapping, Origin), QuantizeError> {
    let mut floors = BTreeMap::new();
    for _ in 0..ROUNDS {
        let rules =
            Rules { calibrators: &settings.calibrators, percentile: settings.percentile, input, floors: &floors };
        let mapping = Mapping::choose(graph, steps, elements, calibration, &rules)?;
        match lower(graph, steps, elements, &mapping)? {
            Ok(origin) => return Ok((mapping, origin)),
            Err(coarser) => floors.extend(coarser),
        }
    }
    let value = floors.keys().next().map_or(ValueId(0), |form: &Form| form.value);
    Err(QuantizeError::NoScale { tensor: graph.value(value).name.clone() })
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod text_tests;

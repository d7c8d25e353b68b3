//! The stage from a float graph to an int8 graph: calibrates, chooses scales, lowers, proves, measures.
//!
//! Static int8: weights symmetric with one scale for each output channel, activations with one scale and zero point for each
//! tensor. What might help (outliers apart, equalization, smoothing, bias correction) is tried, and kept only where the outputs on the calibration
//! samples come closer to the float graph's.

mod artifact;
mod aware;
mod bias;
mod calibrate;
mod candidate;
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
mod search;
mod sensitivity;
mod simulate;
mod site;
mod smooth;
mod split;
mod steps;
mod streams;

pub use aware::{AwareError, Learned, Lessons, learn_rounding};
pub use calibrate::Samples;
pub use error::QuantizeError;
pub use graph::{Clamp, QuantGraph, QuantNode, QuantOp, QuantTensor, TensorId};
pub use lower::fixed_points;
pub use measure::LayerError;
pub use observer::Calibrator;
pub use proof::{Bounds, fold_bias};
pub use scheme::{Affine, FixedPoint, Table, Weights};
pub use site::{Lowered, Site, image_axis};
pub use streams::Stream;

use crate::graph::Graph;
use search::Search;
use serde::{Deserialize, Serialize};

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
    /// Bits of what encoders add up from layer to layer: `"auto"`, `"int16"` or `"int8"`.
    pub stream: Stream,
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
            stream: Stream::Auto,
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
    /// The least and the greatest value that calibration saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<[f32; 2]>,
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
    let samples = samples.thin(settings.samples);
    let mut search = Search::new(graph, &samples, settings)?;
    search.run()?;
    search.result()
}

#[cfg(test)]
mod aware_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod text_tests;

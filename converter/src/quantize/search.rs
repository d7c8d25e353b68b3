//! Tries ways of quantizing a graph one after another, and keeps those that bring its outputs closer to the float graph's.

use super::calibrate::Samples;
use super::candidate::Candidate;
use super::elements::Eight;
use super::error::QuantizeError;
use super::graph::QuantGraph;
use super::sensitivity::sensitivity;
use super::steps::check_finite;
use super::streams::{self, Stream};
use super::{QuantReport, QuantSettings, Trial, bias, equalize, outliers, parts, smooth};
use crate::graph::rewrite::{self, canonicalize};
use crate::graph::{Graph, ValueId};

/// By this factor the noise must fall for layers to be added: a decibel.
const WORTH_LAYERS: f64 = 1.26;

/// A way to change a graph: its name, by what factor the noise must fall, and what makes it and counts the places that it found.
type Way = (&'static str, f64, fn(&Candidate) -> (Graph, usize));

/// The best way so far, and what else was tried.
pub(super) struct Search<'a> {
    samples: &'a Samples,
    settings: &'a QuantSettings,
    pub best: Candidate,
    pub trials: Vec<Trial>,
    /// Tensors of 16 bits, each with the outputs' signal over noise if it alone had 8.
    alone: Vec<(String, Option<f64>)>,
}

impl<'a> Search<'a> {
    /// Begins with plain rounding.
    ///
    /// # Errors
    /// If a setting makes no sense, or the graph has something that has no int8 form.
    pub(super) fn new(graph: &Graph, samples: &'a Samples, settings: &'a QuantSettings) -> Result<Self, QuantizeError> {
        settings.check()?;
        check_finite(graph)?;
        let mut reference = canonicalize(graph.with_batch(1)?);
        rewrite::run(&mut reference, rewrite::TEXTS);
        let (reference, _) = parts::cut(&reference, settings.hidden_parts);
        let eight = if settings.stream == Stream::Int8 { Eight::All } else { Eight::None };
        let best = Candidate::new(reference.clone(), reference, eight, samples, settings)?;
        let trials = vec![Trial { name: "rounded".into(), snr_db: best.snr_db(), kept: true }];
        Ok(Search { samples, settings, best, trials, alone: Vec::new() })
    }

    /// Tries all ways that the settings allow.
    ///
    /// # Errors
    /// If a graph cannot be lowered or run.
    pub(super) fn run(&mut self) -> Result<(), QuantizeError> {
        if self.settings.equalize {
            self.equalize()?;
        }
        if self.settings.bias_correction {
            let graph = bias::correct(&self.best.float, &self.best.calibration);
            self.consider("biases corrected", 1.0, self.best.ideal.clone(), graph, self.best.eight.clone())?;
        }
        if self.settings.stream == Stream::Auto {
            self.narrow()?;
        }
        Ok(())
    }

    /// The best graph, and what is known of it.
    ///
    /// # Errors
    /// If the graph does not run.
    pub(super) fn result(self) -> Result<(QuantGraph, QuantReport), QuantizeError> {
        let only = sensitivity(&self.best, self.samples)?;
        let mut report = self.best.report(self.samples.len(), self.trials, &self.alone);
        for layer in &mut report.layers {
            layer.only_db = only.get(&layer.tensor).copied().flatten();
        }
        Ok((self.best.origin.graph, report))
    }

    /// Makes channels alike, in several ways.
    fn equalize(&mut self) -> Result<(), QuantizeError> {
        let ways: [Way; 4] = [
            ("outliers apart", WORTH_LAYERS, |best| outliers::set_apart(&best.float, |id| best.peaks(id))),
            ("queries and keys equalized", 1.0, |best| equalize::products(&best.float, |id| best.peaks(id))),
            ("equalized", 1.0, |best| equalize::equalize(&best.float, |id| best.peaks(id))),
            ("smoothed", 1.0, |best| smooth::smooth(&best.float, |id| best.peaks(id))),
        ];
        for (name, gain, change) in ways {
            let (graph, changes) = change(&self.best);
            if changes > 0 {
                self.consider(name, gain, graph.clone(), graph, self.best.eight.clone())?;
            }
        }
        Ok(())
    }

    /// Gives tensors of 16 bits 8 where that costs little.
    fn narrow(&mut self) -> Result<(), QuantizeError> {
        let streams::Choice { eight, alone } = streams::choose(&self.best, self.samples, self.settings)?;
        let name = |id: ValueId| self.best.float.value(id).name.clone();
        self.alone = alone.into_iter().map(|(id, distance)| (name(id), distance.snr_db())).collect();
        if !eight.is_empty() {
            let name = format!("{} of {} sums and normalizations in 8 bits", eight.len(), self.alone.len());
            let (ideal, float) = (self.best.ideal.clone(), self.best.float.clone());
            self.consider(&name, 1.0 / streams::MOST_NOISE, ideal, float, Eight::Some(eight))?;
        }
        Ok(())
    }

    /// Tries a way, and takes it if its noise times `gain` is below that of the best.
    fn consider(
        &mut self,
        name: &str,
        gain: f64,
        ideal: Graph,
        float: Graph,
        eight: Eight,
    ) -> Result<(), QuantizeError> {
        let other = Candidate::new(ideal, float, eight, self.samples, self.settings)?;
        let kept = other.noise() * gain < self.best.noise();
        self.trials.push(Trial { name: name.to_owned(), snr_db: other.snr_db(), kept });
        if kept {
            self.best = other;
        }
        Ok(())
    }
}

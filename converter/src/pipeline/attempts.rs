//! The search for a way to quantize that costs no more accuracy than the recipe allows: cheap ways first, and the first that is
//! good enough is taken.
//!
//! It is judged on examples of the training part: those that the student held out, if there are enough, or else others that nothing
//! is calibrated on. The test part has no say; it is only asked once, at the end, how good the result is.

use super::int8::{picked, samples};
use super::{Build, BuildError, Data, Quantized, Student};
use crate::artifact::{Digest, Key};
use crate::data::{Set, split_labels};
use crate::quantize::{QuantGraph, QuantSettings, Stream, quantize};
use crate::verify::accuracy::{agreement, score};
use crate::verify::record::Attempt;
use crate::watch::Stage;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Raised when the search changes.
const REVISION: u32 = 1;

/// Examples that attempts are judged on at most, and so many held out ones are enough.
const MOST: usize = 5000;
const ENOUGH: usize = 500;

/// The outcome of a search.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Outcome {
    attempts: Vec<Attempt>,
    /// Which of them was taken: the first that is good enough, or else the one that costs least.
    taken: usize,
}

/// Names of what is stored.
const OUTCOME: &str = "attempts.json";
const GRAPH: &str = "int8-taken.safetensors";
const REPORT: &str = "int8-taken.json";

/// Settings by which the recipe's are replaced, with what is new in them, from cheap to dear. What the recipe does not leave open
/// stays as it is; `sixteen` says whether there are tensors of 8 bits that could have 16.
fn ways(settings: &QuantSettings, sixteen: bool) -> Vec<(String, QuantSettings)> {
    let mut all = vec![("as the recipe says".to_owned(), settings.clone())];
    let mut add = |name: String, change: &dyn Fn(&mut QuantSettings)| {
        let mut other = settings.clone();
        change(&mut other);
        all.push((name, other));
    };
    add(format!("{} samples instead of {}", 4 * settings.samples, settings.samples), &|other| other.samples *= 4);
    if settings.calibrators.len() > 1 {
        for &calibrator in &settings.calibrators {
            add(format!("ranges by {} alone", calibrator.name()), &|other| {
                other.calibrators = vec![calibrator];
            });
        }
    }
    if settings.equalize {
        add("channels as they are".to_owned(), &|other| other.equalize = false);
    }
    if settings.bias_correction {
        add("biases as they are".to_owned(), &|other| other.bias_correction = false);
    }
    if sixteen && settings.stream == Stream::Auto {
        add("16 bits between layers".to_owned(), &|other| other.stream = Stream::Int16);
    }
    all
}

impl Build<'_> {
    /// Goes on from the first way to others, until one costs no more than `most`. Says whether the outcome was stored.
    pub(super) fn search(
        &self,
        data: &Data,
        student: &Student,
        first: Quantized,
        most: f64,
    ) -> Result<(Quantized, bool), BuildError> {
        let settings = &self.recipe.quantize;
        let key = Key::new("attempts", REVISION)
            .with("int8", first.digest)
            .with("student", student.digest)
            .settings("most", &most)
            .settings("settings", settings)
            .settings("held out", &self.recipe.student.as_ref().map(|s| (s.train.hold_out, s.train.seed)))
            .settings("images", &student.network.reader.read(&data.train)?.hash());
        let sixteen = first.report.layers.iter().any(|layer| layer.bits == 8 && layer.alone_db.is_some());
        let ways = ways(settings, sixteen);
        if self.store.current(OUTCOME, &key).is_some() {
            let outcome: Outcome = serde_json::from_slice(&self.store.read(OUTCOME)?)?;
            let digest = self.store.current(GRAPH, &key).filter(|_| self.store.current(REPORT, &key).is_some());
            match (ways.get(outcome.taken), outcome.taken, digest) {
                (_, 0, _) => return Ok((Quantized { attempts: outcome.attempts, ..first }, true)),
                (Some((_, settings)), _, Some(digest)) => {
                    let graph = QuantGraph::from_bytes(&self.store.read(GRAPH)?)?;
                    let report = serde_json::from_slice(&self.store.read(REPORT)?)?;
                    let (settings, attempts) = (settings.clone(), outcome.attempts);
                    return Ok((Quantized { graph, report, settings, attempts, file: GRAPH, digest, ..first }, true));
                }
                _ => {}
            }
        }
        let judges = self.judges(data)?;
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut best: Option<(usize, Quantized)> = None;
        for (number, (name, settings)) in ways.into_iter().enumerate() {
            let quantized = if number == 0 { first.clone() } else { self.other(data, student, &first, settings)? };
            let attempt = self.judged(&name, data, &judges, student, &quantized, most)?;
            let better = |(taken, _): &(usize, Quantized)| attempt.drop < attempts[*taken].drop;
            let (met, better) = (attempt.met, best.as_ref().is_none_or(better));
            attempts.push(attempt);
            if met || better {
                best = Some((number, quantized));
            }
            if met {
                break;
            }
        }
        let Some((taken, mut quantized)) = best else { return Err(BuildError::text("there is no way to quantize")) };
        if taken > 0 {
            self.store.write(REPORT, &key, &serde_json::to_vec_pretty(&quantized.report)?)?;
            quantized.digest = self.store.write(GRAPH, &key, &quantized.graph.to_bytes()?)?;
        }
        quantized.attempts.clone_from(&attempts);
        self.store.write(OUTCOME, &key, &serde_json::to_vec_pretty(&Outcome { attempts, taken })?)?;
        Ok((quantized, false))
    }

    /// The student, quantized in another way.
    fn other(
        &self,
        data: &Data,
        student: &Student,
        first: &Quantized,
        settings: QuantSettings,
    ) -> Result<Quantized, BuildError> {
        if self.watch.stopped() {
            return Err(BuildError::Interrupted { stage: Stage::Quantize });
        }
        let graph = &student.network.graph;
        let samples = samples(&student.network.reader.read(&data.train)?, graph, &settings)?;
        let (graph, report) = quantize(graph, &samples, &settings)?;
        Ok(Quantized { graph, report, settings, file: GRAPH, digest: Digest::of(b"not stored"), ..first.clone() })
    }

    /// Examples to judge attempts on.
    pub(super) fn judges(&self, data: &Data) -> Result<Set, BuildError> {
        let (labels, classes) = (data.train.labels(), data.train.classes().len());
        let student = self.recipe.student.as_ref();
        let held_out = student.map_or(0, |student| student.train.hold_out);
        if let Some(student) = student.filter(|_| held_out >= ENOUGH) {
            // The very ones that its training held out.
            let mut held_out = split_labels(labels, classes, held_out, student.train.seed)?.valid;
            held_out.truncate(MOST);
            return Ok(data.train.subset(&held_out));
        }
        let calibrated: Vec<usize> = picked(labels.len(), 4 * self.recipe.quantize.samples).collect();
        let mut others: Vec<usize> =
            (0..labels.len()).filter(|index| calibrated.binary_search(index).is_err()).collect();
        if others.is_empty() {
            others = calibrated;
        }
        let count = others.len().min(MOST);
        let chosen: Vec<usize> = (0..count).map(|i| others[i * others.len() / count]).collect();
        Ok(data.train.subset(&chosen))
    }

    /// What an int8 network costs on these examples.
    pub(super) fn judged(
        &self,
        name: &str,
        data: &Data,
        judges: &Set,
        student: &Student,
        quantized: &Quantized,
        most: f64,
    ) -> Result<Attempt, BuildError> {
        let (labels, classes) = (judges.labels(), judges.classes().len());
        let [float, int8] = self.said(data, judges, usize::MAX, student, quantized)?;
        let accuracy = |logits: &[f32]| score(logits, labels, classes).accuracy;
        let drop = accuracy(&float) - accuracy(&int8);
        Ok(Attempt {
            name: name.to_owned(),
            n: labels.len(),
            drop,
            agreement: agreement(&int8, &float, classes),
            snr_db: quantized.report.snr_db,
            met: drop <= most,
        })
    }

    /// Refuses what costs more than the recipe allows, unless the user takes it: says what was tried and which layers cost most.
    pub(super) fn refuse(&self, quantized: &Quantized) -> Result<(), BuildError> {
        let bar = self.recipe.accept.int8_drop.filter(|_| !self.accept_loss && !quantized.is_good_enough());
        match bar {
            None => Ok(()),
            Some(most) => Err(BuildError::Lossy { table: tried(quantized, most) }),
        }
    }
}

/// Layers that are listed.
const LISTED: usize = 8;

/// What was tried, and what each layer costs.
fn tried(quantized: &Quantized, most: f64) -> String {
    let width = quantized.attempts.iter().map(|attempt| attempt.name.chars().count()).max().unwrap_or(0);
    let decibels = |snr: Option<f64>| snr.map_or_else(|| "exact".to_owned(), |snr| format!("{snr:.1} dB"));
    let mut text = format!("`accept.int8_drop` allows {:.2} points of accuracy\n", 100.0 * most);
    for attempt in &quantized.attempts {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(
            text,
            "  {:width$}  loses {:>6.2} points, agrees {:.2} %, outputs {}",
            attempt.name,
            100.0 * attempt.drop,
            100.0 * attempt.agreement,
            decibels(attempt.snr_db)
        );
    }
    let mut layers: Vec<_> = quantized.report.layers.iter().filter_map(|layer| Some((layer.only_db?, layer))).collect();
    layers.sort_by(|a, b| a.0.total_cmp(&b.0));
    if !layers.is_empty() {
        text += "  layers that cost most, each rounded alone:";
        for (only, layer) in layers.iter().take(LISTED) {
            let _ = write!(text, "\n  {} ({}): outputs {only:.1} dB", layer.tensor, layer.op);
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::Calibrator;

    #[test]
    fn ways_begin_with_the_recipe_and_change_only_what_it_leaves_open() {
        let settings = QuantSettings::default();
        let all = ways(&settings, true);
        assert_eq!(all[0].1, settings);
        assert_eq!(all.len(), 2 + Calibrator::ALL.len() + 3);
        assert!(all.iter().skip(1).all(|(_, other)| *other != settings));
        assert_eq!(all.last().map(|(_, other)| other.stream), Some(Stream::Int16));
        let fixed = QuantSettings {
            calibrators: vec![Calibrator::Mse],
            equalize: false,
            bias_correction: false,
            stream: Stream::Int8,
            ..settings
        };
        assert_eq!(ways(&fixed, true).len(), 2);
    }
}

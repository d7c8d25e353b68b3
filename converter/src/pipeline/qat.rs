//! The stage behind quantization, where that costs too much: the weights learn what rounding does.

use super::{Build, BuildError, Data, Quantized, Student};
use crate::artifact::Key;
use crate::data::{Inputs, Set};
use crate::graph::Graph;
use crate::pack::pack;
use crate::plan::{PlanTarget, plan};
use crate::quantize::{Lessons, QuantGraph, QuantReport, Trial, learn_rounding};
use crate::recipe::{Qat, Recipe, When};
use crate::train::{self, Answers, Control, Examples, Freeze, Images, TextExamples, TrainSettings};
use crate::verify::host;
use crate::verify::record::{Attempt, Training};
use crate::watch::Stage;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Raised when the code of the stage changes what it makes.
const REVISION: u32 = 2;

/// What the stage found and decided.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Outcome {
    /// What the training made, if there was one and it was worth it.
    report: Option<QuantReport>,
    /// How the training went, if there was one.
    training: Option<Training>,
    /// What was found about its result.
    attempt: Option<Attempt>,
}

impl Build<'_> {
    /// Stage `qat`: trains the network with its values and weights rounded, if no way to quantize is good enough for the recipe,
    /// or if the recipe asks for it in any case. Where it describes no such training, the student's own is repeated gently.
    ///
    /// # Errors
    /// If the network cannot be run, the training fails or is interrupted, or its result is not good enough either.
    pub fn qat(&self, data: &Data, student: &Student, quantized: Quantized) -> Result<Quantized, BuildError> {
        let gentle = (!quantized.is_good_enough() && !self.accept_loss).then(|| gentle(self.recipe)).flatten();
        let Some(recipe) = self.recipe.qat.as_ref().or(gentle.as_ref()) else {
            self.refuse(&quantized)?;
            return Ok(quantized);
        };
        let quantized = self.stage(Stage::Qat, "judging", || {
            let inputs = student.network.reader.read(&data.train)?;
            let key = Key::new("qat", REVISION)
                .with("int8", quantized.digest)
                .with("student", student.digest)
                .settings("when", &(recipe.when, self.recipe.accept.int8_drop))
                .settings("settings", &(&recipe.train, &quantized.settings))
                .settings("temperature", &self.recipe.distill.temperature)
                .settings("images", &inputs.hash());
            let (weights, outcome) = ("qat.safetensors", "qat.json");
            let stored = self.store.current(weights, &key).filter(|_| self.store.current(outcome, &key).is_some());
            let (graph, outcome, digest) = match stored {
                Some(digest) => {
                    let graph = QuantGraph::from_bytes(&self.store.read(weights)?)?;
                    (graph, serde_json::from_slice(&self.store.read(outcome)?)?, digest)
                }
                None => {
                    let checkpoint = format!("qat-{}.checkpoint", key.digest().short());
                    let (graph, found) =
                        self.rounded(recipe, data, student, &quantized, &self.control(Some(&checkpoint)))?;
                    self.store.write(outcome, &key, &serde_json::to_vec_pretty(&found)?)?;
                    let digest = self.store.write(weights, &key, &graph.to_bytes()?)?;
                    // The result is stored, so the way to it is of no more use; should it stay, it costs only space.
                    let _ = std::fs::remove_file(self.store.path(&checkpoint));
                    (graph, found, digest)
                }
            };
            let line = match (&outcome.training, &outcome.attempt) {
                (Some(training), Some(attempt)) if outcome.report.is_some() => {
                    let (epochs, lost) = (training.loss.len(), 100.0 * attempt.drop);
                    format!("trained with rounding for {epochs} epochs, {lost:.2} points of accuracy lost")
                }
                (Some(_), _) => "a training with rounding brought nothing".to_owned(),
                (None, _) => "int8 is good enough: no training is needed".to_owned(),
            };
            let Outcome { report, training, attempt } = outcome;
            let report = report.unwrap_or_else(|| quantized.report.clone());
            let mut attempts = quantized.attempts.clone();
            // Without a bar there was no search, and nothing that this would be another attempt at.
            attempts.extend(attempt.filter(|_| !quantized.attempts.is_empty()));
            let file = weights;
            Ok((Quantized { graph, report, training, attempts, file, digest, ..quantized }, line, stored.is_some()))
        })?;
        self.refuse(&quantized)?;
        Ok(quantized)
    }

    /// The int8 network, trained with rounding if that is wanted and helps.
    fn rounded(
        &self,
        recipe: &Qat,
        data: &Data,
        student: &Student,
        quantized: &Quantized,
        control: &Control<'_>,
    ) -> Result<(QuantGraph, Outcome), BuildError> {
        if recipe.when == When::Needed && quantized.is_good_enough() {
            return Ok((quantized.graph.clone(), Outcome { report: None, training: None, attempt: None }));
        }
        let reader = &student.network.reader;
        let inputs = reader.read(&data.train)?;
        let all: Vec<usize> = (0..inputs.len()).collect();
        let (images, texts);
        let examples: &dyn Examples = match &inputs {
            Inputs::Images(set, normalize) => {
                images = Images::new(set, &all, normalize, recipe.train.augment, recipe.train.seed);
                &images
            }
            Inputs::Texts(set) => {
                texts = TextExamples::new(set, &all, Answers::default());
                &texts
            }
        };
        let (network, settings) = (&student.network.graph, &quantized.settings);
        let samples = super::int8::samples(&inputs, network, settings)?;
        let lessons =
            Lessons { examples, settings: &recipe.train, temperature: self.recipe.distill.temperature, control };
        let learned = learn_rounding(network, &samples, settings, &lessons)?;
        let training = super::float::training(&format!("{} (rounded)", network.name), &learned.history);
        let trained = Quantized { graph: learned.int8, report: learned.report, ..quantized.clone() };
        let (judges, most) = (self.judges(data)?, self.recipe.accept.int8_drop.unwrap_or(f64::INFINITY));
        let name = format!("trained with rounding for {} epochs", training.loss.len());
        let before = self.judged("before", data, &judges, student, quantized, most)?;
        let mut attempt = self.judged(&name, data, &judges, student, &trained, most)?;
        let better = (attempt.met, attempt.agreement) >= (before.met, before.agreement);
        let Quantized { graph, mut report, .. } = trained;
        if let Some(Trial { kept, .. }) = report.trials.last_mut() {
            *kept = better;
        }
        // What is not taken cannot meet a bar.
        attempt.met &= better;
        let graph = if better { graph } else { quantized.graph.clone() };
        let (report, training) = (better.then_some(report), Some(training));
        Ok((graph, Outcome { report, training, attempt: Some(attempt) }))
    }

    /// The logits of the float network and of the int8 one for the first `most` examples of a set.
    pub(super) fn said(
        &self,
        data: &Data,
        set: &Set,
        most: usize,
        student: &Student,
        quantized: &Quantized,
    ) -> Result<[Vec<f32>; 2], BuildError> {
        let inputs = student.network.reader.read(set)?;
        let count = inputs.len().min(most);
        let float = self.float_logits(&student.network.graph, &inputs, count)?;
        let (path, kernels) = (Path::new(&self.recipe.name), host::best());
        let plan = plan(&quantized.graph, &PlanTarget::this_computer())?;
        let file = pack(&quantized.graph, &plan, &self.info(data, quantized)?)?;
        let file = host::in_layout_of(path, file, kernels)?;
        let model = host::parse(path, &file)?;
        let outputs = host::outputs(&model, kernels, &inputs, count, self.watch, (0, count as u64))?;
        Ok([float, host::logits(&model, &outputs.bytes)])
    }

    /// The logits of a float network for the first `count` examples.
    pub(super) fn float_logits(
        &self,
        graph: &Graph,
        inputs: &Inputs<'_>,
        count: usize,
    ) -> Result<Vec<f32>, BuildError> {
        let first: Vec<usize> = (0..count).collect();
        Ok(match inputs {
            Inputs::Images(images, normalize) => {
                train::predict(graph, &Images::plain(images, &first, normalize), self.threads)?
            }
            Inputs::Texts(texts) => {
                train::predict(graph, &TextExamples::new(texts, &first, Answers::default()), self.threads)?
            }
        })
    }
}

/// A short training with rounding, made from that of the student; `None` if it has none.
fn gentle(recipe: &Recipe) -> Option<Qat> {
    /// The learning rate is this part of the student's highest.
    const PART: f32 = 1.0 / 20.0;
    const EPOCHS: usize = 3;
    let train = recipe.student.as_ref()?.train.clone();
    let learning_rate = PART * train.learning_rate;
    let (freeze, unfreeze) = (Freeze::default(), 0.0);
    let train =
        TrainSettings { epochs: EPOCHS, learning_rate, warmup: 0.0, hold_out: 0, ema: 0.0, freeze, unfreeze, ..train };
    Some(Qat { when: When::Needed, train })
}

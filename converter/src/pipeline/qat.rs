//! The stage behind quantization, where that costs too much: the weights learn what rounding does.

use super::{Build, BuildError, Data, Quantized, Student};
use crate::artifact::Key;
use crate::data::{Inputs, Set};
use crate::graph::Graph;
use crate::pack::pack;
use crate::plan::{PlanTarget, plan};
use crate::quantize::{Lessons, QuantGraph, QuantReport, Trial, learn_rounding};
use crate::recipe::{Qat, When};
use crate::train::{self, Answers, Control, Examples, Images, TextExamples};
use crate::verify::accuracy::{agreement, score};
use crate::verify::host;
use crate::verify::record::Training;
use crate::watch::Stage;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Raised when the code of the stage changes what it makes.
const REVISION: u32 = 1;

/// Training examples on which a network that was trained with rounding must say at least as often what the float one says.
const JUDGED: usize = 10_000;

/// What the stage found and decided.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Outcome {
    /// Accuracy that quantization alone costs.
    drop: f64,
    /// What the training made, if there was one and it was worth it.
    report: Option<QuantReport>,
    /// How the training went, if there was one.
    training: Option<Training>,
}

impl Build<'_> {
    /// Stage `qat`: trains the network with its values and weights rounded, if quantization costs more accuracy than the recipe
    /// allows, or if the recipe asks for it in any case. There is no such stage without `[qat]`.
    ///
    /// # Errors
    /// If the network cannot be run, or the training fails or is interrupted.
    pub fn qat(&self, data: &Data, student: &Student, quantized: Quantized) -> Result<Quantized, BuildError> {
        let Some(recipe) = &self.recipe.qat else { return Ok(quantized) };
        self.stage(Stage::Qat, "judging", || {
            let reader = &student.network.reader;
            let (inputs, test) = (reader.read(&data.train)?, reader.read(&data.test)?);
            let may = self.recipe.accept.int8_drop;
            let key = Key::new("qat", REVISION)
                .with("int8", quantized.digest)
                .with("student", student.digest)
                .settings("when", &(recipe.when, may))
                .settings("settings", &(&recipe.train, &self.recipe.quantize))
                .settings("temperature", &self.recipe.distill.temperature)
                .settings("images", &(inputs.hash(), test.hash()));
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
                        self.judged(recipe, data, student, &quantized, &self.control(Some(&checkpoint)))?;
                    self.store.write(outcome, &key, &serde_json::to_vec_pretty(&found)?)?;
                    let digest = self.store.write(weights, &key, &graph.to_bytes()?)?;
                    // The result is stored, so the way to it is of no more use; should it stay, it costs only space.
                    let _ = std::fs::remove_file(self.store.path(&checkpoint));
                    (graph, found, digest)
                }
            };
            let lost = format!("int8 loses {:.2} points of accuracy", 100.0 * outcome.drop);
            let line = match (&outcome.training, &outcome.report) {
                (None, _) => format!("{lost}: no training is needed"),
                (_, None) => format!("{lost}; a training with rounding brought nothing"),
                (Some(training), Some(_)) => {
                    format!("{lost}; trained with rounding for {} epochs", training.loss.len())
                }
            };
            let report = outcome.report.unwrap_or_else(|| quantized.report.clone());
            let training = outcome.training;
            Ok((Quantized { graph, report, training, digest, ..quantized.clone() }, line, stored.is_some()))
        })
    }

    /// The int8 network, trained with rounding if that is wanted and helps.
    fn judged(
        &self,
        recipe: &Qat,
        data: &Data,
        student: &Student,
        quantized: &Quantized,
        control: &Control<'_>,
    ) -> Result<(QuantGraph, Outcome), BuildError> {
        let (labels, classes) = (data.test.labels(), data.test.classes().len());
        let [float, int8] = self.said(data, &data.test, usize::MAX, student, quantized)?;
        let accuracy = |logits: &[f32]| score(logits, labels, classes).accuracy;
        let drop = accuracy(&float) - accuracy(&int8);
        let is_too_much = match recipe.when {
            When::Always => true,
            When::Needed => self.recipe.accept.int8_drop.is_some_and(|most| drop > most),
        };
        if !is_too_much {
            return Ok((quantized.graph.clone(), Outcome { drop, report: None, training: None }));
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
        let (network, settings) = (&student.network.graph, &self.recipe.quantize);
        let samples = super::int8::samples(&inputs, network, settings)?;
        let lessons =
            Lessons { examples, settings: &recipe.train, temperature: self.recipe.distill.temperature, control };
        let learned = learn_rounding(network, &samples, settings, &lessons)?;
        let training = super::float::training(&format!("{} (rounded)", network.name), &learned.history);
        let trained = Quantized { graph: learned.int8, report: learned.report, ..quantized.clone() };
        let agrees = |quantized: &Quantized| -> Result<f64, BuildError> {
            let [float, int8] = self.said(data, &data.train, JUDGED, student, quantized)?;
            Ok(agreement(&int8, &float, classes))
        };
        let better = agrees(&trained)? >= agrees(quantized)?;
        let Quantized { graph, mut report, .. } = trained;
        if let Some(Trial { kept, .. }) = report.trials.last_mut() {
            *kept = better;
        }
        let graph = if better { graph } else { quantized.graph.clone() };
        Ok((graph, Outcome { drop, report: better.then_some(report), training: Some(training) }))
    }

    /// The logits of the float network and of the int8 one for the first `most` examples of a set.
    fn said(
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

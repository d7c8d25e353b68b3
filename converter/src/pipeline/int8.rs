//! The stages in integers: the student is quantized, planned for every target, and written into model files.

use super::{Build, BuildError, Data, Student};
use crate::artifact::{Digest, Key};
use crate::data::{Inputs, Reader};
use crate::families;
use crate::graph::Graph;
use crate::pack::{PackInfo, pack};
use crate::plan::{Cost, Plan, PlanTarget, cost, fit, plan};
use crate::quantize::{Calibrator, QuantGraph, QuantReport, QuantSettings, Samples, Stream, quantize};
use crate::verify::host;
use crate::verify::record::{Attempt, Training};
use crate::watch::Stage;
use limbeck_runtime::{AlignedBytes, Certificate};
use limbeck_targets::Target;
use serde_json::json;
use std::path::Path;

/// Raised when the code of a stage changes what it makes.
const REVISION: u32 = 3;

/// The int8 student.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// Itself.
    pub graph: QuantGraph,
    /// What was done and measured.
    pub report: QuantReport,
    /// How it was trained with rounding, where it was.
    pub training: Option<Training>,
    /// How examples become its input.
    pub reader: Reader,
    /// The settings that it was quantized with: the recipe's, or others that were found.
    pub settings: QuantSettings,
    /// What was tried, where the recipe says how much may be lost.
    pub attempts: Vec<Attempt>,
    /// Its artifact.
    pub file: &'static str,
    /// Of its artifact.
    pub digest: Digest,
}

impl Quantized {
    /// Whether it costs no more than the recipe allows, as far as that was judged.
    pub fn is_good_enough(&self) -> bool {
        self.attempts.is_empty() || self.attempts.iter().any(|attempt| attempt.met)
    }
}

/// How the int8 student runs on one target.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The target.
    pub target: &'static Target,
    /// Order, places, sizes.
    pub plan: Plan,
    /// Predicted work; absent on hosts.
    pub cost: Option<Cost>,
    /// The name of the model file that has this plan.
    pub file: String,
}

/// A model file.
#[derive(Clone, Debug)]
pub struct Packed {
    /// Its name in the work folder.
    pub file: String,
    /// Its bytes.
    pub bytes: AlignedBytes,
    /// Of these bytes.
    pub digest: Digest,
    /// The names of its ops, in their order.
    pub names: Vec<String>,
}

impl Build<'_> {
    /// Refuses targets that are too small for the student, before anything is trained: an untrained network has the same
    /// sizes. What else may fail is told when it does.
    pub(super) fn foresee(&self, data: &Data) -> Result<(), BuildError> {
        let Some(student) = &self.recipe.student else { return Ok(()) };
        let targets = self.targets()?;
        if targets.iter().all(|target| target.device.is_none()) {
            return Ok(());
        }
        let stream = self.recipe.quantize.stream;
        let settings = QuantSettings {
            samples: 1,
            calibrators: vec![Calibrator::MinMax],
            equalize: false,
            bias_correction: false,
            // The least that a trained network may need.
            stream: if stream == Stream::Auto { Stream::Int8 } else { stream },
            // What else the recipe says may change sizes, such as parts of a layer that are computed one after another.
            ..self.recipe.quantize.clone()
        };
        let graph = families::build(&student.network, &data.task()?, 0)?;
        let reader = data.student.clone();
        let samples = samples(&reader.read(&data.train)?, &graph, &settings)?;
        let Ok((graph, report)) = quantize(&graph, &samples, &settings) else { return Ok(()) };
        let digest = Digest::of(b"untrained");
        let attempts = Vec::new();
        let quantized = Quantized { graph, report, training: None, reader, settings, attempts, file: "", digest };
        for target in targets {
            let plan = plan(&quantized.graph, &PlanTarget::new(target)?)?;
            let file = pack(&quantized.graph, &plan, &self.info(data, &quantized)?)?;
            fit(target, file.len(), plan.arena_bytes)?;
        }
        Ok(())
    }

    /// Stage `quantize`: makes the student int8, calibrated on training examples; in other ways than the recipe's own, if that
    /// costs more accuracy than the recipe allows.
    ///
    /// # Errors
    /// If it has something that has no int8 form.
    pub fn quantize(&self, data: &Data, student: &Student) -> Result<Quantized, BuildError> {
        self.stage(Stage::Quantize, "calibrating", || {
            let (mut quantized, mut reused) = self.first(data, student)?;
            let mut found = String::new();
            if let Some(most) = self.recipe.accept.int8_drop {
                let (taken, old) = self.search(data, student, quantized, most)?;
                (quantized, reused) = (taken, reused && old);
                let best = quantized.attempts.iter().min_by(|a, b| a.drop.total_cmp(&b.drop));
                let count = quantized.attempts.len();
                if let Some(attempt) = quantized.attempts.last().filter(|attempt| attempt.met).or(best) {
                    let way = if count > 1 { format!(" by way {count}, {}", attempt.name) } else { String::new() };
                    found = format!(", {:.2} points lost{way}", 100.0 * attempt.drop);
                }
            }
            let report = &quantized.report;
            let snr = report.snr_db.map_or("no error".to_owned(), |snr| format!("{snr:.1} dB"));
            let line = format!("{} layers, signal over noise of the outputs {snr}{found}", report.layers.len());
            Ok((quantized, line, reused))
        })
    }

    /// The student, quantized as the recipe says; and whether that was stored.
    fn first(&self, data: &Data, student: &Student) -> Result<(Quantized, bool), BuildError> {
        let reader = student.network.reader.clone();
        let inputs = reader.read(&data.train)?;
        let settings = self.recipe.quantize.clone();
        let key = Key::new("quantize", REVISION)
            .with("student", student.digest)
            .settings("settings", &settings)
            .settings("normalize", &reader.identity()?)
            .settings("images", &inputs.hash());
        let (weights, report) = ("int8.safetensors", "int8.json");
        let stored = self.store.current(weights, &key).filter(|_| self.store.current(report, &key).is_some());
        let (graph, report, digest) = match stored {
            Some(digest) => {
                let graph = QuantGraph::from_bytes(&self.store.read(weights)?)?;
                (graph, serde_json::from_slice(&self.store.read(report)?)?, digest)
            }
            None => {
                let samples = samples(&inputs, &student.network.graph, &settings)?;
                let (graph, found) = quantize(&student.network.graph, &samples, &settings)?;
                self.store.write(report, &key, &serde_json::to_vec_pretty(&found)?)?;
                let digest = self.store.write(weights, &key, &graph.to_bytes()?)?;
                (graph, found, digest)
            }
        };
        drop(inputs);
        let attempts = Vec::new();
        Ok((
            Quantized { graph, report, training: None, reader, settings, attempts, file: weights, digest },
            stored.is_some(),
        ))
    }

    /// Stage `plan`: places the tensors for every target of the recipe, or for this computer if it names none.
    ///
    /// # Errors
    /// If a target is unknown, or too small: then it says by how much, and what would fit.
    pub fn plan(&self, quantized: &Quantized) -> Result<Vec<Planned>, BuildError> {
        self.stage(Stage::Plan, "planning", || {
            let mut all: Vec<Planned> = Vec::new();
            for target in self.targets()? {
                let plan = plan(&quantized.graph, &PlanTarget::new(target)?)?;
                let same = |other: &&Planned| {
                    other.plan.layout == plan.layout
                        && other.plan.steps == plan.steps
                        && other.plan.offsets == plan.offsets
                };
                let file = match all.iter().find(same) {
                    Some(other) => other.file.clone(),
                    None if all.is_empty() => format!("{}.lmb", self.recipe.name),
                    None => format!("{}.{}.lmb", self.recipe.name, target.name),
                };
                let cost = target.device.as_ref().map(|device| cost(&quantized.graph, &plan, device));
                let key = Key::new("plan", REVISION).with("int8", quantized.digest).settings("target", &target.name);
                self.store.write(&format!("plan-{}.json", target.name), &key, &serde_json::to_vec_pretty(&plan)?)?;
                all.push(Planned { target, plan, cost, file });
            }
            let arenas: Vec<String> =
                all.iter().map(|p| format!("{} bytes of arena for {}", p.plan.arena_bytes, p.target.name)).collect();
            Ok((all, arenas.join(", "), false))
        })
    }

    /// The targets of the recipe.
    fn targets(&self) -> Result<Vec<&'static Target>, BuildError> {
        if !self.recipe.targets.is_empty() {
            let found = self.recipe.targets.iter().map(|name| Target::find(name));
            return Ok(found.collect::<Result<_, _>>()?);
        }
        let here = Target::this_host().ok_or_else(|| {
            BuildError::text("there is no target file for this computer: name `targets` in the recipe")
        })?;
        Ok(vec![here])
    }

    /// Stage `pack`: writes a model file for every plan, with the certificate of its outputs for the test examples.
    ///
    /// # Errors
    /// If a layer's integers leave the contract's range, or a file does not fit its target's flash.
    pub fn pack(&self, data: &Data, quantized: &Quantized, plans: &[Planned]) -> Result<Vec<Packed>, BuildError> {
        self.stage(Stage::Pack, "writing", || {
            let Some(first) = plans.first() else { return Err(BuildError::text("there is no plan to pack")) };
            let mut info = self.info(data, quantized)?;
            let test = quantized.reader.read(&data.test)?;
            let (mut all, mut reused): (Vec<Packed>, bool) = (Vec::new(), true);
            for planned in plans {
                if all.iter().all(|packed| packed.file != planned.file) {
                    let mut key = Key::new("pack", REVISION)
                        .with("int8", quantized.digest)
                        .settings("plan", &planned.plan)
                        .settings("info", &(&info.labels, &info.metadata))
                        .settings("images", &test.hash());
                    if !info.vocabulary.is_empty() {
                        key = key.with("vocabulary", Digest::of(&info.vocabulary));
                    }
                    let stored = self.store.current(&planned.file, &key);
                    let (bytes, digest) = match stored {
                        Some(digest) => (AlignedBytes::copy_of(&self.store.read(&planned.file)?), digest),
                        None => {
                            if info.certificate == Certificate::default() {
                                info.certificate = self.certificate(&test, quantized, &first.plan, &info)?;
                            }
                            let bytes = pack(&quantized.graph, &planned.plan, &info)?;
                            let digest = self.store.write(&planned.file, &key, &bytes)?;
                            (bytes, digest)
                        }
                    };
                    reused &= stored.is_some();
                    let names = names(&quantized.graph, &planned.plan);
                    all.push(Packed { file: planned.file.clone(), bytes, digest, names });
                }
                let bytes =
                    all.iter().find(|packed| packed.file == planned.file).map_or(0, |packed| packed.bytes.len());
                fit(planned.target, bytes, planned.plan.arena_bytes)?;
            }
            let files: Vec<String> = all.iter().map(|p| format!("{} ({} bytes)", p.file, p.bytes.len())).collect();
            Ok((all, files.join(", "), reused))
        })
    }

    /// What every file of this build says beside the network.
    pub(super) fn info(&self, data: &Data, quantized: &Quantized) -> Result<PackInfo, BuildError> {
        let metadata = json!({
            "name": self.recipe.name,
            "network": quantized.graph.name,
            "limbeck": env!("CARGO_PKG_VERSION"),
            "about": self.recipe.about,
        });
        let (pixels, vocabulary) = match &quantized.reader {
            Reader::Pixels { normalize, .. } => (Some(normalize.clone()), Vec::new()),
            Reader::Text { vocabulary, .. } => (None, vocabulary.section()?),
        };
        let labels = data.train.classes().to_vec();
        Ok(PackInfo { labels, metadata, pixels, vocabulary, certificate: Certificate::default() })
    }

    /// What the model gives for the test examples.
    fn certificate(
        &self,
        test: &Inputs<'_>,
        quantized: &Quantized,
        plan: &Plan,
        info: &PackInfo,
    ) -> Result<Certificate, BuildError> {
        let (path, kernels) = (Path::new(&self.recipe.name), host::best());
        let bytes = host::in_layout_of(path, pack(&quantized.graph, plan, info)?, kernels)?;
        let model = host::parse(path, &bytes)?;
        let count = test.len();
        let outputs = host::outputs(&model, kernels, test, count, self.watch, (0, count as u64))?;
        Ok(Certificate { digest: outputs.digest(), items: count as u32 })
    }
}

/// The names of a plan's ops, in their order.
pub(super) fn names(graph: &QuantGraph, plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| graph.nodes[step.node].name.clone()).collect()
}

/// The numbers of those of `all` examples that are calibrated on, in order.
pub(super) fn picked(all: usize, samples: usize) -> impl Iterator<Item = usize> {
    let count = samples.clamp(1, all.max(1));
    (0..count).map(move |i| i * all / count)
}

/// Training examples to calibrate on, taken evenly.
pub(super) fn samples(inputs: &Inputs<'_>, graph: &Graph, settings: &QuantSettings) -> Result<Samples, BuildError> {
    let picked: Vec<usize> = picked(inputs.len(), settings.samples).collect();
    Ok(match inputs {
        Inputs::Images(images, normalize) => Samples::of_images(&images.subset(&picked), normalize)?,
        Inputs::Texts(texts) => {
            let room = graph.inputs.first().and_then(|&ids| graph.shape(ids).last().copied()).unwrap_or(0);
            Samples::of_texts(&texts.subset(&picked), room)?
        }
    })
}

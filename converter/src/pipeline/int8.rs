//! The stages in integers: the student is quantized, planned for every target, and written into model files.

use super::{Build, BuildError, Images, Student};
use crate::artifact::{Digest, Key};
use crate::data::{Dataset, Normalize};
use crate::families;
use crate::pack::{PackInfo, pack};
use crate::plan::{Cost, Plan, PlanTarget, cost, fit, plan};
use crate::quantize::{Calibrator, QuantGraph, QuantReport, QuantSettings, Samples, quantize};
use crate::verify::{exact, host};
use crate::watch::Stage;
use limbeck_runtime::{AlignedBytes, Certificate};
use limbeck_targets::Target;
use serde_json::json;
use std::path::Path;

/// Raised when the code of a stage changes what it makes.
const REVISION: u32 = 2;

/// The int8 student.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// Itself.
    pub graph: QuantGraph,
    /// What was done and measured.
    pub report: QuantReport,
    /// How pixels become its input.
    pub normalize: Normalize,
    /// Of its artifact.
    pub digest: Digest,
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
    pub(super) fn foresee(&self, images: &Images) -> Result<(), BuildError> {
        let Some(student) = &self.recipe.student else { return Ok(()) };
        let targets = self.targets()?;
        if targets.iter().all(|target| target.device.is_none()) {
            return Ok(());
        }
        let settings = QuantSettings {
            samples: 1,
            calibrators: vec![Calibrator::MinMax],
            equalize: false,
            bias_correction: false,
            ..QuantSettings::default()
        };
        let graph = families::build(&student.network, &images.task(), 0)?;
        let normalize = Normalize::student();
        let samples = samples(&images.train, &normalize, &settings)?;
        let Ok((graph, report)) = quantize(&graph, &samples, &settings) else { return Ok(()) };
        let quantized = Quantized { graph, report, normalize, digest: Digest::of(b"untrained") };
        for target in targets {
            let plan = plan(&quantized.graph, &PlanTarget::new(target)?)?;
            let file = pack(&quantized.graph, &plan, &self.info(images, &quantized))?;
            fit(target, file.len(), plan.arena_bytes)?;
        }
        Ok(())
    }

    /// Stage `quantize`: makes the student int8, calibrated on training images.
    ///
    /// # Errors
    /// If it has something that has no int8 form.
    pub fn quantize(&self, images: &Images, student: &Student) -> Result<Quantized, BuildError> {
        self.stage(Stage::Quantize, "calibrating", || {
            let normalize = &student.network.normalize;
            let settings = &self.recipe.quantize;
            let key = Key::new("quantize", REVISION)
                .with("student", student.digest)
                .settings("settings", settings)
                .settings("normalize", &format!("{normalize:?}"))
                .settings("images", &images.train.hash());
            let (weights, report) = ("int8.safetensors", "int8.json");
            let stored = self.store.current(weights, &key).filter(|_| self.store.current(report, &key).is_some());
            let (graph, report, digest) = match stored {
                Some(digest) => {
                    let graph = QuantGraph::from_bytes(&self.store.read(weights)?)?;
                    (graph, serde_json::from_slice(&self.store.read(report)?)?, digest)
                }
                None => {
                    let samples = samples(&images.train, normalize, settings)?;
                    let (graph, found) = quantize(&student.network.graph, &samples, settings)?;
                    self.store.write(report, &key, &serde_json::to_vec_pretty(&found)?)?;
                    let digest = self.store.write(weights, &key, &graph.to_bytes()?)?;
                    (graph, found, digest)
                }
            };
            let snr = report.snr_db.map_or("no error".to_owned(), |snr| format!("{snr:.1} dB"));
            let line = format!("{} layers, signal over noise of the outputs {snr}", report.layers.len());
            let normalize = normalize.clone();
            Ok((Quantized { graph, report, normalize, digest }, line, stored.is_some()))
        })
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

    /// Stage `pack`: writes a model file for every plan, with the certificate of its outputs for the test images.
    ///
    /// # Errors
    /// If a layer's integers leave the contract's range, or a file does not fit its target's flash.
    pub fn pack(&self, images: &Images, quantized: &Quantized, plans: &[Planned]) -> Result<Vec<Packed>, BuildError> {
        self.stage(Stage::Pack, "writing", || {
            let Some(first) = plans.first() else { return Err(BuildError::text("there is no plan to pack")) };
            let mut info = self.info(images, quantized);
            let (mut all, mut reused): (Vec<Packed>, bool) = (Vec::new(), true);
            for planned in plans {
                if all.iter().all(|packed| packed.file != planned.file) {
                    let key = Key::new("pack", REVISION)
                        .with("int8", quantized.digest)
                        .settings("plan", &planned.plan)
                        .settings("info", &(&info.labels, &info.metadata))
                        .settings("images", &images.test.hash());
                    let stored = self.store.current(&planned.file, &key);
                    let (bytes, digest) = match stored {
                        Some(digest) => (AlignedBytes::copy_of(&self.store.read(&planned.file)?), digest),
                        None => {
                            if info.certificate == Certificate::default() {
                                info.certificate = self.certificate(images, quantized, &first.plan, &info)?;
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
    pub(super) fn info(&self, images: &Images, quantized: &Quantized) -> PackInfo {
        let metadata = json!({
            "name": self.recipe.name,
            "network": quantized.graph.name,
            "limbeck": env!("CARGO_PKG_VERSION"),
            "about": self.recipe.about,
        });
        let labels = images.train.classes.clone();
        PackInfo { labels, metadata, pixels: Some(quantized.normalize.clone()), ..PackInfo::default() }
    }

    /// What the model gives for the test images.
    fn certificate(
        &self,
        images: &Images,
        quantized: &Quantized,
        plan: &Plan,
        info: &PackInfo,
    ) -> Result<Certificate, BuildError> {
        let (path, kernels) = (Path::new(&self.recipe.name), host::best());
        let bytes = host::in_layout_of(path, pack(&quantized.graph, plan, info)?, kernels)?;
        let model = host::parse(path, &bytes)?;
        let count = images.test.len();
        let outputs = host::outputs(&model, kernels, &images.test, self.watch, (0, count as u64))?;
        Ok(Certificate { digest: exact::digest(&outputs), items: count as u32 })
    }
}

/// The names of a plan's ops, in their order.
pub(super) fn names(graph: &QuantGraph, plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| graph.nodes[step.node].name.clone()).collect()
}

/// Training images to calibrate on, taken evenly.
fn samples(data: &Dataset, normalize: &Normalize, settings: &QuantSettings) -> Result<Samples, BuildError> {
    let count = settings.samples.clamp(1, data.len().max(1));
    let picked: Vec<usize> = (0..count).map(|i| i * data.len() / count).collect();
    Ok(Samples::of_images(&data.subset(&picked), normalize)?)
}

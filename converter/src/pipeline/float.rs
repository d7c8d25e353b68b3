//! The stages in float: teachers are loaded or trained, asked, and learned from.

use super::{Build, BuildError, Images};
use crate::artifact::{Digest, Key};
use crate::data::{Dataset, Normalize, split};
use crate::distill::{self, Labels};
use crate::families;
use crate::graph::Graph;
use crate::recipe;
use crate::teacher::{Teacher, TeacherError, safetensors};
use crate::train::{self, Control, Epoch, Loss, TrainSettings, Trained};
use crate::verify::record::Training;
use crate::watch::Stage;
use std::path::Path;

/// Raised when the code of a training changes what it makes.
const REVISION: u32 = 1;

/// The teachers of a recipe.
#[derive(Clone, Debug)]
pub struct Teachers {
    /// Themselves; there may be none.
    pub all: Vec<Teacher>,
    /// How those that were trained here were trained.
    pub trainings: Vec<Training>,
}

impl Teachers {
    /// Their names, as one.
    pub fn name(&self) -> String {
        self.all.iter().map(|teacher| teacher.graph.name.as_str()).collect::<Vec<_>>().join(" + ")
    }
}

/// The float network that is to become int8.
#[derive(Clone, Debug)]
pub struct Student {
    /// Itself, and how pixels become its input.
    pub network: Teacher,
    /// How it was trained; absent where a teacher is quantized as it is.
    pub training: Option<Training>,
    /// Of its weights.
    pub digest: Digest,
}

impl Build<'_> {
    /// Stage `teacher`: loads the teachers, and trains those that have no weights yet.
    ///
    /// # Errors
    /// If weights do not fit, a training fails or is interrupted, or the student will not fit a target.
    pub fn teachers(&self, images: &Images) -> Result<Teachers, BuildError> {
        self.stage(Stage::Teacher, "loading", || {
            self.foresee(images).map_err(|error| error.at(Stage::Plan))?;
            let task = images.task();
            let mut teachers = Teachers { all: Vec::new(), trainings: Vec::new() };
            let mut reused = true;
            for (number, recipe) in self.recipe.teacher.iter().enumerate() {
                let normalize = normalize(recipe);
                let (teacher, training) = match (&recipe.weights, &recipe.train, &recipe.network) {
                    (Some(path), ..) if recipe::is_onnx(path) => (import(path, normalize)?, None),
                    (Some(path), _, name) => {
                        let name = name.as_deref().map_or_else(|| safetensors::identify(&task, path), Ok)?;
                        (Teacher::from_weights(name, &task, path, normalize)?, None)
                    }
                    (None, Some(settings), Some(name)) => {
                        let artifact = format!("teacher{}", number + 1);
                        let network = Network { artifact, name, normalize, settings };
                        let (student, old) = self.learn(&network, images, None)?;
                        reused &= old;
                        (student.network, student.training)
                    }
                    _ => return Err(BuildError::text("a teacher needs weights, or a network and a training")),
                };
                let of_file = |error: TeacherError| match &recipe.weights {
                    Some(path) => BuildError::text(format!("{}: {error}", path.display())),
                    None => error.into(),
                };
                teachers.all.push(teacher.check(&task).map_err(of_file)?);
                teachers.trainings.extend(training);
            }
            let line = match &teachers.all[..] {
                [] => "none: the student learns from the labels alone".to_owned(),
                _ => teachers.name(),
            };
            let reused = reused && !teachers.trainings.is_empty();
            Ok((teachers, line, reused))
        })
    }

    /// Stage `label`: asks the teachers about every view of every image that the student will see. Without a student or
    /// without teachers there is nothing to ask.
    ///
    /// # Errors
    /// If a teacher cannot be executed, or the work is interrupted.
    pub fn label(&self, images: &Images, teachers: &Teachers) -> Result<Option<Labels>, BuildError> {
        let Some(student) = self.recipe.student.as_ref().filter(|_| !teachers.all.is_empty()) else {
            return Ok(None);
        };
        self.stage(Stage::Label, "asking the teachers", || {
            let (augment, settings) = (&student.train.augment, &self.recipe.label);
            let mut key = Key::new("label", 1).settings("label", settings).settings("augment", augment);
            for hash in teachers.all.iter().map(Teacher::hash).chain([images.train.hash()]) {
                key = key.settings("of", &hash);
            }
            // The answers to each question have a folder of their own, whose files are whole or not there.
            let folder = self.store.path(&format!("labels-{}", key.digest().short()));
            let files = || std::fs::read_dir(&folder).map_or(0, Iterator::count);
            let before = files();
            let labels = distill::label(&teachers.all, &images.train, augment, settings, &folder, &self.control(None))?;
            let line = format!("{} answers, for {} views of each image", labels.views * labels.images, labels.views);
            Ok((Some(labels), line, files() == before))
        })
    }

    /// Stage `distill`: trains the student, from the teachers' answers where there are some.
    ///
    /// # Errors
    /// If the training fails or is interrupted.
    pub fn distill(
        &self,
        images: &Images,
        teachers: &Teachers,
        labels: Option<&Labels>,
    ) -> Result<Student, BuildError> {
        self.stage(Stage::Distill, "training", || {
            let Some(recipe) = &self.recipe.student else {
                let [teacher] = &teachers.all[..] else {
                    return Err(BuildError::text("without `[student]`, exactly one teacher is needed"));
                };
                let digest = Digest::of(teacher.hash().as_bytes());
                let student = Student { network: teacher.clone(), training: None, digest };
                return Ok((student, format!("{} itself", teacher.graph.name), true));
            };
            let network = Network {
                artifact: "student".to_owned(),
                name: &recipe.network,
                normalize: Normalize::student(),
                settings: &recipe.train,
            };
            let (student, reused) = self.learn(&network, images, labels)?;
            let parameters = student.network.graph.param_count();
            let line = format!("{}, {parameters} parameters{}", recipe.network, ending(&student));
            Ok((student, line, reused))
        })
    }

    /// Trains a network, or takes it from the store; says which.
    fn learn(
        &self,
        network: &Network<'_>,
        images: &Images,
        labels: Option<&Labels>,
    ) -> Result<(Student, bool), BuildError> {
        let mut key = Key::new("train", REVISION)
            .settings("network", &network.name)
            .settings("settings", network.settings)
            .settings("normalize", &format!("{:?}", network.normalize))
            .settings("images", &images.train.hash());
        if let Some(labels) = labels {
            key = key.settings("distill", &self.recipe.distill).settings("labels", &(&labels.of, labels.views));
        }
        let (weights, history) = (format!("{}.safetensors", network.artifact), format!("{}.json", network.artifact));
        let mut graph = families::build(network.name, &images.task(), network.settings.seed)?;
        let normalize = network.normalize.clone();
        if let (Some(digest), Some(_)) = (self.store.current(&weights, &key), self.store.current(&history, &key)) {
            safetensors::fill(&mut graph, &self.store.path(&weights))?;
            let training = serde_json::from_slice(&self.store.read(&history)?)?;
            return Ok((Student { network: Teacher { graph, normalize }, training: Some(training), digest }, true));
        }
        let checkpoint = format!("{}-{}.checkpoint", network.artifact, key.digest().short());
        let control = self.control(Some(&checkpoint));
        let (data, settings) = (&images.train, network.settings);
        let Trained { graph, history: epochs } = match labels {
            Some(labels) => distill::distill(&graph, data, labels, settings, &self.recipe.distill, &control)?,
            None => alone(&graph, data, &normalize, settings, &control)?,
        };
        let training = training(network.name, &epochs);
        self.store.write(&history, &key, &serde_json::to_vec_pretty(&training)?)?;
        let digest = self.store.write(&weights, &key, &safetensors::to_bytes(&graph))?;
        // The result is stored, so the way to it is of no more use; should it stay, it costs only space.
        let _ = std::fs::remove_file(self.store.path(&checkpoint));
        Ok((Student { network: Teacher { graph, normalize }, training: Some(training), digest }, false))
    }
}

/// What is to be trained.
struct Network<'a> {
    /// Begins the names of its files.
    artifact: String,
    name: &'a str,
    normalize: Normalize,
    settings: &'a TrainSettings,
}

/// Trains a network on the labels alone.
fn alone(
    graph: &Graph,
    data: &Dataset,
    normalize: &Normalize,
    settings: &TrainSettings,
    control: &Control<'_>,
) -> Result<Trained, BuildError> {
    let parts = split(data, settings.hold_out, settings.seed)?;
    let examples = train::Images::new(data, &parts.train, normalize, settings.augment, settings.seed);
    let valid = train::Images::plain(data, &parts.valid, normalize);
    let loss = Loss { smoothing: settings.label_smoothing, ..Loss::default() };
    let valid = (!parts.valid.is_empty()).then_some(&valid as &dyn train::Examples);
    Ok(train::fit(graph, &examples, valid, &loss, settings, control)?)
}

fn training(name: &str, epochs: &[Epoch]) -> Training {
    Training {
        name: name.to_owned(),
        loss: epochs.iter().map(|epoch| epoch.loss).collect(),
        accuracy: epochs.iter().map(|epoch| epoch.accuracy).collect(),
        held_out: epochs.iter().map(|epoch| epoch.valid_accuracy).collect(),
    }
}

/// How the last epoch went, for a line on the stage.
fn ending(student: &Student) -> String {
    let training = student.training.as_ref();
    let held_out = training.and_then(|training| *training.held_out.last()?);
    held_out.map_or_else(String::new, |share| format!(", {:.2} % of held-out images right", 100.0 * share))
}

/// A teacher's own normalization. By default it is that of most public networks; one trained here sees what students see.
fn normalize(teacher: &recipe::Teacher) -> Normalize {
    match (teacher.mean, teacher.std) {
        (None, None) if teacher.train.is_some() => Normalize::student(),
        (None, None) => Normalize::imagenet(),
        (mean, std) => Normalize::of_unit(mean.unwrap_or([0.0; 3]).to_vec(), std.unwrap_or([1.0; 3]).to_vec()),
    }
}

#[cfg(feature = "onnx")]
fn import(path: &Path, normalize: Normalize) -> Result<Teacher, BuildError> {
    let graph = crate::teacher::onnx::import(path).map_err(|e| BuildError::Plain(e.into()))?;
    Ok(Teacher { graph, normalize })
}

#[cfg(not(feature = "onnx"))]
fn import(path: &Path, _: Normalize) -> Result<Teacher, BuildError> {
    let problem =
        "is an ONNX file, but this program was built without the feature `onnx`: build it with `--features onnx`";
    Err(BuildError::text(format!("{} {problem}", path.display())))
}

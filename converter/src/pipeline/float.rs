//! The stages in float: teachers are loaded or trained, asked, and learned from.

use super::encoders::Encoder;
use super::label::{Answers, Views};
use super::{Build, BuildError, Data};
use crate::artifact::{Digest, Key};
use crate::data::text::Tokenized;
use crate::data::{DataError, Dataset, Kind, Normalize, Reader, Set, split};
use crate::distill::{self, Beside, Taught};
use crate::families::{self, Task};
use crate::graph::Graph;
use crate::recipe;
use crate::teacher::{Teacher, TeacherError, safetensors};
use crate::train::{self, Control, Epoch, Loss, TrainSettings, Trained};
use crate::verify::record::Training;
use crate::watch::Stage;
use std::path::Path;

/// Raised when the code of a training changes what it makes.
pub(super) const REVISION: u32 = 1;

/// The teachers of a recipe.
#[derive(Clone, Debug)]
pub struct Teachers {
    /// Themselves; there may be none.
    pub all: Vec<Teacher>,
    /// What tuned ones were before, each with a few words.
    pub before: Vec<(String, Teacher)>,
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
    /// Itself, and how examples become its input.
    pub network: Teacher,
    /// How it was trained; absent where a teacher is quantized as it is.
    pub training: Option<Training>,
    /// Of its weights.
    pub digest: Digest,
}

impl Build<'_> {
    /// Stage `teacher`: loads the teachers, and trains those that have no weights yet or are to be fine-tuned.
    ///
    /// # Errors
    /// If weights do not fit, a training fails or is interrupted, or the student will not fit a target.
    pub fn teachers(&self, data: &Data) -> Result<Teachers, BuildError> {
        self.stage(Stage::Teacher, "loading", || {
            self.foresee(data).map_err(|error| error.at(Stage::Plan))?;
            let mut teachers = Teachers { all: Vec::new(), before: Vec::new(), trainings: Vec::new() };
            let mut reused = true;
            for (number, (recipe, reader)) in self.recipe.teacher.iter().zip(&data.teachers).enumerate() {
                let task = reader.task(&data.train)?;
                let (teacher, training) = match (&recipe.train, &recipe.weights, reader.kind()) {
                    (None, ..) => {
                        let teacher = self.loaded(recipe, reader, &task, data)?;
                        if number == 0 {
                            self.suits(&teacher.graph, data)?;
                        }
                        (teacher, None)
                    }
                    (Some(settings), Some(weights), Kind::Images) => {
                        let made = self.transferred(number + 1, (recipe, weights, settings), reader, data)?;
                        reused &= made.reused;
                        teachers.before.extend(made.before);
                        teachers.trainings.extend(made.trainings);
                        (made.teacher, None)
                    }
                    (Some(settings), ..) => {
                        let (graph, begins) = beginner(recipe, &task, data, settings.seed)?;
                        if number == 0 {
                            self.suits(&graph, data)?;
                        }
                        let artifact = format!("teacher{}", number + 1);
                        let views = Views::plain(&data.train);
                        let network = Network { artifact, graph, begins, reader, views, settings };
                        let (student, old) = self.learn(network, Lessons::default())?;
                        reused &= old;
                        (student.network, student.training)
                    }
                };
                let of_file = |error: TeacherError| match &recipe.weights {
                    Some(path) => BuildError::text(format!("{}: {error}", path.display())),
                    None => error.into(),
                };
                // A file may say in which size it sees images.
                let task = teacher.reader.task(&data.train)?;
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

    /// A teacher that brings its weights.
    fn loaded(
        &self,
        recipe: &recipe::Teacher,
        reader: &Reader,
        task: &Task,
        data: &Data,
    ) -> Result<Teacher, BuildError> {
        let path =
            recipe.weights.as_deref().ok_or_else(|| BuildError::text("a teacher needs weights or a training"))?;
        match reader {
            Reader::Pixels { .. } if recipe::is_onnx(path) => onnx(path, reader, &data.train),
            Reader::Pixels { normalize, .. } => {
                let name = recipe.network.as_deref().map_or_else(|| safetensors::identify(task, path), Ok)?;
                let teacher = Teacher::from_weights(name, task, path, normalize.clone())?;
                Ok(Teacher { reader: reader.clone(), ..teacher })
            }
            Reader::Text { .. } => {
                let encoder = Encoder { weights: path, task, classes: data.train.classes() };
                Ok(Teacher { graph: encoder.classifier()?, reader: reader.clone() })
            }
        }
    }

    /// Stage `distill`: trains the student, from the teachers' answers where there are some, and from where `pretrained` has
    /// brought it.
    ///
    /// # Errors
    /// If the training fails or is interrupted.
    pub fn distill(
        &self,
        data: &Data,
        teachers: &Teachers,
        answers: Option<&Answers>,
        pretrained: Option<&Student>,
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
            let (graph, begins, begun) = match pretrained {
                Some(Student { network, .. }) => (network.graph.clone(), Begins::Given, String::new()),
                None => self.beginning(recipe, data, teachers)?,
            };
            let network = Network {
                artifact: "student".to_owned(),
                graph,
                begins,
                reader: &data.student,
                views: Views::of_student(&data.train, recipe, &self.recipe.label),
                settings: &recipe.train,
            };
            let words = data.first_words();
            let beside = teachers.beside(&self.recipe.distill, words.as_deref());
            let (student, reused) = self.learn(network, Lessons { answers, beside })?;
            let parameters = student.network.graph.param_count();
            let ending = ending(&student, data);
            let line = format!("{}, {parameters} parameters{begun}{ending}", recipe.network);
            Ok((student, line, reused))
        })
    }

    /// Trains a network, or takes it from the store; says which.
    pub(super) fn learn(&self, network: Network<'_>, lessons: Lessons<'_>) -> Result<(Student, bool), BuildError> {
        let Network { artifact, graph, begins, reader, views, settings } = network;
        let seen = Seen::new(reader, &views)?;
        let mut key = Key::new("train", REVISION)
            .settings("network", &graph.name)
            .settings("settings", settings)
            .settings("normalize", &reader.identity()?);
        for hash in seen.hashes() {
            key = key.settings("images", &hash);
        }
        if begins == Begins::Given {
            key = key.settings("weights", &Teacher { graph: graph.clone(), reader: reader.clone() }.hash());
        }
        let Lessons { answers, beside } = lessons;
        // The answers are those of the teacher that is beside the student, too.
        if let Some(Answers { logits, vectors }) = answers {
            key = key.settings("distill", &self.recipe.distill).settings("labels", &(&logits.of, logits.views));
            if let Some(vectors) = vectors {
                key = key.settings("vectors", &vectors.of);
            }
        }
        let how = &self.recipe.distill;
        self.trained(&artifact, &key, graph, reader, |graph, control| match (&seen, answers) {
            (Seen::Images(images, ..), Some(answers)) => {
                Ok(distill::distill(graph, images, &answers.logits, settings, how, control)?)
            }
            (Seen::Images(images, normalize, size), None) => {
                alone(graph, images, (normalize, *size), settings, control)
            }
            (Seen::Texts(views), _) => {
                let logits = answers.map(|answers| &answers.logits);
                let taught = Taught { logits, vectors: answers.and_then(|answers| answers.vectors.as_ref()) };
                Ok(match beside {
                    Some(beside) => distill::teach_beside(graph, views, taught, beside, settings, how, control)?,
                    None => distill::teach_views(graph, views, taught, settings, how, control)?,
                })
            }
        })
    }

    /// A trained network: from the store, or else what `train` makes of `graph`, which goes on from where it was stopped. Says
    /// which.
    pub(super) fn trained(
        &self,
        artifact: &str,
        key: &Key,
        mut graph: Graph,
        reader: &Reader,
        train: impl FnOnce(&Graph, &Control<'_>) -> Result<Trained, BuildError>,
    ) -> Result<(Student, bool), BuildError> {
        let (weights, history) = (format!("{artifact}.safetensors"), format!("{artifact}.json"));
        let of = |graph| Teacher { graph, reader: reader.clone() };
        if let (Some(digest), Some(_)) = (self.store.current(&weights, key), self.store.current(&history, key)) {
            safetensors::fill(&mut graph, &self.store.path(&weights))?;
            let training = serde_json::from_slice(&self.store.read(&history)?)?;
            return Ok((Student { network: of(graph), training: Some(training), digest }, true));
        }
        let checkpoint = format!("{artifact}-{}.checkpoint", key.digest().short());
        let Trained { graph, history: epochs } = train(&graph, &self.control(Some(&checkpoint)))?;
        let training = training(&graph.name, &epochs);
        self.store.write(&history, key, &serde_json::to_vec_pretty(&training)?)?;
        let digest = self.store.write(&weights, key, &safetensors::to_bytes(&graph))?;
        // The result is stored, so the way to it is of no more use; should it stay, it costs only space.
        let _ = std::fs::remove_file(self.store.path(&checkpoint));
        Ok((Student { network: of(graph), training: Some(training), digest }, false))
    }
}

/// What a network learns from beside the labels.
#[derive(Clone, Copy, Default)]
pub(super) struct Lessons<'a> {
    /// What the teachers say of the examples.
    answers: Option<&'a Answers>,
    /// The teacher that reads the same texts, where the student is to be like it inside.
    beside: Option<Beside<'a>>,
}

/// What is to be trained.
pub(super) struct Network<'a> {
    /// Begins the names of its files.
    pub(super) artifact: String,
    pub(super) graph: Graph,
    pub(super) begins: Begins,
    pub(super) reader: &'a Reader,
    pub(super) views: Views<'a>,
    pub(super) settings: &'a TrainSettings,
}

/// Views of the examples as a network takes them.
enum Seen<'a> {
    /// Images, which the training itself changes and scales.
    Images(&'a Dataset, &'a Normalize, Option<[usize; 2]>),
    /// Each view of all texts.
    Texts(Vec<Tokenized>),
}

impl<'a> Seen<'a> {
    fn new(reader: &'a Reader, views: &Views<'a>) -> Result<Self, DataError> {
        match (reader, views) {
            (Reader::Pixels { normalize, size }, &Views::Images(images, _)) => {
                Ok(Seen::Images(images, normalize, *size))
            }
            (_, Views::Texts(views)) => {
                let views = views.iter().map(|texts| reader.tokens_of(texts));
                views.collect::<Result<_, _>>().map(Seen::Texts)
            }
            (Reader::Text { .. }, Views::Images(..)) => {
                Err(DataError::Kind { expected: Kind::Texts, found: Kind::Images })
            }
        }
    }

    /// Hashes of all views.
    fn hashes(&self) -> Vec<String> {
        match self {
            Seen::Images(images, ..) => vec![images.hash()],
            Seen::Texts(views) => views.iter().map(Tokenized::hash).collect(),
        }
    }
}

/// The first weights of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// Drawn from the seed of its training.
    Drawn,
    /// Those of another network.
    Given,
}

/// The network of a teacher that is to be trained, before that.
fn beginner(recipe: &recipe::Teacher, task: &Task, data: &Data, seed: u64) -> Result<(Graph, Begins), BuildError> {
    match (&recipe.weights, &recipe.network) {
        (Some(weights), _) => {
            let encoder = Encoder { weights, task, classes: data.train.classes() };
            Ok((encoder.beginner(seed)?, Begins::Given))
        }
        (None, Some(name)) => Ok((families::build(name, task, seed)?, Begins::Drawn)),
        (None, None) => Err(BuildError::text("a teacher needs weights, or a network and a training")),
    }
}

/// Trains a network for images on the labels alone.
fn alone(
    graph: &Graph,
    data: &Dataset,
    (normalize, size): (&Normalize, Option<[usize; 2]>),
    settings: &TrainSettings,
    control: &Control<'_>,
) -> Result<Trained, BuildError> {
    let parts = split(data, settings.hold_out, settings.seed)?;
    let examples = train::Images::new(data, &parts.train, normalize, settings.augment, settings.seed).sized(size);
    let valid = train::Images::plain(data, &parts.valid, normalize).sized(size);
    let loss = Loss { smoothing: settings.label_smoothing, ..Loss::default() };
    let valid = (!parts.valid.is_empty()).then_some(&valid as &dyn train::Examples);
    Ok(train::fit(graph, &examples, valid, &loss, settings, control)?)
}

pub(super) fn training(name: &str, epochs: &[Epoch]) -> Training {
    Training {
        name: name.to_owned(),
        loss: epochs.iter().map(|epoch| epoch.loss).collect(),
        accuracy: epochs.iter().map(|epoch| epoch.accuracy).collect(),
        held_out: epochs.iter().map(|epoch| epoch.valid_accuracy).collect(),
        held_out_loss: epochs.iter().map(|epoch| epoch.valid_loss).collect(),
        learning_rate: epochs.iter().map(|epoch| epoch.learning_rate).collect(),
    }
}

/// How the last epoch went, for a line on the stage.
fn ending(student: &Student, data: &Data) -> String {
    let training = student.training.as_ref();
    let held_out = training.and_then(|training| *training.held_out.last()?);
    let kind = data.train.kind();
    held_out.map_or_else(String::new, |share| format!(", {:.2} % of held-out {kind} right", 100.0 * share))
}

/// A network out of an ONNX file, which sees images in the size that the file says, unless the recipe gives one.
#[cfg(feature = "onnx")]
pub(super) fn onnx(path: &Path, reader: &Reader, set: &Set) -> Result<Teacher, BuildError> {
    let graph = crate::teacher::onnx::import(path).map_err(|e| BuildError::Plain(e.into()))?;
    let mut reader = reader.clone();
    let found = graph.inputs.first().map(|&id| graph.shape(id));
    if let (Reader::Pixels { size: size @ None, .. }, Some(&[_, height, width, _]), Set::Images(images)) =
        (&mut reader, found, set)
    {
        *size = Some([height, width]).filter(|size| *size != images.shape[..2]);
    }
    Ok(Teacher { graph, reader })
}

#[cfg(not(feature = "onnx"))]
pub(super) fn onnx(path: &Path, _: &Reader, _: &Set) -> Result<Teacher, BuildError> {
    Err(BuildError::no_onnx(path))
}

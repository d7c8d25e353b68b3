//! Teachers of texts: asked once about every text, and students that learn from the stored answers.

use super::beside::{Beside, Guide, Guided, projected};
use super::error::LabelError;
use super::labels::{Labels, Shard};
use super::settings::{DistillSettings, Precision};
use crate::artifact::{ArtifactError, Doing};
use crate::data::random::{Purpose, stream};
use crate::data::text::Tokenized;
use crate::data::{self, hex};
use crate::graph::{Graph, Op};
use crate::train::{self, Answers, Control, Examples, Loss, Target, TextExamples, TrainError, TrainSettings, Trained};
use rand::RngExt;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Texts of a file of answers: what an interruption can cost at most.
const SHARD: usize = 2000;

/// What a student learns from beside the labels, for every text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taught<'a> {
    /// The teacher's logits.
    pub logits: Option<&'a Labels>,
    /// The teacher's vectors, such as a [sentence encoder](crate::families::distilbert::Head::Embed) makes.
    pub vectors: Option<&'a Labels>,
}

/// The logits or vectors that `teacher` makes of every text, from the files in `folder` as far as they are there.
///
/// `data` are the texts as the teacher's own tokenizer cuts them, which need not be the student's.
///
/// # Errors
/// If the teacher cannot be executed or answers nonsense, a file cannot be read or written, `folder` holds answers to something
/// else, or the work is interrupted; what was stored then serves the next time.
pub fn label_texts(
    teacher: &Graph,
    data: &Tokenized,
    precision: Precision,
    folder: &Path,
    control: &Control<'_>,
) -> Result<Labels, LabelError> {
    label_views(teacher, std::slice::from_ref(data), precision, folder, control)
}

/// As [`label_texts`], for several [views](crate::data::text::TextAugment::views) of each text. More views later only add files.
///
/// # Errors
/// As [`label_texts`], or if there is no view, or not every view has as many texts.
pub fn label_views(
    teacher: &Graph,
    views: &[Tokenized],
    precision: Precision,
    folder: &Path,
    control: &Control<'_>,
) -> Result<Labels, LabelError> {
    let (texts, classes) = (views.first().map_or(0, Tokenized::len), outputs(teacher).unwrap_or(0));
    if classes == 0 {
        return Err(LabelError::Settings("the teacher makes nothing of a text"));
    }
    if views.is_empty() || views.iter().any(|view| view.len() != texts) {
        return Err(LabelError::Settings("at least one view is needed, and all views of as many texts"));
    }
    std::fs::create_dir_all(folder).map_err(|e| ArtifactError::new(folder, Doing::Write, e))?;
    let total = views.len() * texts;
    let mut logits = Vec::with_capacity(total * classes);
    let mut hashes = Vec::new();
    for (view, data) in views.iter().enumerate() {
        let of = hash(teacher, data, precision);
        for first in (0..texts).step_by(SHARD) {
            let count = SHARD.min(texts - first);
            let shard = Shard { folder, of: &of, view, first, count, classes, precision };
            let done = view * texts + first;
            let rows = match shard.read()? {
                Some(rows) => rows,
                None => {
                    let indices: Vec<usize> = (first..first + count).collect();
                    let examples = TextExamples::new(data, &indices, Answers::default());
                    let mut rows = Vec::with_capacity(count * classes);
                    train::for_batches(teacher, &examples, control.threads, |answers, _| {
                        rows.extend_from_slice(answers);
                        control.watch.step((done + rows.len() / classes) as u64, total as u64, "texts");
                        !control.watch.stopped()
                    })?;
                    if rows.len() < count * classes {
                        return Err(LabelError::Interrupted { done, total });
                    }
                    shard.write(&rows)?
                }
            };
            logits.extend(rows);
        }
        hashes.push(of);
    }
    let of = match &hashes[..] {
        [of] => of.clone(),
        several => hex(&Sha256::digest(several.concat())),
    };
    Ok(Labels { of, views: views.len(), images: texts, classes, logits })
}

/// Trains `student` on texts as its own tokenizer cuts them, and on the teacher's answers to them if there are some.
///
/// The vector that stands for a text in the student is compared with the teacher's behind a linear layer of its own, which is
/// trained with it and is not in the result. With `settings.hold_out` texts held out, it learns from the others and is watched on those.
///
/// # Errors
/// If no texts can be held out, or the training fails or is interrupted.
pub fn teach_texts(
    student: &Graph,
    data: &Tokenized,
    taught: Taught<'_>,
    settings: &TrainSettings,
    how: &DistillSettings,
    control: &Control<'_>,
) -> Result<Trained, TrainError> {
    teach(student, std::slice::from_ref(data), taught, None, (settings, how), control)
}

/// As [`teach_texts`], with several [views](crate::data::text::TextAugment::views) of each text: each epoch sees one of them, drawn
/// at random, with the teacher's answer to just this one. The student is watched on the first.
///
/// # Errors
/// As [`teach_texts`], or if there is no view, or the views are not of the same texts.
pub fn teach_views(
    student: &Graph,
    views: &[Tokenized],
    taught: Taught<'_>,
    settings: &TrainSettings,
    how: &DistillSettings,
    control: &Control<'_>,
) -> Result<Trained, TrainError> {
    teach(student, views, taught, None, (settings, how), control)
}

/// As [`teach_views`], with a teacher `beside` the student that reads what it reads: the student is drawn to what that one makes of
/// each token and to where it attends, as far as `how` asks for it.
///
/// # Errors
/// As [`teach_views`], or if the two cannot read the same tokens or have no layers that can be compared.
pub fn teach_beside(
    student: &Graph,
    views: &[Tokenized],
    taught: Taught<'_>,
    beside: Beside<'_>,
    settings: &TrainSettings,
    how: &DistillSettings,
    control: &Control<'_>,
) -> Result<Trained, TrainError> {
    teach(student, views, taught, Some(beside), (settings, how), control)
}

fn teach(
    student: &Graph,
    views: &[Tokenized],
    taught: Taught<'_>,
    beside: Option<Beside<'_>>,
    (settings, how): (&TrainSettings, &DistillSettings),
    control: &Control<'_>,
) -> Result<Trained, TrainError> {
    let answered = taught.logits.or(taught.vectors).is_some();
    if let Some(problem) = how.problem().filter(|_| answered || beside.is_some()) {
        return Err(TrainError::Settings(problem));
    }
    let data = views.first().ok_or(TrainError::NoExamples)?;
    if views.iter().any(|view| view.labels != data.labels) {
        return Err(TrainError::Settings("all views must be of the same texts".to_owned()));
    }
    let (texts, classes) = (data.len(), data.classes.len());
    let misfit =
        |labels: &Labels, width: usize| (labels.images, labels.classes, labels.views) != (texts, width, views.len());
    let misfits = taught.logits.is_some_and(|labels| misfit(labels, classes))
        || taught.vectors.is_some_and(|labels| misfit(labels, labels.classes));
    if misfits || outputs(student) != Some(classes) {
        return Err(TrainError::Settings(format!(
            "the teacher's outputs or `{}` are not for {} views of {texts} texts and {classes} classes",
            student.name,
            views.len()
        )));
    }
    let split = data::split_labels(&data.labels, classes, settings.hold_out, settings.seed)?;
    let vectors = taught.vectors.zip(how.vectors());
    let answers = |view| Answers {
        logits: taught.logits.map(|labels| labels.view(view)),
        vectors: vectors.map(|(labels, _)| labels.view(view)),
    };
    let views = views.iter().enumerate().map(|(view, data)| TextExamples::new(data, &split.train, answers(view)));
    let examples = Views { views: views.collect(), seed: settings.seed };
    let valid = TextExamples::new(data, &split.valid, Answers::default());
    let loss = Loss {
        smoothing: settings.label_smoothing,
        distill: taught.logits.map(|_| how.loss()),
        hidden: vectors.map(|(_, hidden)| hidden),
    };
    let valid = (!split.valid.is_empty()).then_some(&valid as _);
    let mut graph = match vectors {
        Some((labels, _)) => with_vector(student, labels.classes, settings.seed)?,
        None => student.clone(),
    };
    let guide = match beside {
        Some(beside) => Guide::new(&mut graph, beside, how, settings.seed, control.threads)?,
        None => None,
    };
    let mut trained = match guide {
        Some(guide) => train::fit_to(&graph, &examples, valid, &mut Guided { loss, guide }, settings, control)?,
        None => train::fit(&graph, &examples, valid, &loss, settings, control)?,
    };
    trained.graph.outputs.truncate(1);
    trained.graph.remove_dead();
    Ok(trained)
}

/// Texts of which each epoch sees one view.
struct Views<'a> {
    views: Vec<TextExamples<'a>>,
    seed: u64,
}

impl Examples for Views<'_> {
    fn len(&self) -> usize {
        self.views.first().map_or(0, Examples::len)
    }

    fn draw(&self, epoch: usize, index: usize, input: &mut [f32]) -> Target<'_> {
        let mut rng = stream(self.seed, Purpose::View, epoch as u64, index as u64);
        self.views[rng.random_range(0..self.views.len() as u64) as usize].draw(epoch, index, input)
    }

    fn hash(&self) -> String {
        let hashes: String = self.views.iter().map(Examples::hash).collect();
        hex(&Sha256::digest(format!("{hashes} {}", self.seed)))
    }
}

/// The student with a second output: the vector that stands for the text, made as wide as the teacher's.
fn with_vector(student: &Graph, width: usize, seed: u64) -> Result<Graph, TrainError> {
    let mut graph = student.clone();
    let pooled = graph.nodes.iter().rev().find(|node| matches!(node.op, Op::Pick(_))).map(|node| node.output);
    let Some(pooled) = pooled else {
        let problem = format!("`{}` has no vector that stands for a text; leave `hidden` at 0", student.name);
        return Err(TrainError::Settings(problem));
    };
    let vector = projected(&mut graph, pooled, width, "projection", seed)?;
    graph.outputs.push(vector);
    Ok(graph)
}

/// Logits of a text.
fn outputs(graph: &Graph) -> Option<usize> {
    graph.outputs.first().and_then(|&id| graph.shape(id).get(1)).copied()
}

/// Everything that the answers depend on.
fn hash(teacher: &Graph, data: &Tokenized, precision: Precision) -> String {
    let mut hasher = Sha256::new();
    hasher.update(format!("{teacher} {precision:?} {}", data.hash()));
    for (_, tensor) in teacher.params() {
        tensor.data().iter().for_each(|value| hasher.update(value.to_le_bytes()));
    }
    hex(&hasher.finalize())
}

#[cfg(test)]
pub(super) mod tests;

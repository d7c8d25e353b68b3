//! The stage between teachers and student: what the teachers say of all that the student will see.

use super::{Build, BuildError, Data, Teachers};
use crate::artifact::Key;
use crate::data::text::{Texts, Tokenized};
use crate::data::{Augment, Dataset, Kind, Set};
use crate::distill::{self, LabelError, LabelSettings, Labels};
use crate::graph::Op;
use crate::recipe;
use crate::teacher::Teacher;
use crate::watch::Stage;
use std::borrow::Cow;
use std::path::Path;

/// What the teachers say of the examples to learn from.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Their logits, as one teacher's.
    pub logits: Labels,
    /// The first teacher's vectors for the texts, where the recipe weighs them.
    pub vectors: Option<Labels>,
}

/// What a network sees of the examples while it learns.
#[derive(Clone, Debug)]
pub(super) enum Views<'a> {
    /// Images, changed in as many ways as are asked for.
    Images(&'a Dataset, Augment),
    /// Each view of all texts; the first has the texts themselves.
    Texts(Cow<'a, [Texts]>),
}

impl<'a> Views<'a> {
    /// The examples as they are.
    pub(super) fn plain(set: &'a Set) -> Self {
        match set {
            Set::Images(images) => Views::Images(images, Augment::NONE),
            Set::Texts(texts) => Views::Texts(Cow::Borrowed(std::slice::from_ref(texts))),
        }
    }

    /// The examples as the student sees them.
    pub(super) fn of_student(set: &'a Set, student: &recipe::Student, label: &LabelSettings) -> Self {
        match set {
            Set::Images(images) => Views::Images(images, student.train.augment),
            Set::Texts(texts) => {
                let augment = student.augment.unwrap_or_default();
                Views::Texts(augment.views(texts, label.views, student.train.seed).into())
            }
        }
    }
}

impl Build<'_> {
    /// Stage `label`: asks the teachers about every view of every example that the student will see. Without a student or
    /// without teachers there is nothing to ask.
    ///
    /// # Errors
    /// If a teacher cannot be executed, or the work is interrupted.
    pub fn label(&self, data: &Data, teachers: &Teachers) -> Result<Option<Answers>, BuildError> {
        let Some(student) = self.recipe.student.as_ref().filter(|_| !teachers.all.is_empty()) else {
            return Ok(None);
        };
        self.stage(Stage::Label, "asking the teachers", || {
            let views = Views::of_student(&data.train, student, &self.recipe.label);
            let (logits, mut reused) = self.ask("labels", &teachers.all, &views, &self.recipe.label)?;
            let mut vectors = None;
            if self.recipe.distill.hidden > 0.0 {
                let teacher = teachers.all.first().map(vector_of).transpose()?;
                let (found, old) = self.ask("vectors", teacher.as_slice(), &views, &self.recipe.label)?;
                (vectors, reused) = (Some(found), reused && old);
            }
            let (views, answers) = (logits.views, logits.views * logits.images);
            let example = if data.train.kind() == Kind::Images { "image" } else { "text" };
            let line = match views {
                1 => format!("{answers} answers"),
                _ => format!("{answers} answers, for {views} views of each {example}"),
            };
            Ok((Some(Answers { logits, vectors }), line, reused))
        })
    }

    /// What teachers together say of the examples, from the work folder as far as it is there; and whether all was.
    pub(super) fn ask(
        &self,
        prefix: &str,
        teachers: &[Teacher],
        views: &Views<'_>,
        settings: &LabelSettings,
    ) -> Result<(Labels, bool), BuildError> {
        let mut reused = true;
        // The answers to each question have a folder of their own, whose files are whole or not there.
        let mut kept = |key: Key, ask: &dyn Fn(&Path) -> Result<Labels, LabelError>| {
            let folder = self.store.path(&format!("{prefix}-{}", key.digest().short()));
            let files = || std::fs::read_dir(&folder).map_or(0, Iterator::count);
            let before = files();
            let labels = ask(&folder);
            reused &= files() == before;
            labels
        };
        let control = self.control(None);
        let labels = match views {
            Views::Images(images, augment) => {
                let mut key = Key::new("label", 1).settings("label", settings).settings("augment", augment);
                for hash in teachers.iter().map(Teacher::hash).chain([images.hash()]) {
                    key = key.settings("of", &hash);
                }
                kept(key, &|folder| distill::label(teachers, images, augment, settings, folder, &control))?
            }
            Views::Texts(views) => {
                let precision = settings.precision;
                let mut all = Vec::new();
                for teacher in teachers {
                    let views = views.iter().map(|texts| teacher.reader.tokens_of(texts));
                    let views: Vec<Tokenized> = views.collect::<Result<_, _>>()?;
                    let mut key = Key::new("label texts", 1).settings("precision", &precision);
                    // What two views are, all are: more of them add to the same folder.
                    for hash in [teacher.hash()].into_iter().chain(views.iter().take(2).map(Tokenized::hash)) {
                        key = key.settings("of", &hash);
                    }
                    let ask = |folder: &Path| distill::label_views(&teacher.graph, &views, precision, folder, &control);
                    all.push(kept(key, &ask)?);
                }
                Labels::together(&all, settings.ensemble)
                    .ok_or_else(|| BuildError::text("the teachers' answers do not fit together"))?
            }
        };
        Ok((labels, reused))
    }
}

/// A teacher that gives the vector that stands for a text instead of the logits.
fn vector_of(teacher: &Teacher) -> Result<Teacher, BuildError> {
    let mut graph = teacher.graph.clone();
    let pooled = graph.nodes.iter().rev().find(|node| matches!(node.op, Op::Pick(_))).map(|node| node.output);
    let Some(pooled) = pooled else {
        let problem = format!("`{}` has no vector that stands for a text; leave `distill.hidden` at 0", graph.name);
        return Err(BuildError::text(problem));
    };
    graph.outputs = vec![pooled];
    graph.remove_dead();
    Ok(Teacher { graph, reader: teacher.reader.clone() })
}

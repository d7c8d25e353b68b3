//! Teachers of images that begin with the weights of another task: a new head learns behind the frozen rest, which is asked once
//! about every view; then, if that is wanted, all of it learns.

use super::float::{Begins, Lessons, Network, REVISION, onnx};
use super::label::Views;
use super::{Build, BuildError, Data};
use crate::artifact::Key;
use crate::data::{Dataset, Reader, Set, split};
use crate::distill::{Ensemble, Features, LabelSettings, Precision};
use crate::families::Input;
use crate::graph::Graph;
use crate::recipe::{self, is_onnx};
use crate::teacher::Teacher;
use crate::teacher::backbone::{self, Parts};
use crate::train::{self, Examples, Loss, TrainSettings};
use crate::verify::record::Training;
use std::path::Path;

/// A teacher made of a backbone.
pub(super) struct Transferred {
    pub(super) teacher: Teacher,
    /// What it was on the way there, each with a few words.
    pub(super) before: Vec<(String, Teacher)>,
    pub(super) trainings: Vec<Training>,
    /// Whether all of it was in the store.
    pub(super) reused: bool,
}

impl Build<'_> {
    /// The teacher that a recipe makes of `weights`; `number` counts teachers from 1.
    pub(super) fn transferred(
        &self,
        number: usize,
        (recipe, weights, settings): (&recipe::Teacher, &Path, &TrainSettings),
        reader: &Reader,
        data: &Data,
    ) -> Result<Transferred, BuildError> {
        let Set::Images(images) = &data.train else {
            return Err(BuildError::text("a backbone for images cannot read texts"));
        };
        let teacher = headed(recipe, weights, reader, data, settings.seed).map_err(|error| match error {
            BuildError::Plain(source) => {
                let (file, problem) = (weights.display().to_string(), whole(&*source));
                BuildError::text(if problem.contains(&file) { problem } else { format!("{file}: {problem}") })
            }
            other => other,
        })?;
        let artifact = format!("teacher{number}");
        let views = |settings: &TrainSettings| Views::Images(images, settings.augment);
        let (mut teacher, mut trainings, mut reused) = if settings.freeze.is_body() {
            self.head(&artifact, teacher, (recipe.views, settings), images)?
        } else {
            let Teacher { graph, reader } = &teacher;
            let (graph, begins, views) = (graph.clone(), Begins::Given, views(settings));
            let network = Network { artifact: artifact.clone(), graph, begins, reader, views, settings };
            let (student, old) = self.learn(network, Lessons::default())?;
            (student.network, student.training.into_iter().collect(), old)
        };
        let mut before = Vec::new();
        if let Some(settings) = &recipe.tune {
            let Teacher { graph, reader } = &teacher;
            let (graph, begins, views) = (graph.clone(), Begins::Given, views(settings));
            let network = Network { artifact: format!("{artifact}-tuned"), graph, begins, reader, views, settings };
            let (student, old) = self.learn(network, Lessons::default())?;
            let what = if trainings.iter().any(|training| training.name.ends_with("(head)")) {
                "head only"
            } else {
                "untuned"
            };
            before.push((what.to_owned(), std::mem::replace(&mut teacher, student.network)));
            trainings
                .extend(student.training.map(|tuned| Training { name: format!("{} (tuned)", tuned.name), ..tuned }));
            reused &= old;
        }
        Ok(Transferred { teacher, before, trainings, reused })
    }

    /// Trains the head of a teacher on what the rest makes of `views` of each image, which is computed once and kept.
    fn head(
        &self,
        artifact: &str,
        teacher: Teacher,
        (views, settings): (usize, &TrainSettings),
        images: &Dataset,
    ) -> Result<(Teacher, Vec<Training>, bool), BuildError> {
        let Teacher { mut graph, reader } = teacher;
        let Parts { body, head } = backbone::split(&graph)?;
        let body = Teacher { graph: body, reader: reader.clone() };
        let asked = LabelSettings { views, precision: Precision::F32, ensemble: Ensemble::Logits };
        let seen = Views::Images(images, settings.augment);
        let (vectors, were_kept) = self.ask(&format!("{artifact}-features"), &[body], &seen, &asked)?;
        let key = Key::new("head", REVISION)
            .settings("network", &head.name)
            .settings("settings", settings)
            .settings("vectors", &(&vectors.of, vectors.views))
            .settings("weights", &Teacher { graph: head.clone(), reader: reader.clone() }.hash());
        let (trained, was_kept) = self.trained(&format!("{artifact}-head"), &key, head, &reader, |head, control| {
            let parts = split(images, settings.hold_out, settings.seed)?;
            let examples = Features::new(images, &parts.train, &vectors, settings);
            let valid = Features::plain(images, &parts.valid, &vectors);
            let valid = (!parts.valid.is_empty()).then_some(&valid as &dyn Examples);
            let loss = Loss { smoothing: settings.label_smoothing, ..Loss::default() };
            Ok(train::fit(head, &examples, valid, &loss, settings, control)?)
        })?;
        backbone::put(&mut graph, &trained.network.graph);
        Ok((Teacher { graph, reader }, trained.training.into_iter().collect(), were_kept && was_kept))
    }
}

/// A backbone with a head for the classes of the data.
fn headed(
    recipe: &recipe::Teacher,
    weights: &Path,
    reader: &Reader,
    data: &Data,
    seed: u64,
) -> Result<Teacher, BuildError> {
    let Teacher { graph, reader } = match reader.task(&data.train)?.input {
        Input::Image(_) if is_onnx(weights) => onnx(weights, reader, &data.train)?,
        Input::Image(image) => {
            let graph: Graph = backbone::load(weights, recipe.network.as_deref(), image)?;
            Teacher { graph, reader: reader.clone() }
        }
        Input::Text { .. } => return Err(BuildError::text("takes images, but the data are texts")),
    };
    let task = reader.task(&data.train)?;
    let graph = backbone::with_head(graph, task.classes, seed)?;
    Ok(Teacher { graph, reader }.check(&task)?)
}

/// An error with all its sources.
fn whole(error: &dyn std::error::Error) -> String {
    let all = std::iter::successors(Some(error), |error| error.source());
    all.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests;

//! What the types of a recipe cannot say: all that can be known to fail is told before anything is trained.

use super::text::{RecipeError, Source, nearest};
use super::{Pretrain, Qat, Recipe, Student, Teacher, When, is_onnx};
use crate::data::{Augment, Kind};
use crate::distill::DistillSettings;
use crate::families::{self, FamilyError};
use crate::train::TrainSettings;
use limbeck_targets::Target;
use std::path::Path;

/// Tensors of a model file have no more rows.
const MOST_TOKENS: usize = 65535;

/// Refuses a recipe that cannot be made.
pub(super) fn check(recipe: &Recipe, source: &Source) -> Result<(), RecipeError> {
    let wrong = |key: &[&str], problem: String| Err(source.wrong(key, problem));
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if recipe.name.is_empty() || recipe.name.starts_with('.') || !recipe.name.chars().all(plain) {
        return wrong(&["name"], format!("`{}` names files: use letters, digits, `-` and `_`", recipe.name));
    }
    let checker = Checker { source, kind: recipe.data.kind() };
    checker.data(recipe)?;
    for target in &recipe.targets {
        Target::find(target).map_err(|error| source.wrong(&["targets"], error.to_string()))?;
    }
    for (number, teacher) in recipe.teacher.iter().enumerate() {
        checker.teacher(teacher, &number.to_string())?;
    }
    if let Some(student) = &recipe.student {
        checker.student(student, !recipe.teacher.is_empty())?;
    }
    if recipe.label.views == 0 {
        return wrong(&["label", "views"], "at least one view is needed".into());
    }
    if let Some(problem) = recipe.distill.problem() {
        return wrong(&["distill"], problem);
    }
    if let Err(error) = recipe.quantize.check() {
        return wrong(&["quantize"], error.to_string());
    }
    if let Some(qat) = &recipe.qat {
        checker.qat(qat, recipe)?;
    }
    let taught = recipe.student.is_some() && !recipe.teacher.is_empty();
    if recipe.compare.from_scratch && !taught {
        let problem = "needs a student and a teacher: without a teacher every student learns from the labels alone";
        return wrong(&["compare", "from_scratch"], problem.into());
    }
    if recipe.accept.over_scratch.is_some() && !recipe.compare.from_scratch {
        return wrong(&["accept", "over_scratch"], "needs `compare.from_scratch = true`".into());
    }
    if recipe.accept.kept.is_some() && recipe.teacher.is_empty() {
        return wrong(&["accept", "kept"], "there is no teacher to compare with: add a `[[teacher]]`".into());
    }
    checker.inside("distill", &recipe.distill, !recipe.teacher.is_empty())?;
    if let Some(pretrain) = &recipe.pretrain {
        checker.pretrain(pretrain, recipe)?;
    }
    match (&recipe.student, recipe.teacher.len()) {
        (None, 0) => wrong(&["student"], "there is nothing to make: add `[student]` or a `[[teacher]]`".into()),
        (None, n) if n > 1 => wrong(&["teacher"], format!("{n} teachers cannot be quantized as one: add `[student]`")),
        _ => Ok(()),
    }
}

/// Looks at the sections of a recipe for data of one kind.
struct Checker<'a> {
    source: &'a Source,
    kind: Kind,
}

impl Checker<'_> {
    fn wrong(&self, key: &[&str], problem: impl Into<String>) -> Result<(), RecipeError> {
        Err(self.source.wrong(key, problem.into()))
    }

    /// Refuses a key that is there, but for the other kind of data.
    fn only(&self, kind: Kind, is_there: bool, key: &[&str]) -> Result<(), RecipeError> {
        match is_there && kind != self.kind {
            true => self.wrong(key, format!("is for {kind}, but the data are {}", self.kind)),
            false => Ok(()),
        }
    }

    /// Height and width of images.
    fn size(&self, size: Option<[usize; 2]>, key: &[&str]) -> Result<(), RecipeError> {
        self.only(Kind::Images, size.is_some(), key)?;
        match size.is_some_and(|size| size.contains(&0)) {
            true => self.wrong(key, "a size is at least 1"),
            false => Ok(()),
        }
    }

    fn data(&self, recipe: &Recipe) -> Result<(), RecipeError> {
        let data = &recipe.data;
        match (&data.generated, &data.path) {
            (Some(_), None) | (None, Some(_)) => {}
            (Some(_), Some(_)) => return self.wrong(&["data"], "has both `path` and `generated`: keep one"),
            (None, None) => return self.wrong(&["data"], "needs `path = \"FOLDER\"`, or `generated`"),
        }
        if data.generated.as_ref().is_some_and(|generated| generated.train.min(generated.test) < 8) {
            return self.wrong(&["data", "generated"], "each part needs 8 examples or more");
        }
        self.size(data.size, &["data", "size"])?;
        self.only(Kind::Texts, data.tokens.is_some(), &["data", "tokens"])?;
        match data.tokens {
            Some(tokens) if !(3..=MOST_TOKENS).contains(&tokens) => {
                let problem =
                    format!("is {tokens}: from 3 (a begin, an end, and a token between) to {MOST_TOKENS} can be taken");
                self.wrong(&["data", "tokens"], problem)
            }
            _ => Ok(()),
        }
    }

    fn teacher(&self, teacher: &Teacher, number: &str) -> Result<(), RecipeError> {
        if let Some(train) = &teacher.train {
            self.training(train, &["teacher", number, "train"])?;
        }
        if let Some(network) = &teacher.network {
            self.network(network, &["teacher", number, "network"])?;
        }
        self.only(Kind::Images, teacher.mean.is_some(), &["teacher", number, "mean"])?;
        self.only(Kind::Images, teacher.std.is_some(), &["teacher", number, "std"])?;
        self.size(teacher.size, &["teacher", number, "size"])?;
        if let Some(tune) = &teacher.tune {
            self.only(Kind::Images, true, &["teacher", number, "tune"])?;
            self.training(tune, &["teacher", number, "tune"])?;
        }
        if teacher.views == 0 {
            return self.wrong(&["teacher", number, "views"], "at least one view is needed");
        }
        let head_alone = teacher.train.as_ref().is_some_and(|train| train.freeze.is_body());
        let problem = match (&teacher.weights, &teacher.network, &teacher.train) {
            (None, ..) if head_alone => "has `freeze = true`, but no `weights` that are worth keeping",
            (.., None) if teacher.tune.is_some() => "has `tune` without `train`: a head must be trained first",
            (None, _, None) => "needs `weights = \"FILE\"`, or `network` and `train` to be trained here",
            (None, None, Some(_)) => "is to be trained, but has no `network`",
            (Some(_), Some(_), _) if self.kind == Kind::Texts => "brings its own network with its weights",
            (Some(path), Some(_), _) if is_onnx(path) => "is an ONNX file, which brings its own network",
            (Some(path), ..) => return self.weights(path, &["teacher", number, "weights"]),
            _ => return Ok(()),
        };
        self.wrong(&["teacher", number], format!("a teacher {problem}"))
    }

    fn weights(&self, path: &Path, key: &[&str]) -> Result<(), RecipeError> {
        match (self.kind, path.is_dir()) {
            (Kind::Texts, false) if !is_onnx(path) => self.wrong(
                key,
                "is a file; a teacher of texts is a folder with `config.json`, `model.safetensors` and a tokenizer, or an ONNX \
                 file beside a tokenizer",
            ),
            (Kind::Images, true) => self.wrong(key, "is a folder; a teacher of images is a file"),
            _ => Ok(()),
        }
    }

    fn student(&self, student: &Student, is_taught: bool) -> Result<(), RecipeError> {
        self.training(&student.train, &["student", "train"])?;
        self.network(&student.network, &["student", "network"])?;
        self.size(student.size, &["student", "size"])?;
        self.only(Kind::Texts, student.inherit, &["student", "inherit"])?;
        self.only(Kind::Texts, student.vocabulary.is_some(), &["student", "vocabulary"])?;
        self.only(Kind::Texts, student.augment.is_some(), &["student", "augment"])?;
        if let Some(problem) = student.augment.and_then(|augment| augment.problem()) {
            return self.wrong(&["student", "augment"], problem);
        }
        if student.inherit && !is_taught {
            return self.wrong(&["student", "inherit"], "there is no teacher to inherit from: add a `[[teacher]]`");
        }
        Ok(())
    }

    fn pretrain(&self, pretrain: &Pretrain, recipe: &Recipe) -> Result<(), RecipeError> {
        let how = pretrain.how();
        self.only(Kind::Texts, true, &["pretrain"])?;
        if recipe.student.is_none() {
            return self.wrong(&["pretrain"], "there is no student to begin with it: add `[student]`");
        }
        if let Some(problem) = how.problem() {
            return self.wrong(&["pretrain"], problem);
        }
        self.inside("pretrain", &how, !recipe.teacher.is_empty())?;
        self.unwatched(&pretrain.train, "pretrain")?;
        match pretrain.path.as_deref().is_some_and(Path::is_dir) {
            true => self.wrong(&["pretrain", "path"], "is a folder; give a file with one text a line"),
            false => Ok(()),
        }
    }

    fn qat(&self, qat: &Qat, recipe: &Recipe) -> Result<(), RecipeError> {
        if qat.when == When::Needed && recipe.accept.int8_drop.is_none() {
            let problem = "what may be lost is not said: add `accept.int8_drop`, or `when = \"always\"`";
            return self.wrong(&["qat"], problem);
        }
        self.unwatched(&qat.train, "qat")
    }

    /// Settings of a training of which labels are no part.
    fn unwatched(&self, settings: &TrainSettings, section: &str) -> Result<(), RecipeError> {
        self.training(settings, &[section, "train"])?;
        match settings.hold_out {
            0 => Ok(()),
            _ => self.wrong(&[section, "train", "hold_out"], "is for learning from labels: leave it out here"),
        }
    }

    /// Weights of what is compared inside of the networks: that needs texts and a teacher of them.
    fn inside(&self, section: &str, how: &DistillSettings, is_taught: bool) -> Result<(), RecipeError> {
        for (key, weight) in [("hidden", how.hidden), ("states", how.states), ("attention", how.attention)] {
            self.only(Kind::Texts, weight > 0.0, &[section, key])?;
            if weight > 0.0 && !is_taught {
                return self
                    .wrong(&[section, key], "there is no teacher to be like: add a `[[teacher]]`, or leave it out");
            }
        }
        Ok(())
    }

    /// Settings that no training can begin with.
    fn training(&self, settings: &TrainSettings, key: &[&str]) -> Result<(), RecipeError> {
        if let Some(problem) = settings.problem() {
            return self.wrong(key, problem);
        }
        let mut augment = key.to_vec();
        augment.push("augment");
        self.only(Kind::Images, settings.augment != Augment::default(), &augment)
    }

    /// A network that does not exist, or takes something else.
    fn network(&self, name: &str, key: &[&str]) -> Result<(), RecipeError> {
        let problem = match families::check(name, self.kind) {
            Ok(()) => return Ok(()),
            Err(FamilyError::Unknown { known, .. }) => {
                let known: Vec<String> = known.into_iter().map(str::to_owned).collect();
                let near = nearest(name, &known);
                format!("there is no network `{name}` for {}{near}; there are: {}", self.kind, known.join(", "))
            }
            Err(error) => error.to_string(),
        };
        self.wrong(key, problem)
    }
}

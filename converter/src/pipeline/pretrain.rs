//! The student before it learns its task: its first weights, and what texts without labels teach it.

use super::float::{Begins, REVISION};
use super::{Build, BuildError, Data, Student, Teachers};
use crate::artifact::Key;
use crate::data::{Reader, Set};
use crate::distill::{self, Beside, DistillSettings};
use crate::families;
use crate::families::distilbert::inherit;
use crate::graph::Graph;
use crate::recipe;
use crate::teacher::Teacher;
use crate::watch::Stage;

impl Build<'_> {
    /// Stage `pretrain`: lets the student guess words that are hidden from it. There is no such stage without `[pretrain]`.
    ///
    /// # Errors
    /// If the vocabulary has no token that hides others, or the training fails or is interrupted.
    pub fn pretrain(&self, data: &Data, teachers: &Teachers) -> Result<Option<Student>, BuildError> {
        let (Some(student), Some(recipe)) = (&self.recipe.student, &self.recipe.pretrain) else { return Ok(None) };
        self.stage(Stage::Pretrain, "guessing hidden words", || {
            let texts = data.unlabelled.as_ref().unwrap_or(&data.train);
            let (Reader::Text { vocabulary, .. }, Set::Texts(texts)) = (&data.student, texts) else {
                return Err(BuildError::text("words can be hidden in texts only: leave `[pretrain]` out"));
            };
            let texts = data.student.tokens_of(texts)?;
            let (graph, _, inherited) = self.beginning(student, data, teachers)?;
            let how = recipe.how();
            let words = data.first_words();
            let beside = teachers.beside(&how, words.as_deref());
            let mut key = Key::new("pretrain", REVISION)
                .settings("network", &graph.name)
                .settings("settings", &recipe.train)
                .settings("reader", &data.student.identity()?)
                .settings("texts", &texts.hash())
                .settings("weights", &Teacher { graph: graph.clone(), reader: data.student.clone() }.hash());
            if let (Some(_), Some(teacher)) = (beside, teachers.all.first()) {
                key = key.settings("how", &how).settings("beside", &teacher.hash());
            }
            let (special, settings) = (vocabulary.special(), &recipe.train);
            let (mut student, reused) = self.trained("pretrained", &key, graph, &data.student, |graph, control| {
                Ok(distill::pretrain(graph, &texts, special, beside, settings, &how, control)?)
            })?;
            let graph = &student.network.graph;
            let mut line = format!("{}, from {} texts{inherited}", graph.name, texts.len());
            if texts.truncated > 0 {
                line += &format!(", {} of them cut off", texts.truncated);
            }
            if let Some(training) = &mut student.training {
                training.name += " (hidden words)";
            }
            Ok((Some(student), line, reused))
        })
    }

    /// The student with its first weights, how they came about, and a few words on that.
    pub(super) fn beginning(
        &self,
        student: &recipe::Student,
        data: &Data,
        teachers: &Teachers,
    ) -> Result<(Graph, Begins, String), BuildError> {
        let mut graph = families::build(&student.network, &data.task()?, student.train.seed)?;
        let Some(teacher) = teachers.all.first().filter(|_| student.inherit) else {
            return Ok((graph, Begins::Drawn, String::new()));
        };
        let given = inherit(&mut graph, &teacher.graph, data.words.as_deref())?;
        let inherited = match &given.layers[..] {
            [] => format!(", begun with the tables of {}", teacher.graph.name),
            layers => format!(", begun with layers {layers:?} of {}", teacher.graph.name),
        };
        Ok((graph, Begins::Given, inherited))
    }

    /// Refuses a first teacher that the student cannot be like inside, if it is to be: before anything is trained.
    pub(super) fn suits(&self, teacher: &Graph, data: &Data) -> Result<(), BuildError> {
        let Some(student) = &self.recipe.student else { return Ok(()) };
        let hows = [Some(self.recipe.distill), self.recipe.pretrain.as_ref().map(recipe::Pretrain::how)];
        for how in hows.into_iter().flatten().filter(DistillSettings::looks_inside) {
            let words = data.first_words();
            let student = families::build(&student.network, &data.task()?, 0)?;
            Beside { teacher, words: words.as_deref() }.check(&student, &how)?;
        }
        Ok(())
    }
}

impl Teachers {
    /// The first teacher beside the student, if that is asked for; `words` says which of its tokens are the student's.
    pub(super) fn beside<'a>(&'a self, how: &DistillSettings, words: Option<&'a [u16]>) -> Option<Beside<'a>> {
        let teacher = self.all.first().filter(|_| how.looks_inside())?;
        Some(Beside { teacher: &teacher.graph, words })
    }
}

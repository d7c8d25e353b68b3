//! The stage that shows what the teachers are worth: the same student once more, from the labels alone.

use super::float::{Begins, Lessons, Network};
use super::judge::FROM_SCRATCH;
use super::label::Views;
use super::{Build, BuildError, Data, Student};
use crate::families;
use crate::watch::Stage;

impl Build<'_> {
    /// Stage `compare`: trains the student with its own settings and changes of the examples, but without what teachers say. There
    /// is no such stage without `compare.from_scratch`.
    ///
    /// # Errors
    /// If the training fails or is interrupted.
    pub fn scratch(&self, data: &Data) -> Result<Option<Student>, BuildError> {
        let Some(recipe) = self.recipe.student.as_ref().filter(|_| self.recipe.compare.from_scratch) else {
            return Ok(None);
        };
        self.stage(Stage::Compare, "training without teachers", || {
            let network = Network {
                artifact: "scratch".to_owned(),
                graph: families::build(&recipe.network, &data.task()?, recipe.train.seed)?,
                begins: Begins::Drawn,
                reader: &data.student,
                views: Views::of_student(&data.train, recipe, &self.recipe.label),
                settings: &recipe.train,
            };
            let (mut student, reused) = self.learn(network, Lessons::default())?;
            if let Some(training) = &mut student.training {
                training.name = format!("{} {FROM_SCRATCH}", training.name);
            }
            let line = format!("{}, from the labels alone", recipe.network);
            Ok((Some(student), line, reused))
        })
    }
}

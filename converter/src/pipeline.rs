//! START HERE: the stages in order, each one call from the former stage's artifact to the next.

mod error;
mod float;
mod images;

pub use error::BuildError;
pub use float::{Student, Teachers};
pub use images::Images;

use crate::artifact::Store;
use crate::recipe::Recipe;
use crate::train::Control;
use crate::watch::{Stage, Watch};

/// A recipe being made: every method is a stage, and takes what the former stages gave.
pub struct Build<'a> {
    recipe: &'a Recipe,
    store: &'a Store,
    watch: &'a dyn Watch,
    threads: usize,
}

impl<'a> Build<'a> {
    /// Makes `recipe` in `store` on `threads` threads, of which no result depends.
    pub fn new(recipe: &'a Recipe, store: &'a Store, watch: &'a dyn Watch, threads: usize) -> Self {
        Build { recipe, store, watch, threads }
    }

    /// How long work is run, with its state kept under `name` if it is to survive an interruption.
    fn control(&self, checkpoint: Option<&str>) -> Control<'a> {
        let mut control = Control::new(self.threads, self.watch);
        control.checkpoint = checkpoint.map(|name| self.store.path(name));
        control
    }

    /// Says that a stage begins, runs it, and says how it went: `work` gives its result, a line on it, and whether a
    /// stored artifact was still good.
    fn stage<T>(
        &self,
        stage: Stage,
        what: &str,
        work: impl FnOnce() -> Result<(T, String, bool), BuildError>,
    ) -> Result<T, BuildError> {
        self.watch.begin(stage, what);
        if self.watch.stopped() {
            return Err(BuildError::Interrupted { stage });
        }
        let (result, line, reused) = work().map_err(|error| error.at(stage))?;
        self.watch.end(stage, &line, reused);
        Ok(result)
    }
}

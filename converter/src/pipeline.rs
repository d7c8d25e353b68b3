//! START HERE: the stages in order, each one call from the former stage's artifact to the next.

mod attempts;
#[cfg(test)]
mod attempts_tests;
mod data;
mod describe;
mod encoders;
mod error;
mod float;
mod int8;
mod judge;
mod label;
mod pretrain;
mod qat;
mod scratch;
#[cfg(test)]
mod tests;
mod times;
mod transfer;

pub use data::Data;
pub use error::BuildError;
pub use float::{Student, Teachers};
pub use int8::{Packed, Planned, Quantized};
pub use judge::Made;
pub use label::Answers;

use crate::artifact::Store;
use crate::recipe::Recipe;
use crate::train::Control;
use crate::verify::record::{Measured, Record};
use crate::watch::{Stage, Watch};
use std::cell::RefCell;
use std::time::Instant;
use times::Times;

/// A recipe being made: every method is a stage, and takes what the former stages gave.
pub struct Build<'a> {
    recipe: &'a Recipe,
    store: &'a Store,
    watch: &'a dyn Watch,
    threads: usize,
    times: RefCell<Times>,
    accept_loss: bool,
}

/// A finished build.
#[derive(Clone, Debug)]
pub struct Built {
    /// All that was found about it.
    pub record: Record,
    /// Times taken on this computer.
    pub measured: Vec<Measured>,
    /// What it was judged on.
    pub data: Data,
    /// The model files.
    pub models: Vec<Packed>,
}

impl<'a> Build<'a> {
    /// Makes `recipe` in `store` on `threads` threads, of which no result depends.
    pub fn new(recipe: &'a Recipe, store: &'a Store, watch: &'a dyn Watch, threads: usize) -> Self {
        Build { recipe, store, watch, threads, times: RefCell::new(Times::open(store)), accept_loss: false }
    }

    /// Whether results below the recipe's bars are taken as they are.
    #[must_use]
    pub fn accept_loss(self, accept_loss: bool) -> Self {
        Build { accept_loss, ..self }
    }

    /// All stages. What is stored and still good is used again.
    ///
    /// # Errors
    /// If a stage fails or is interrupted, or the result misses a bar of the recipe; everything finished is kept.
    pub fn all(&self) -> Result<Built, BuildError> {
        let data = self.data()?;
        let teachers = self.teachers(&data)?;
        let answers = self.label(&data, &teachers)?;
        let pretrained = self.pretrain(&data, &teachers)?;
        let student = self.distill(&data, &teachers, answers.as_ref(), pretrained.as_ref())?;
        let scratch = self.scratch(&data)?;
        let quantized = self.quantize(&data, &student)?;
        let quantized = self.qat(&data, &student, quantized)?;
        let plans = self.plan(&quantized)?;
        let models = self.pack(&data, &quantized, &plans)?;
        let made = Made {
            data: &data,
            teachers: &teachers,
            pretrained: pretrained.as_ref(),
            student: &student,
            scratch: scratch.as_ref(),
            quantized: &quantized,
            plans: &plans,
            models: &models,
        };
        let record = self.verify(&made)?;
        let measured = self.report(&record, &data, &models)?;
        if !self.accept_loss && record.bars.iter().any(|bar| !bar.met) {
            models.iter().try_for_each(|packed| self.store.set_aside(&packed.file))?;
            return Err(BuildError::Missed(record.bars));
        }
        Ok(Built { record, measured, data, models })
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
        let begun = Instant::now();
        let done = work();
        let time = begun.elapsed();
        if done.is_err() && self.watch.stopped() {
            self.times.borrow_mut().stopped(self.store, stage, time)?;
        }
        let (result, line, reused) = done.map_err(|error| error.at(stage))?;
        self.times.borrow_mut().finished(self.store, stage, &line, reused, time)?;
        self.watch.end(stage, &line, reused);
        Ok(result)
    }
}

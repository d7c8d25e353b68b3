//! The training loop: draws batches, takes steps, watches the loss, saves its state and goes on from it.

use super::checkpoint::{self, Snapshot};
use super::ema::Ema;
use super::error::TrainError;
use super::evaluate::evaluate;
use super::examples::{Examples, Target};
use super::exec::{Dropout, Param, Trainable};
use super::freeze::{Pace, for_losses, paces};
use super::loss::{Loss, Sums};
use super::objective::{Batch, Objective};
use super::optimizer::{Optimizer, clip};
use super::settings::TrainSettings;
use crate::data::random::Purpose;
use crate::data::{hex, shuffle};
use crate::graph::Graph;
use crate::watch::Watch;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How work is run, stopped and watched; no result depends on it.
#[derive(Clone)]
pub struct Control<'a> {
    /// Threads that share the work.
    pub threads: usize,
    /// Where the state is kept; `None` keeps none.
    pub checkpoint: Option<PathBuf>,
    /// Time between two checkpoints.
    pub every: Duration,
    /// Is told how far the work is, and stops it, with a checkpoint.
    pub watch: &'a dyn Watch,
}

impl<'a> Control<'a> {
    /// On `threads` threads, with a checkpoint every five minutes once it has a place.
    pub fn new(threads: usize, watch: &'a dyn Watch) -> Self {
        Control { threads, checkpoint: None, every: Duration::from_secs(300), watch }
    }
}

/// How an epoch went.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Epoch {
    /// Mean loss while learning.
    pub loss: f64,
    /// Share of training examples classified right while learning, as they were changed.
    pub accuracy: f64,
    /// Mean cross entropy of the held-out examples.
    pub valid_loss: Option<f64>,
    /// Share of the held-out examples classified right.
    pub valid_accuracy: Option<f64>,
    /// Learning rate of the last step.
    pub learning_rate: f64,
}

/// A trained network.
#[derive(Clone, Debug)]
pub struct Trained {
    /// With the running means of the weights, if the settings ask for them.
    pub graph: Graph,
    /// How each epoch went.
    pub history: Vec<Epoch>,
}

/// Trains `graph` on `examples`, watching `valid` after each epoch.
///
/// If `control` names a checkpoint that exists, the training goes on from it, and ends with exactly the network that an
/// uninterrupted training makes. The caller removes the checkpoint once it has stored the result.
///
/// # Errors
/// If the settings make no sense, the graph cannot be trained, the loss diverges, the checkpoint cannot be used, or the
/// training is interrupted.
pub fn fit(
    graph: &Graph,
    examples: &dyn Examples,
    valid: Option<&dyn Examples>,
    loss: &Loss,
    settings: &TrainSettings,
    control: &Control<'_>,
) -> Result<Trained, TrainError> {
    let mut loss = *loss;
    fit_to(graph, examples, valid, &mut loss, settings, control)
}

/// As [`fit`], with any objective; the first output are the logits that `valid` is judged by.
pub(crate) fn fit_to(
    graph: &Graph,
    examples: &dyn Examples,
    valid: Option<&dyn Examples>,
    objective: &mut dyn Objective,
    settings: &TrainSettings,
    control: &Control<'_>,
) -> Result<Trained, TrainError> {
    if let Some(problem) = settings.problem() {
        return Err(TrainError::Settings(problem));
    }
    if examples.is_empty() {
        return Err(TrainError::NoExamples);
    }
    let mut trainer = Trainer::new(graph, examples, objective, settings, control)?;
    trainer.resume()?;
    while trainer.epoch < settings.epochs {
        trainer.run_epoch()?;
        trainer.check_weights()?;
        let checked = match valid {
            Some(valid) => Some(evaluate(&trainer.result(), valid, control.threads)?),
            None => None,
        };
        let seen = (trainer.steps * trainer.batch) as f64;
        trainer.history.push(Epoch {
            loss: trainer.sums.loss / seen,
            accuracy: trainer.sums.correct as f64 / seen,
            valid_loss: checked.map(|v| v.loss),
            valid_accuracy: checked.map(|v| v.accuracy()),
            learning_rate: f64::from(trainer.rate(trainer.steps - 1)),
        });
        (trainer.epoch, trainer.step, trainer.sums) = (trainer.epoch + 1, 0, Sums::default());
    }
    trainer.save()?;
    Ok(Trained { graph: trainer.result(), history: trainer.history })
}

/// A training under way. All that moves is in a [`Snapshot`]; the rest follows from the arguments.
struct Trainer<'a> {
    examples: &'a dyn Examples,
    objective: &'a mut dyn Objective,
    settings: &'a TrainSettings,
    control: &'a Control<'a>,
    /// Hash of all that the training depends on.
    of: String,
    /// Values of an input.
    item: usize,
    /// Examples of a step.
    batch: usize,
    /// Steps of an epoch; what does not fill a batch is left out, another part in each epoch.
    steps: usize,
    model: Trainable,
    optimizer: Optimizer,
    /// By parameter.
    paces: Vec<Pace>,
    ema: Ema,
    epoch: usize,
    /// Steps of this epoch that are done.
    step: usize,
    sums: Sums,
    history: Vec<Epoch>,
    saved: Instant,
    has_checkpoint: bool,
    started: Instant,
    /// Steps that this run has taken, for the speed.
    taken: usize,
}

impl<'a> Trainer<'a> {
    fn new(
        graph: &Graph,
        examples: &'a dyn Examples,
        objective: &'a mut dyn Objective,
        settings: &'a TrainSettings,
        control: &'a Control<'a>,
    ) -> Result<Self, TrainError> {
        let model = Trainable::new(graph, control.threads)?;
        if settings.dropout > 0.0 && !model.can_drop() {
            let problem = format!("`dropout` is for encoders of texts; `{}` has no place for it", graph.name);
            return Err(TrainError::Settings(problem));
        }
        let batch = settings.batch.min(examples.len());
        let steps = examples.len() / batch;
        Ok(Trainer {
            paces: paces(settings, model.params(), &for_losses(graph), steps).map_err(TrainError::Settings)?,
            of: fingerprint(graph, examples, objective, settings),
            item: graph.inputs.first().map_or(0, |&id| graph.shape(id).iter().skip(1).product::<usize>().max(1)),
            batch,
            steps,
            optimizer: Optimizer::new(settings.optimizer, settings.weight_decay, model.params()),
            ema: Ema::new(settings.ema, tensors(&model)),
            model,
            examples,
            objective,
            settings,
            control,
            epoch: 0,
            step: 0,
            sums: Sums::default(),
            history: Vec::new(),
            saved: Instant::now(),
            has_checkpoint: false,
            started: Instant::now(),
            taken: 0,
        })
    }

    /// Takes the remaining steps of an epoch.
    fn run_epoch(&mut self) -> Result<(), TrainError> {
        let mut order: Vec<usize> = (0..self.examples.len()).collect();
        shuffle(&mut order, self.settings.seed, Purpose::Order, self.epoch as u64);
        let mut input = vec![0.0; self.batch * self.item];
        while self.step < self.steps {
            if self.control.watch.stopped() {
                self.save()?;
                let saved = self.control.checkpoint.clone();
                return Err(TrainError::Interrupted { epoch: self.epoch + 1, step: self.step, saved });
            }
            self.take_step(&order[self.step * self.batch..][..self.batch], &mut input)?;
            self.step += 1;
            self.taken += 1;
            if self.control.checkpoint.is_some() && self.saved.elapsed() >= self.control.every {
                self.save()?;
            }
            self.report();
        }
        Ok(())
    }

    /// Tells how far the training is and how it goes.
    fn report(&self) {
        let (done, epochs) = (self.step * self.batch, self.settings.epochs);
        let speed = (self.taken * self.batch) as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
        let mut note = format!(
            "epoch {}/{epochs}, {speed:.0}/s, loss {:.4}, accuracy {:.2} %",
            self.epoch + 1,
            self.sums.loss / done as f64,
            100.0 * self.sums.correct as f64 / done as f64
        );
        if let Some(held_out) = self.history.last().and_then(|epoch| epoch.valid_accuracy) {
            note += &format!(", held out {:.2} %", 100.0 * held_out);
        }
        let of_epoch = self.steps * self.batch;
        self.control.watch.step((self.epoch * of_epoch + done) as u64, (epochs * of_epoch) as u64, &note);
    }

    fn take_step(&mut self, indices: &[usize], input: &mut [f32]) -> Result<(), TrainError> {
        let inputs = input.chunks_exact_mut(self.item);
        let draw = |(&index, input)| self.examples.draw(self.epoch, index, input);
        let targets: Vec<Target<'_>> = indices.iter().zip(inputs).map(draw).collect();
        let step = self.epoch * self.steps + self.step;
        for (param, pace) in self.model.params_mut().iter_mut().zip(&self.paces) {
            param.trainable = pace.moves_at(step);
        }
        let TrainSettings { dropout: share, seed, .. } = *self.settings;
        self.model.set_dropout(Some(Dropout { share, seed, step: step as u64 }));
        let batch = Batch { epoch: self.epoch, indices, input, targets: &targets };
        let kept = self.objective.shown(self.model.params()).map(|shown| exchange(&mut self.model, shown));
        let objective = &mut self.objective;
        let judge = |outputs: &[Vec<f32>], grads: &mut [Vec<f32>]| objective.judge(batch, outputs, grads);
        let sums = self.model.step_all(input, indices.len(), judge)??;
        kept.map(|kept| exchange(&mut self.model, kept));
        if !sums.loss.is_finite() {
            return Err(self.diverged(sums.loss));
        }
        self.sums += sums;
        let rate = self.rate(self.step);
        let (params, threads) = self.model.params_and_threads();
        let scale = self.settings.clip_norm.map_or(1.0, |longest| clip(params, longest, threads));
        self.optimizer.update((params, threads), &self.paces, (rate, scale), step);
        self.ema.update(step, tensors(&self.model));
        Ok(())
    }

    /// The learning rate of a step of this epoch.
    fn rate(&self, step: usize) -> f32 {
        let warmup = (self.settings.warmup * self.steps as f32).round() as usize;
        let (step, steps) = (self.epoch * self.steps + step, self.settings.epochs * self.steps);
        self.settings.learning_rate * self.settings.schedule.share(step, steps, warmup) as f32
    }

    /// A step of finite loss can still overflow the weights.
    fn check_weights(&self) -> Result<(), TrainError> {
        let finite = tensors(&self.model).flatten().all(|value| value.is_finite());
        if finite { Ok(()) } else { Err(self.diverged(f64::NAN)) }
    }

    fn diverged(&self, loss: f64) -> TrainError {
        let last_good = self.control.checkpoint.clone().filter(|_| self.has_checkpoint);
        TrainError::Diverged { loss, epoch: self.epoch + 1, step: self.step + 1, last_good }
    }

    /// The network as it would be the result now.
    fn result(&mut self) -> Graph {
        self.swap_means();
        let graph = self.model.to_graph();
        self.swap_means();
        graph
    }

    /// Exchanges the weights and statistics with their running means.
    fn swap_means(&mut self) {
        let mut means = self.ema.values.iter_mut();
        visit(&mut self.model, |_, values| {
            if let Some(mean) = means.next() {
                mean.swap_with_slice(values);
            }
        });
    }

    /// Shows every tensor that moves, with its name in a checkpoint.
    fn visit(&mut self, mut see: impl FnMut(String, &mut [f32])) {
        let names: Vec<String> = names(&self.model).map(str::to_owned).collect();
        for (kind, values) in self.optimizer.memory.iter_mut().enumerate() {
            names.iter().zip(values).for_each(|(name, values)| see(format!("memory{kind}/{name}"), values));
        }
        names.iter().zip(&mut self.ema.values).for_each(|(name, values)| see(format!("mean/{name}"), values));
        visit(&mut self.model, |name, values| see(format!("value/{name}"), values));
    }

    /// Writes the checkpoint, if there is to be one.
    fn save(&mut self) -> Result<(), TrainError> {
        let Some(path) = self.control.checkpoint.clone() else { return Ok(()) };
        // The file must stay one to go on from.
        self.check_weights()?;
        let mut progress = vec![self.epoch as f64, self.step as f64, self.sums.loss, self.sums.correct as f64];
        for e in &self.history {
            let valid = [e.valid_loss, e.valid_accuracy].map(|v| v.unwrap_or(f64::NAN));
            progress.extend([e.loss, e.accuracy, valid[0], valid[1], e.learning_rate]);
        }
        let mut snapshot = Snapshot { progress, ..Snapshot::default() };
        self.visit(|name, values| drop(snapshot.tensors.insert(name, values.to_vec())));
        checkpoint::save(&path, &self.of, &snapshot)?;
        (self.saved, self.has_checkpoint) = (Instant::now(), true);
        Ok(())
    }

    /// Goes on from the checkpoint, if there is one.
    fn resume(&mut self) -> Result<(), TrainError> {
        let Some(path) = &self.control.checkpoint else { return Ok(()) };
        let Some(snapshot) = checkpoint::load(path, &self.of)? else { return Ok(()) };
        let damaged = |problem: String| checkpoint::CheckpointError::Damaged { path: path.clone(), problem };
        let (&[epoch, step, loss, correct], history) =
            snapshot.progress.split_first_chunk().ok_or_else(|| damaged("it has no position".to_owned()))?;
        let mut misfit = None;
        self.visit(|name, values| match snapshot.tensors.get(&name) {
            Some(saved) if saved.len() == values.len() => values.copy_from_slice(saved),
            _ => misfit = Some(name),
        });
        if let Some(name) = misfit {
            return Err(damaged(format!("tensor `{name}` is missing or misshaped")).into());
        }
        (self.epoch, self.step) = (epoch as usize, step as usize);
        self.sums = Sums { loss, correct: correct as usize };
        let known = |value: f64| Some(value).filter(|v| !v.is_nan());
        self.history = history
            .as_chunks()
            .0
            .iter()
            .map(|&[loss, accuracy, valid_loss, valid_accuracy, learning_rate]| Epoch {
                loss,
                accuracy,
                valid_loss: known(valid_loss),
                valid_accuracy: known(valid_accuracy),
                learning_rate,
            })
            .collect();
        self.has_checkpoint = true;
        Ok(())
    }
}

/// Puts numbers in the place of the parameters, and gives those that were there.
fn exchange(model: &mut Trainable, values: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    let put = |(param, value): (&mut Param, Vec<f32>)| std::mem::replace(&mut param.value, value);
    model.params_mut().iter_mut().zip(values).map(put).collect()
}

/// Everything that training changes: the parameters, then the running statistics.
fn tensors(model: &Trainable) -> impl Iterator<Item = &[f32]> {
    let (params, state) = (model.params(), model.state());
    params.iter().map(|p| &p.value[..]).chain(state.iter().map(|s| &s.value[..]))
}

/// The names of [`tensors`].
fn names(model: &Trainable) -> impl Iterator<Item = &str> {
    model.params().iter().map(|p| &p.name[..]).chain(model.state().iter().map(|s| &s.name[..]))
}

/// Shows [`tensors`] with their names, to be changed.
fn visit(model: &mut Trainable, mut see: impl FnMut(&str, &mut [f32])) {
    model.params_mut().iter_mut().for_each(|p| see(&p.name, &mut p.value));
    model.state_mut().iter_mut().for_each(|s| see(&s.name, &mut s.value));
}

/// A hash of all that a training depends on.
fn fingerprint(graph: &Graph, examples: &dyn Examples, objective: &dyn Objective, settings: &TrainSettings) -> String {
    let mut hasher = Sha256::new();
    hasher.update(format!("{graph} {} {settings:?} {}", objective.describe(), examples.hash()));
    for (_, tensor) in graph.params() {
        for value in tensor.data() {
            hasher.update(value.to_le_bytes());
        }
    }
    hex(&hasher.finalize())
}

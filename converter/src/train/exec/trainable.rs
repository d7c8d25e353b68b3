//! A graph whose weights are being trained: one step runs a batch forward and backward.
//!
//! The batch is cut into shards of fixed size that do not depend on the number of threads, and the gradients of
//! the shards are summed in their order: a result is the same on any number of threads. Layers run in phases. Within a phase
//! each shard takes a few images at a time through all layers, so that what one layer writes the next finds in the cache; a
//! phase ends where normalization needs sums over the whole batch.

use super::ExecError;
use super::buffer::Buffer;
use super::dropout::Dropout;
use super::gemm::Store;
use super::layer::Place;
use super::norm::Sums;
use super::program::{fold_constants, is_batched};
use super::schedule::{Schedule, Stage, Work};
use super::shard::Shard;
use super::threads::Threads;
use super::tokens::{Items, Texts, Unit, offsets};
use crate::graph::{Graph, Source, Tensor, ValueId};
use std::sync::Arc;

/// How fast running statistics follow those of the batches.
const MOMENTUM: f32 = 0.1;
/// Shards of a batch, on any number of threads: enough for those of a laptop, few enough to keep their gradients in the cache.
/// Sums are rounded shard by shard, so another number would train another network.
const SHARDS: usize = 8;
/// Shards where the gradients are too large for any cache.
const FEW_SHARDS: usize = 4;
/// From so many parameters on (without tables of embeddings) there are few.
const MANY_PARAMS: usize = 2 << 20;

/// What a parameter is to its layer; optimizers decay weights but not the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParamKind {
    /// Multiplies activations.
    Weight,
    /// Is added to sums of products.
    Bias,
    /// Gamma of a normalization.
    NormScale,
    /// Beta of a normalization.
    NormShift,
}

/// A parameter in training.
#[derive(Clone, Debug)]
pub struct Param {
    /// Its value in the graph.
    pub id: ValueId,
    /// Its name in the graph.
    pub name: String,
    /// Present numbers, laid out as in the graph.
    pub value: Vec<f32>,
    /// The gradient that the last step found; zeros if the parameter is not trainable.
    pub grad: Vec<f32>,
    /// What it is to its layer.
    pub kind: ParamKind,
    /// Whether steps compute its gradient.
    pub trainable: bool,
    /// Of a table that is only looked up, the rows that the last step looked up; elsewhere its gradient is zero.
    pub rows: Option<Rows>,
}

/// Some rows of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// Values in a row.
    pub width: usize,
    /// Their numbers, ascending.
    pub numbers: Vec<u32>,
}

/// Running statistics of a normalization, which are not trained but belong to a checkpoint.
#[derive(Clone, Debug)]
pub struct State {
    /// Its value in the graph.
    pub id: ValueId,
    /// Its name in the graph.
    pub name: String,
    /// Present numbers, one for each channel.
    pub value: Vec<f32>,
}

/// A graph in training.
pub struct Trainable {
    graph: Graph,
    texts: Option<Texts>,
    threads: Threads,
    schedule: Schedule,
    /// Whether the gradient of each parameter is only scattered, see [`Stage::scatters`].
    scattered: Vec<bool>,
    /// Whether the gradient of each parameter may be something else than zeros.
    moved: Vec<bool>,
    shards: Vec<Shard>,
    /// By output.
    outputs: Vec<Vec<f32>>,
    output_grads: Vec<Vec<f32>>,
}

impl Trainable {
    /// Prepares `graph` to be trained on `threads` threads.
    ///
    /// # Errors
    /// If the graph has not one input, and outputs with the batch as first axis, a node is used in a form that has no
    /// gradient, or the threads cannot be started.
    pub fn new(graph: &Graph, threads: usize) -> Result<Trainable, ExecError> {
        let graph = fold_constants(graph)?;
        let fail = |problem: &str| ExecError::Graph { graph: graph.name.clone(), problem: problem.to_owned() };
        if graph.inputs.len() != 1 || graph.outputs.is_empty() {
            return Err(fail("training needs one input and an output"));
        }
        if !is_batched(&graph) {
            return Err(fail("training needs the batch as first axis of every value; do not reorder or fix that axis"));
        }
        let graph = graph.with_batch(1)?;
        let texts = Texts::of(&graph)?;
        let mut schedule = match &texts {
            Some(texts) => Schedule::new(&texts.of_one_token(&graph)?, Some(texts))?,
            None => Schedule::new(&graph, None)?,
        };
        let scattered = scattered(&schedule);
        for (param, _) in schedule.params.iter_mut().zip(&scattered).filter(|(_, scattered)| **scattered) {
            let width = graph.shape(param.id).last().copied().unwrap_or(1);
            param.rows = Some(Rows { width, numbers: Vec::new() });
        }
        let summed = schedule.params.iter().zip(&scattered).filter(|(_, scattered)| !**scattered);
        let many = summed.map(|(param, _)| param.value.len()).sum::<usize>() > MANY_PARAMS;
        let shards = if texts.is_some() && many { FEW_SHARDS } else { SHARDS };
        Ok(Trainable {
            threads: Threads::new(threads)?,
            shards: (0..shards).map(|_| Shard::default()).collect(),
            outputs: vec![Vec::new(); graph.outputs.len()],
            output_grads: vec![Vec::new(); graph.outputs.len()],
            moved: vec![false; schedule.params.len()],
            schedule,
            scattered,
            texts,
            graph,
        })
    }

    /// Drops values in the steps that follow, or none. A network without places for it, such as one for images, is as without.
    pub fn set_dropout(&mut self, dropout: Option<Dropout>) {
        self.schedule.dropout = dropout.filter(|dropout| dropout.share > 0.0);
    }

    /// Whether the network has values that [`Trainable::set_dropout`] drops from.
    pub fn can_drop(&self) -> bool {
        self.schedule.stages.iter().any(|stage| stage.drops)
    }

    /// The parameters, in the order of the nodes that read them.
    pub fn params(&self) -> &[Param] {
        &self.schedule.params
    }

    /// The parameters, to be changed by an optimizer. Their sizes must stay.
    pub fn params_mut(&mut self) -> &mut [Param] {
        &mut self.schedule.params
    }

    /// The parameters as [`Trainable::params_mut`], with the threads to change them on.
    pub(in crate::train) fn params_and_threads(&mut self) -> (&mut [Param], &Threads) {
        (&mut self.schedule.params, &self.threads)
    }

    /// Running statistics of normalizations.
    pub fn state(&self) -> &[State] {
        &self.schedule.state
    }

    /// Running statistics, to be restored from a checkpoint. Their sizes must stay.
    pub fn state_mut(&mut self) -> &mut [State] {
        &mut self.schedule.state
    }

    /// One forward and backward pass over `batch` items, normalization by the statistics of this batch.
    ///
    /// `loss` gets the first output, `[batch, ..]`, and writes its gradient, which comes to it as zeros. Afterwards [`Param::grad`]
    /// holds the gradients, and the running statistics have followed those of the batch.
    ///
    /// # Errors
    /// If `input` has not the values of `batch` items.
    pub fn step<L>(
        &mut self,
        input: &[f32],
        batch: usize,
        loss: impl FnOnce(&[f32], &mut [f32]) -> L,
    ) -> Result<L, ExecError> {
        self.step_all(input, batch, |outputs, grads| loss(&outputs[0], &mut grads[0]))
    }

    /// As [`Trainable::step`], with a loss of all outputs. What an output has for each token of a text is zero behind its end.
    ///
    /// # Errors
    /// If `input` has not the values of `batch` items, or holds ids that are none.
    pub fn step_all<L>(
        &mut self,
        input: &[f32],
        batch: usize,
        loss: impl FnOnce(&[Vec<f32>], &mut [Vec<f32>]) -> L,
    ) -> Result<L, ExecError> {
        let item = self.graph.shape(self.graph.inputs[0]).iter().product::<usize>();
        if batch == 0 || input.len() != batch * item {
            let expected = format!("a batch of at least one item of {item} values each");
            return Err(ExecError::Input { expected, found: format!("{} values for {batch} items", input.len()) });
        }
        let lengths = match &self.texts {
            Some(texts) => texts.lengths(input)?,
            None => Vec::new(),
        };
        self.begin(batch, &lengths);
        self.forward(input);
        let loss = self.judge(batch, loss);
        self.backward();
        self.collect();
        Ok(loss)
    }

    /// The graph with the present weights and statistics.
    pub fn to_graph(&self) -> Graph {
        let mut graph = self.graph.clone();
        let stored = self
            .schedule
            .params
            .iter()
            .map(|p| (p.id, &p.value))
            .chain(self.schedule.state.iter().map(|s| (s.id, &s.value)));
        for (id, value) in stored {
            let shape = graph.shape(id).to_vec();
            graph.value_mut(id).source = Source::Param(Arc::new(Tensor::new(shape, value.clone())));
        }
        graph
    }

    /// Cuts the batch, makes the buffers large enough, and tells the layers their weights.
    fn begin(&mut self, batch: usize, lengths: &[usize]) {
        let depends = self.plan_grads();
        let input = self.graph.inputs[0];
        let (count, begins) = (self.shards.len(), offsets(lengths));
        // Shards of texts have about as many tokens each.
        let first = |shard: usize| match begins.last() {
            Some(&tokens) if tokens > 0 => begins[..batch].partition_point(|begin| begin * count < shard * tokens),
            _ => (shard * batch.div_ceil(count)).min(batch),
        };
        for (index, shard) in self.shards.iter_mut().enumerate() {
            shard.first = first(index);
            shard.n = first(index + 1) - shard.first;
            shard.before = begins.get(shard.first).copied().unwrap_or(0);
            shard.tokens = lengths.get(shard.first..shard.first + shard.n).map(offsets).unwrap_or_default();
        }
        let (schedule, scattered) = (&self.schedule, &self.scattered);
        self.threads.each(&mut self.shards, |shard| {
            shard.values.resize_with(schedule.places.len(), Buffer::default);
            shard.grads.resize_with(schedule.places.len(), Buffer::default);
            // Of tokens there may be as many in a block as in the shard.
            let (items, tokens) = (shard.n, shard.items().count(Unit::Token).1);
            let n = |place: Place| match place.unit {
                Unit::Token => tokens,
                Unit::Item if place.local => items.min(schedule.largest_block()),
                Unit::Item => items,
            };
            for id in schedule.stages.iter().map(|stage| stage.output).chain([input]) {
                let (place, grad_place) = (schedule.places[id.0 as usize], schedule.grad_place(id));
                shard.values[place.slot].grow(n(place) * place.len);
                if depends[place.slot] {
                    shard.grads[place.slot].grow(n(grad_place) * place.len);
                }
            }
            shard.param_grads.resize_with(schedule.params.len(), Vec::new);
            for ((grad, param), scattered) in shard.param_grads.iter_mut().zip(&schedule.params).zip(scattered) {
                grad.clear();
                grad.resize(if param.trainable && !scattered { param.value.len() } else { 0 }, 0.0);
            }
        });
        let Schedule { stages, params, state, .. } = &mut self.schedule;
        self.threads.each(stages, |stage| match &mut stage.work {
            Work::Layer(layer) => {
                for (operand, param) in stage.params.iter().enumerate() {
                    if let Some(param) = param {
                        layer.prepare(operand, &params[*param].value);
                    }
                }
            }
            Work::Norm(norm) => norm.pass.begin(&state[norm.mean].value),
        });
    }

    /// Decides which operands get a gradient (those that some trainable parameter stands behind), and says which values.
    fn plan_grads(&mut self) -> Vec<bool> {
        let mut depends = vec![false; self.schedule.places.len()];
        for stage in &mut self.schedule.stages {
            stage.trains = stage.params.iter().flatten().any(|&param| self.schedule.params[param].trainable);
            depends[stage.output.0 as usize] = stage.trains || stage.inputs.iter().any(|id| depends[id.0 as usize]);
        }
        let mut met = vec![false; self.schedule.places.len()];
        self.graph.outputs.iter().for_each(|id| met[id.0 as usize] = true);
        for stage in self.schedule.stages.iter_mut().rev() {
            let output = stage.output.0 as usize;
            stage.reached = depends[output] && met[output];
            for (grad, id) in stage.grads.iter_mut().zip(&stage.inputs) {
                let id = id.0 as usize;
                *grad = (stage.reached && depends[id]).then_some(if met[id] { Store::Add } else { Store::Set });
                met[id] |= grad.is_some();
            }
        }
        depends
    }

    fn forward(&mut self, input: &[f32]) {
        let place = self.schedule.places[self.graph.inputs[0].0 as usize];
        let item = self.texts.as_ref().map_or(place.len, |texts| texts.length);
        for (index, &phase) in self.schedule.phases.iter().enumerate() {
            let schedule = &self.schedule;
            self.threads.each(&mut self.shards, |shard| {
                if index == 0 {
                    let given = &input[shard.first * item..][..shard.n * item];
                    let items = Items { first: 0, n: shard.n, tokens: &shard.tokens };
                    gather(given, item, items, place, &mut shard.values[place.slot]);
                }
                shard.forward(schedule, phase);
            });
            if let Some(Stage { work: Work::Norm(norm), .. }) = self.schedule.stages.get_mut(phase.end) {
                let sums = merge(&self.shards, norm.pass.channels);
                norm.pass.settle(
                    &sums,
                    &self.schedule.params[norm.gamma].value,
                    &self.schedule.params[norm.beta].value,
                );
                follow(&mut self.schedule.state[norm.mean].value, &norm.pass.mean, 1.0);
                // The running variance is that of the population, of which the batch is a sample.
                let unbiased = sums.count as f64 / (sums.count as f64 - 1.0).max(1.0);
                follow(&mut self.schedule.state[norm.variance].value, &norm.pass.variance, unbiased);
            }
        }
    }

    /// Lets the loss see all outputs and gives each shard its part of their gradients.
    fn judge<L>(&mut self, batch: usize, loss: impl FnOnce(&[Vec<f32>], &mut [Vec<f32>]) -> L) -> L {
        let item = |id: &ValueId| self.graph.shape(*id).iter().product::<usize>();
        let items: Vec<usize> = self.graph.outputs.iter().map(item).collect();
        for (output, (id, &item)) in self.outputs.iter_mut().zip(self.graph.outputs.iter().zip(&items)) {
            let place = self.schedule.places[id.0 as usize];
            output.clear();
            output.resize(batch * item, 0.0);
            for shard in &self.shards {
                scatter(&shard.values[place.slot], place, shard.items(), item, &mut output[shard.first * item..]);
            }
        }
        for (grads, item) in self.output_grads.iter_mut().zip(&items) {
            grads.clear();
            grads.resize(batch * item, 0.0);
        }
        let value = loss(&self.outputs, &mut self.output_grads);
        for (grads, (id, &item)) in self.output_grads.iter().zip(self.graph.outputs.iter().zip(&items)) {
            let place = self.schedule.grad_place(*id);
            for shard in &mut self.shards {
                let given = &grads[shard.first * item..][..shard.n * item];
                let items = Items { first: 0, n: shard.n, tokens: &shard.tokens };
                shard.grads[place.slot].grow(items.count(place.unit).1 * place.len);
                gather(given, item, items, place, &mut shard.grads[place.slot]);
            }
        }
        value
    }

    fn backward(&mut self) {
        for &phase in self.schedule.phases.iter().rev() {
            let schedule = &self.schedule;
            self.threads.each(&mut self.shards, |shard| shard.backward(schedule, phase));
            if phase.begin == phase.end {
                continue;
            }
            if let Some(Stage { work: Work::Norm(norm), reached: true, .. }) = self.schedule.stages.get_mut(phase.begin)
            {
                let sums = merge(&self.shards, norm.pass.channels);
                let [gamma, beta] = norm.pass.settle_grad(&sums, &self.schedule.params[norm.gamma].value);
                for (index, grad) in [(norm.gamma, gamma), (norm.beta, beta)] {
                    let to = &mut self.shards[0].param_grads[index];
                    to.iter_mut().zip(grad).for_each(|(to, grad)| *to += grad);
                }
            }
        }
    }

    /// Sums the shards' gradients in their order.
    fn collect(&mut self) {
        let mut params = std::mem::take(&mut self.schedule.params);
        let (first, shards) = self.shards.split_at_mut(1);
        let mut sums = std::mem::take(&mut first[0].param_grads);
        let schedule = &self.schedule;
        let scatters: Vec<&Stage> = schedule.stages.iter().filter(|stage| stage.scatters && stage.reached).collect();
        let mut jobs: Vec<_> = params.iter_mut().zip(&mut sums).zip(&mut self.moved).enumerate().collect();
        let all = || first.iter().chain(shards.iter());
        self.threads.each(&mut jobs, |(index, ((param, sum), moved))| {
            if !sum.is_empty() {
                std::mem::swap(&mut param.grad, *sum);
                for shard in shards.iter() {
                    param.grad.iter_mut().zip(&shard.param_grads[*index]).for_each(|(sum, grad)| *sum += grad);
                }
            } else if let Some(Rows { width, numbers }) = &mut param.rows {
                numbers.drain(..).for_each(|row| param.grad[row as usize * *width..][..*width].fill(0.0));
            } else if **moved {
                param.grad.fill(0.0);
            }
            **moved = param.trainable;
            if !param.trainable {
                return;
            }
            let parts = || scatters.iter().flat_map(|stage| all().map(move |shard| (stage, shard)));
            parts().for_each(|(stage, shard)| shard.scatter(schedule, stage, *index, &mut param.grad));
            if let Some(Rows { width, numbers }) = &mut param.rows {
                let mut touched = vec![false; param.value.len() / (*width).max(1)];
                parts().for_each(|(stage, shard)| shard.touches(stage, *index, &mut touched));
                numbers.extend((0..).zip(&touched).filter(|(_, touched)| **touched).map(|(row, _)| row));
            }
        });
        self.shards[0].param_grads = sums;
        self.schedule.params = params;
    }
}

/// Whether the gradient of each parameter is made by nothing but stages that scatter.
fn scattered(schedule: &Schedule) -> Vec<bool> {
    let readers = |param| schedule.stages.iter().filter(move |stage| stage.params.contains(&Some(param)));
    (0..schedule.params.len()).map(|param| readers(param).all(|stage| stage.scatters)).collect()
}

/// Copies items of `item` values to a buffer, of texts the values of their tokens.
pub(super) fn gather(from: &[f32], item: usize, items: Items<'_>, place: Place, to: &mut [f32]) {
    if place.unit == Unit::Item {
        return to[..items.n * item].copy_from_slice(&from[..items.n * item]);
    }
    for (text, from) in items.texts().zip(from.chunks_exact(item)) {
        let to = &mut to[text.start * place.len..text.end * place.len];
        to.copy_from_slice(&from[..to.len()]);
    }
}

/// Copies them back; what is behind the end of a text stays as it is.
pub(super) fn scatter(from: &[f32], place: Place, items: Items<'_>, item: usize, to: &mut [f32]) {
    if place.unit == Unit::Item {
        return to[..items.n * item].copy_from_slice(&from[..items.n * item]);
    }
    for (text, to) in items.texts().zip(to.chunks_exact_mut(item)) {
        let from = &from[text.start * place.len..text.end * place.len];
        to[..from.len()].copy_from_slice(from);
    }
}

/// Moves running statistics towards the present ones.
fn follow(running: &mut [f32], present: &[f64], factor: f64) {
    for (running, present) in running.iter_mut().zip(present) {
        *running += MOMENTUM * ((present * factor) as f32 - *running);
    }
}

/// The sums of all shards, in their order.
fn merge(shards: &[Shard], channels: usize) -> Sums {
    let mut all = Sums::default();
    all.clear(channels);
    shards.iter().filter(|shard| shard.n > 0).for_each(|shard| all.merge(&shard.sums));
    all
}

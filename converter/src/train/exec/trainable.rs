//! A graph whose weights are being trained: one step runs a batch forward and backward.
//!
//! The batch is cut into shards of fixed size that do not depend on the number of threads, and the gradients of
//! the shards are summed in their order: a result is the same on one thread and on eight. Layers run in phases. Within a phase
//! each shard takes a few images at a time through all layers, so that what one layer writes the next finds in the cache; a
//! phase ends where normalization needs sums over the whole batch.

use super::ExecError;
use super::buffer::Buffer;
use super::gemm::Store;
use super::layer::Place;
use super::norm::Sums;
use super::program::{fold_constants, is_batched};
use super::schedule::{Schedule, Stage, Work};
use super::shard::Shard;
use super::threads::Threads;
use crate::graph::{Graph, Source, Tensor, ValueId};
use std::sync::Arc;

/// How fast running statistics follow those of the batches.
const MOMENTUM: f32 = 0.1;
/// Shards of a batch: enough for the threads of a laptop, few enough to keep their gradients in the cache.
const SHARDS: usize = 8;

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
    threads: Threads,
    schedule: Schedule,
    shards: Vec<Shard>,
    logits: Vec<f32>,
    logits_grad: Vec<f32>,
}

impl Trainable {
    /// Prepares `graph` to be trained on `threads` threads.
    ///
    /// # Errors
    /// If the graph has not one input and one output with the batch as first axis, a node is used in a form that
    /// has no gradient, or the threads cannot be started.
    pub fn new(graph: &Graph, threads: usize) -> Result<Trainable, ExecError> {
        let graph = fold_constants(graph)?;
        let fail = |problem: &str| ExecError::Graph { graph: graph.name.clone(), problem: problem.to_owned() };
        if graph.inputs.len() != 1 || graph.outputs.len() != 1 {
            return Err(fail("training needs one input and one output"));
        }
        if !is_batched(&graph) {
            return Err(fail("training needs the batch as first axis of every value; do not reorder or fix that axis"));
        }
        let graph = graph.with_batch(1)?;
        Ok(Trainable {
            threads: Threads::new(threads)?,
            schedule: Schedule::new(&graph)?,
            shards: (0..SHARDS.max(threads)).map(|_| Shard::default()).collect(),
            logits: Vec::new(),
            logits_grad: Vec::new(),
            graph,
        })
    }

    /// The parameters, in the order of the nodes that read them.
    pub fn params(&self) -> &[Param] {
        &self.schedule.params
    }

    /// The parameters, to be changed by an optimizer. Their sizes must stay.
    pub fn params_mut(&mut self) -> &mut [Param] {
        &mut self.schedule.params
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
    /// `loss` gets the outputs, `[batch, ..]`, and writes their gradient, which comes to it as zeros. Afterwards [`Param::grad`] holds the
    /// gradients, and the running statistics have followed those of the batch.
    ///
    /// # Errors
    /// If `input` has not the values of `batch` items.
    pub fn step<L>(
        &mut self,
        input: &[f32],
        batch: usize,
        loss: impl FnOnce(&[f32], &mut [f32]) -> L,
    ) -> Result<L, ExecError> {
        let item = self.schedule.places[self.graph.inputs[0].0 as usize].len;
        if batch == 0 || input.len() != batch * item {
            let expected = format!("a batch of at least one item of {item} values each");
            return Err(ExecError::Input { expected, found: format!("{} values for {batch} items", input.len()) });
        }
        self.begin(batch);
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
    fn begin(&mut self, batch: usize) {
        let size = batch.div_ceil(self.shards.len());
        let depends = self.plan_grads();
        let input = self.graph.inputs[0];
        let schedule = &self.schedule;
        for (index, shard) in self.shards.iter_mut().enumerate() {
            shard.first = (index * size).min(batch);
            shard.n = size.min(batch - shard.first);
            shard.values.resize_with(schedule.places.len(), Buffer::default);
            shard.grads.resize_with(schedule.places.len(), Buffer::default);
            let n = |place: Place| if place.local { shard.n.min(schedule.largest_block()) } else { shard.n };
            for id in schedule.stages.iter().map(|stage| stage.output).chain([input]) {
                let (place, grad_place) = (schedule.places[id.0 as usize], schedule.grad_place(id));
                shard.values[place.slot].grow(n(place) * place.len);
                if depends[place.slot] {
                    shard.grads[place.slot].grow(n(grad_place) * place.len);
                }
            }
            shard.param_grads.resize_with(self.schedule.params.len(), Vec::new);
            for (grad, param) in shard.param_grads.iter_mut().zip(&self.schedule.params) {
                grad.clear();
                grad.resize(if param.trainable { param.value.len() } else { 0 }, 0.0);
            }
        }
        for stage in &mut self.schedule.stages {
            match &mut stage.work {
                Work::Layer(layer) => {
                    for (operand, param) in stage.params.iter().enumerate() {
                        if let Some(param) = param {
                            layer.prepare(operand, &self.schedule.params[*param].value);
                        }
                    }
                }
                Work::Norm(norm) => norm.pass.begin(&self.schedule.state[norm.mean].value),
            }
        }
    }

    /// Decides which operands get a gradient (those that some trainable parameter stands behind), and says which values.
    fn plan_grads(&mut self) -> Vec<bool> {
        let mut depends = vec![false; self.schedule.places.len()];
        for stage in &mut self.schedule.stages {
            stage.trains = stage.params.iter().flatten().any(|&param| self.schedule.params[param].trainable);
            depends[stage.output.0 as usize] = stage.trains || stage.inputs.iter().any(|id| depends[id.0 as usize]);
        }
        let mut met = vec![false; self.schedule.places.len()];
        met[self.graph.outputs[0].0 as usize] = true;
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
        for (index, &phase) in self.schedule.phases.iter().enumerate() {
            let schedule = &self.schedule;
            self.threads.each(&mut self.shards, |shard| {
                if index == 0 {
                    let items = &input[shard.first * place.len..][..shard.n * place.len];
                    shard.values[place.slot][..items.len()].copy_from_slice(items);
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

    /// Lets the loss see all outputs and gives each shard its part of their gradient.
    fn judge<L>(&mut self, batch: usize, loss: impl FnOnce(&[f32], &mut [f32]) -> L) -> L {
        let Place { slot, len, .. } = self.schedule.places[self.graph.outputs[0].0 as usize];
        self.logits.clear();
        for shard in &self.shards {
            self.logits.extend_from_slice(&shard.values[slot][..shard.n * len]);
        }
        self.logits_grad.clear();
        self.logits_grad.resize(batch * len, 0.0);
        let value = loss(&self.logits, &mut self.logits_grad);
        for shard in &mut self.shards {
            let items = &self.logits_grad[shard.first * len..][..shard.n * len];
            shard.grads[slot].grow(items.len())[..items.len()].copy_from_slice(items);
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
        let shards = &self.shards;
        let mut jobs: Vec<(usize, &mut Param)> = self.schedule.params.iter_mut().enumerate().collect();
        self.threads.each(&mut jobs, |(index, param)| {
            param.grad.clear();
            param.grad.resize(param.value.len(), 0.0);
            for shard in shards {
                param.grad.iter_mut().zip(&shard.param_grads[*index]).for_each(|(sum, grad)| *sum += grad);
            }
        });
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

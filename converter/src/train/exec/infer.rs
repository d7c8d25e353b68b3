//! Running a graph forward, a few items at a time through all layers, so that activations stay in the cache.

use super::ExecError;
use super::buffer::Buffer;
use super::layer::{Inputs, Place, Scratch};
use super::program::{Step, fold_constants, is_batched, steps};
use super::threads::Threads;
use super::tokens::{Items, Texts, Unit, offsets};
use super::trainable::{gather, scatter};
use crate::graph::{Graph, Source, Tensor, ValueId};
use std::sync::{Mutex, PoisonError};

/// Values that the largest activation of the items at hand may have: 512 KiB, a part of the second-level cache.
const BLOCK_VALUES: usize = 128 << 10;
/// The most items that go through the layers together.
const BLOCK_ITEMS: usize = 64;
/// Tokens of texts that go through the layers together: enough that reading the weights costs little.
const BLOCK_TOKENS: usize = 256;

/// Runs a graph forward, normalization by stored statistics.
pub struct Infer {
    graph: Graph,
    batched: bool,
    texts: Option<Texts>,
    threads: Threads,
    /// For the graph's outputs, and for the taps asked for last.
    plans: [Option<Plan>; 2],
    workers: Vec<Mutex<Worker>>,
}

/// The layers with a place for each value that is needed.
struct Plan {
    wanted: Vec<ValueId>,
    /// Items in a run of a graph that mixes its batch are one, of this batch size.
    batch: Option<usize>,
    graph: Graph,
    texts: Option<Texts>,
    steps: Vec<(Step, Vec<Option<Place>>, Place)>,
    inputs: Vec<Place>,
    /// Where the wanted values are; none if they are stored.
    outputs: Vec<Option<Place>>,
    /// Values of an item in each buffer.
    slots: Vec<usize>,
    /// Items that go through the layers together.
    block: usize,
}

/// The buffers of one thread.
#[derive(Default)]
struct Worker {
    buffers: Vec<Buffer>,
    scratch: Scratch,
}

/// Some items: the range of them, where the tokens of each begin, and where each wanted value goes.
struct Job<'a> {
    first: usize,
    n: usize,
    tokens: Vec<usize>,
    outputs: Vec<&'a mut [f32]>,
}

impl Infer {
    /// Prepares `graph` to be run on `threads` threads.
    ///
    /// # Errors
    /// If an operator is used in a form that cannot be run, or the threads cannot be started.
    pub fn new(graph: &Graph, threads: usize) -> Result<Infer, ExecError> {
        let graph = fold_constants(graph)?;
        let threads = Threads::new(threads)?;
        let workers = (0..threads.count()).map(|_| Mutex::default()).collect();
        let (batched, texts) = (is_batched(&graph), Texts::of(&graph)?);
        let mut infer = Infer { batched, texts, graph, threads, plans: [None, None], workers };
        let batch = infer.graph.inputs.first().and_then(|&id| infer.graph.shape(id).first()).copied();
        let outputs = infer.graph.outputs.clone();
        infer.plans[0] = Some(infer.plan(&outputs, batch.unwrap_or(1))?);
        Ok(infer)
    }

    /// The graph's outputs for `input`, `[batch, ..]` values of its only input, of any batch size.
    ///
    /// # Errors
    /// If the graph has not one input or the shape does not fit.
    pub fn run(&mut self, input: &Tensor) -> Result<Vec<Tensor>, ExecError> {
        self.run_all(&[input])
    }

    /// The graph's outputs for all its inputs, in order, of one batch size.
    ///
    /// # Errors
    /// If the number of inputs or a shape does not fit.
    pub fn run_all(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>, ExecError> {
        let outputs = self.graph.outputs.clone();
        self.execute(0, inputs, &outputs)
    }

    /// The values of any nodes, for calibration and for distillation of hidden states.
    ///
    /// # Errors
    /// If the graph has not one input, the shape does not fit, or a tap is not a value of the graph.
    pub fn run_taps(&mut self, input: &Tensor, taps: &[ValueId]) -> Result<Vec<Tensor>, ExecError> {
        self.run_all_taps(&[input], taps)
    }

    /// The values of any nodes, for all inputs of the graph, in order, of one batch size.
    ///
    /// # Errors
    /// If the number of inputs or a shape does not fit, or a tap is not a value of the graph.
    pub fn run_all_taps(&mut self, inputs: &[&Tensor], taps: &[ValueId]) -> Result<Vec<Tensor>, ExecError> {
        if let Some(id) = taps.iter().find(|id| id.0 as usize >= self.graph.values.len()) {
            return Err(ExecError::Input { expected: "a value of the graph".to_owned(), found: format!("{id:?}") });
        }
        self.execute(1, inputs, taps)
    }

    fn execute(&mut self, which: usize, inputs: &[&Tensor], wanted: &[ValueId]) -> Result<Vec<Tensor>, ExecError> {
        let batch = self.check(inputs)?;
        let fits = |plan: &Plan| plan.wanted == wanted && plan.batch.is_none_or(|planned| planned == batch);
        let plan = match self.plans[which].take().filter(fits) {
            Some(plan) => plan,
            None => self.plan(wanted, batch)?,
        };
        let items = if self.batched { batch } else { 1 };
        let lengths = match &self.texts {
            Some(texts) => texts.lengths(inputs[0].data())?,
            None => Vec::new(),
        };
        let outputs = plan.run(inputs, items, &lengths, &self.threads, &self.workers);
        self.plans[which] = Some(plan);
        Ok(outputs)
    }

    /// The batch size of inputs that fit.
    fn check(&self, inputs: &[&Tensor]) -> Result<usize, ExecError> {
        let expected: Vec<&[usize]> = self.graph.inputs.iter().map(|&id| self.graph.shape(id)).collect();
        let batch = inputs.first().and_then(|x| x.shape().first()).copied().unwrap_or(1);
        let fits = |x: &Tensor, shape: &[usize]| match (x.shape(), shape) {
            ([first, rest @ ..], [_, expected @ ..]) => *first == batch && batch > 0 && rest == expected,
            (found, expected) => found == expected,
        };
        if inputs.len() == expected.len() && inputs.iter().zip(&expected).all(|(x, shape)| fits(x, shape)) {
            return Ok(batch);
        }
        let found: Vec<&[usize]> = inputs.iter().map(|x| x.shape()).collect();
        Err(ExecError::Input {
            expected: format!("inputs of shapes {expected:?} (first axis: any batch)"),
            found: format!("{found:?}"),
        })
    }

    fn plan(&self, wanted: &[ValueId], batch: usize) -> Result<Plan, ExecError> {
        let item = if self.batched { 1 } else { batch };
        let keeps_shape = self.graph.inputs.iter().all(|&id| self.graph.shape(id).first() == Some(&item));
        let graph = if keeps_shape { self.graph.clone() } else { self.graph.with_batch(item)? };
        Plan::new(graph, self.texts.clone(), wanted, (!self.batched).then_some(batch))
    }
}

impl Plan {
    fn new(graph: Graph, texts: Option<Texts>, wanted: &[ValueId], batch: Option<usize>) -> Result<Plan, ExecError> {
        let one = match &texts {
            Some(texts) => texts.of_one_token(&graph)?,
            None => graph.clone(),
        };
        let unit = |id: ValueId| texts.as_ref().map_or(Unit::Item, |texts| texts.units[id.0 as usize]);
        let mut steps = steps(&one)?;
        for step in &mut steps {
            for (operand, &id) in step.inputs.iter().enumerate() {
                if let Some(tensor) = graph.param(id) {
                    step.layer.prepare(operand, tensor.data());
                }
            }
        }
        // The last step that reads each value; wanted values outlive all steps.
        let mut last = vec![0; graph.values.len()];
        for (index, step) in steps.iter().enumerate() {
            step.inputs.iter().for_each(|id| last[id.0 as usize] = index);
        }
        wanted.iter().for_each(|id| last[id.0 as usize] = usize::MAX);
        let mut places: Vec<Option<Place>> = vec![None; graph.values.len()];
        let mut slots = Slots::default();
        let len = |id: ValueId| one.shape(id).iter().product::<usize>();
        let mut inputs = Vec::new();
        for &id in &graph.inputs {
            let place = slots.take(unit(id), len(id));
            places[id.0 as usize] = Some(place);
            inputs.push(place);
        }
        let mut placed = Vec::new();
        for (index, step) in steps.into_iter().enumerate() {
            let to = slots.take(unit(step.output), len(step.output));
            let from: Vec<Option<Place>> = step.inputs.iter().map(|id| places[id.0 as usize]).collect();
            places[step.output.0 as usize] = Some(to);
            let mut dead: Vec<ValueId> = step.inputs.iter().copied().chain([step.output]).collect();
            dead.sort_unstable();
            dead.dedup();
            for id in dead.into_iter().filter(|id| last[id.0 as usize] <= index) {
                if let Some(place) = places[id.0 as usize] {
                    slots.free.push(place.slot);
                }
            }
            placed.push((step, from, to));
        }
        let missing = |id: &&ValueId| places[id.0 as usize].is_none() && graph.param(**id).is_none();
        if let Some(&id) = wanted.iter().find(missing) {
            let (expected, found) = ("a value that some node makes".to_owned(), graph.value(id).name.clone());
            return Err(ExecError::Input { expected, found });
        }
        let largest = slots.lens.iter().copied().max().unwrap_or(1);
        Ok(Plan {
            wanted: wanted.to_vec(),
            batch,
            outputs: wanted.iter().map(|id| places[id.0 as usize]).collect(),
            steps: placed,
            inputs,
            block: (BLOCK_VALUES / largest.max(1)).clamp(1, BLOCK_ITEMS),
            slots: slots.lens,
            graph,
            texts,
        })
    }

    fn run(
        &self,
        inputs: &[&Tensor],
        items: usize,
        lengths: &[usize],
        threads: &Threads,
        workers: &[Mutex<Worker>],
    ) -> Vec<Tensor> {
        let mut results: Vec<Tensor> = Vec::new();
        for (&id, place) in self.wanted.iter().zip(&self.outputs) {
            let mut shape = self.graph.shape(id).to_vec();
            match (place, &self.graph.value(id).source) {
                (None, Source::Param(tensor)) => results.push(tensor.as_ref().clone()),
                _ => {
                    if self.batch.is_none() {
                        shape[0] *= items;
                    }
                    results.push(Tensor::zeros(shape));
                }
            }
        }
        let mut jobs = self.cut(items, lengths, threads.count());
        for (result, place) in results.iter_mut().zip(&self.outputs) {
            if place.is_some() {
                let item = result.len() / items.max(1);
                let mut rest = result.data_mut();
                for job in &mut jobs {
                    let (part, behind) = rest.split_at_mut(job.n * item);
                    job.outputs.push(part);
                    rest = behind;
                }
            }
        }
        threads.each(&mut jobs, |job| {
            let mut worker = workers[threads.current()].lock().unwrap_or_else(PoisonError::into_inner);
            self.run_job(inputs, job, &mut worker);
        });
        drop(jobs);
        results
    }

    /// Cuts the items into jobs. Small batches are spread over the threads all the same.
    fn cut(&self, items: usize, lengths: &[usize], threads: usize) -> Vec<Job<'_>> {
        let mut jobs = Vec::new();
        let mut first = 0;
        if self.texts.is_none() {
            let block = self.block.min(items.div_ceil(threads)).max(1);
            while first < items {
                let n = block.min(items - first);
                jobs.push(Job { first, n, tokens: Vec::new(), outputs: Vec::new() });
                first += n;
            }
            return jobs;
        }
        let block = BLOCK_TOKENS.min(lengths.iter().sum::<usize>().div_ceil(threads));
        while first < items {
            let tokens = offsets(&lengths[first..]);
            let n = tokens.iter().position(|&begin| begin >= block).unwrap_or(items - first);
            jobs.push(Job { first, n, tokens: tokens[..=n].to_vec(), outputs: Vec::new() });
            first += n;
        }
        jobs
    }

    fn run_job(&self, inputs: &[&Tensor], job: &mut Job<'_>, worker: &mut Worker) {
        let items = Items { first: 0, n: job.n, tokens: &job.tokens };
        let most = items.count(Unit::Token).1.max(job.n);
        let Worker { buffers, scratch } = worker;
        buffers.resize_with(buffers.len().max(self.slots.len()), Buffer::default);
        for (buffer, len) in buffers.iter_mut().zip(&self.slots) {
            buffer.grow(len * most);
        }
        for (input, place) in inputs.iter().zip(&self.inputs) {
            let item = self.texts.as_ref().map_or(place.len, |texts| texts.length);
            gather(&input.data()[job.first * item..], item, items, *place, &mut buffers[place.slot]);
        }
        for (step, places, to) in &self.steps {
            let mut out = std::mem::take(&mut buffers[to.slot]);
            let x = Inputs { buffers, places, items };
            let n = items.count(to.unit).1;
            step.layer.forward(n, x, &mut out[..n * to.len], scratch);
            buffers[to.slot] = out;
        }
        for (place, to) in self.outputs.iter().flatten().zip(&mut job.outputs) {
            scatter(&buffers[place.slot], *place, items, to.len() / job.n.max(1), to);
        }
    }
}

/// Buffers that values share one after another.
#[derive(Default)]
struct Slots {
    lens: Vec<usize>,
    free: Vec<usize>,
}

impl Slots {
    /// The free buffer of the size nearest to `len`, or a new one.
    fn take(&mut self, unit: Unit, len: usize) -> Place {
        let nearest = self.free.iter().enumerate().min_by_key(|(_, slot)| self.lens[**slot].abs_diff(len));
        let slot = match nearest.map(|(index, _)| index) {
            Some(index) => self.free.swap_remove(index),
            None => {
                self.lens.push(0);
                self.lens.len() - 1
            }
        };
        self.lens[slot] = self.lens[slot].max(len);
        Place { slot, unit, len, local: false }
    }
}

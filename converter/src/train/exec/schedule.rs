//! What a training step does in which order: stages made of nodes, and the phases between barriers.

use super::ExecError;
use super::dropout::{self, Dropout};
use super::gemm::Store;
use super::layer::{Layer, Place};
use super::norm::BatchNorm;
use super::program::{Step, steps};
use super::tokens::{Texts, Unit};
use super::trainable::{Param, ParamKind, State};
use crate::graph::{Graph, Node, Op, Unary, ValueId};

/// Values that the items at hand may take in a phase: 1 MiB, half of a second-level cache.
const BLOCK_VALUES: usize = 256 << 10;
/// The most items that go through a phase together. Texts always do: their layers read more weights than activations, and
/// had better do so for many tokens.
const BLOCK_ITEMS: usize = 64;

/// One node, or a normalization with what was fused into it.
pub(super) struct Stage {
    pub(super) work: Work,
    /// Operands; those of a normalization are `x` and, if there is one, the residual.
    pub(super) inputs: Vec<ValueId>,
    /// Where the computed operands are.
    pub(super) from: Vec<Option<Place>>,
    pub(super) output: ValueId,
    /// For each operand its index in the parameters if it is one; of a normalization gamma and beta.
    pub(super) params: Vec<Option<usize>>,
    /// Whether one of them is trained.
    pub(super) trains: bool,
    /// Whether its gradients are added up over the whole batch at the end, see [`Layer::scatters`].
    pub(super) scatters: bool,
    /// Whether some of its output is dropped, see [`Schedule::dropout`].
    pub(super) drops: bool,
    /// Whether the gradient of the output is needed and known.
    pub(super) reached: bool,
    /// Whether each operand gets a gradient, and how it meets what other stages put there.
    pub(super) grads: Vec<Option<Store>>,
}

pub(super) enum Work {
    Layer(Box<dyn Layer>),
    Norm(Box<Norm>),
}

/// A normalization by batch statistics; indices are those in the parameters and in the running statistics.
pub(super) struct Norm {
    pub(super) pass: BatchNorm,
    pub(super) gamma: usize,
    pub(super) beta: usize,
    pub(super) mean: usize,
    pub(super) variance: usize,
}

/// Stages that run without a barrier, from `begin` to before `end`.
///
/// A normalization at `begin` runs its second pass here and one at `end` its first; backward, the other way round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    pub(super) begin: usize,
    pub(super) end: usize,
    /// Items that go through it together.
    pub(super) block: usize,
}

/// A graph taken apart for training.
pub(super) struct Schedule {
    pub(super) params: Vec<Param>,
    pub(super) state: Vec<State>,
    pub(super) stages: Vec<Stage>,
    pub(super) phases: Vec<Phase>,
    /// What the step at hand drops.
    pub(super) dropout: Option<Dropout>,
    /// Where the values are, by value.
    pub(super) places: Vec<Place>,
    /// Where their gradients are.
    pub(super) grad_places: Vec<Place>,
}

impl Schedule {
    /// `graph` has a batch of one, of one token if it reads `texts`, and no constants to fold.
    pub(super) fn new(graph: &Graph, texts: Option<&Texts>) -> Result<Schedule, ExecError> {
        let len = |slot: usize| graph.values[slot].shape.iter().product();
        let unit = |slot: usize| texts.map_or(Unit::Item, |texts| texts.units[slot]);
        let place = |slot| Place { slot, unit: unit(slot), len: len(slot), local: false };
        let places: Vec<Place> = (0..graph.values.len()).map(place).collect();
        let mut schedule = Schedule {
            params: Vec::new(),
            state: Vec::new(),
            stages: Vec::new(),
            phases: Vec::new(),
            dropout: None,
            grad_places: places.clone(),
            places,
        };
        for (node, step) in graph.nodes.iter().zip(steps(graph)?) {
            let stage = schedule.stage(graph, node, step);
            schedule.stages.push(stage);
        }
        schedule.fuse(graph);
        schedule.cut(texts.is_some());
        schedule.localize(graph);
        let drops = dropout::places(graph);
        for stage in &mut schedule.stages {
            stage.drops = drops.contains(&stage.output);
            let stored = |id: &ValueId| graph.param(*id).is_some();
            let place = |id: &ValueId| (!stored(id)).then(|| schedule.places[id.0 as usize]);
            stage.from = stage.inputs.iter().map(place).collect();
            stage.grads = vec![None; stage.inputs.len()];
        }
        Ok(schedule)
    }

    /// Where a stage's output is.
    pub(super) fn place(&self, stage: &Stage) -> Place {
        self.places[stage.output.0 as usize]
    }

    /// Where the gradient of a value is.
    pub(super) fn grad_place(&self, id: ValueId) -> Place {
        self.grad_places[id.0 as usize]
    }

    /// The most items that any phase takes together.
    pub(super) fn largest_block(&self) -> usize {
        self.phases.iter().map(|phase| phase.block).max().unwrap_or(1)
    }

    fn stage(&mut self, graph: &Graph, node: &Node, mut step: Step) -> Stage {
        let stored = |operand: usize| node.inputs.get(operand).filter(|id| graph.param(**id).is_some()).copied();
        let (work, inputs, params) = if let Op::BatchNorm { eps } = node.op {
            let id = |operand: usize| node.inputs[operand];
            let (gamma, beta) =
                (self.param(graph, id(1), ParamKind::NormScale), self.param(graph, id(2), ParamKind::NormShift));
            let (mean, variance) = (self.statistic(graph, id(3)), self.statistic(graph, id(4)));
            let pass = BatchNorm::new(graph.value(id(1)).shape[0], eps);
            let norm = Norm { pass, gamma, beta, mean, variance };
            (Work::Norm(Box::new(norm)), vec![id(0)], vec![Some(gamma), Some(beta)])
        } else {
            let kind = |operand: usize| match (&node.op, operand) {
                (Op::Conv2d { .. } | Op::Linear | Op::Embedding, 1) | (Op::MatMul, _) | (Op::Embedding, 2) => {
                    Some(ParamKind::Weight)
                }
                (Op::Conv2d { .. } | Op::Linear, 2) => Some(ParamKind::Bias),
                (Op::LayerNorm { .. }, 1) => Some(ParamKind::NormScale),
                (Op::LayerNorm { .. }, 2) => Some(ParamKind::NormShift),
                _ => None,
            };
            let mut params = Vec::new();
            for operand in 0..node.inputs.len() {
                let param = stored(operand).zip(kind(operand)).map(|(id, kind)| self.param(graph, id, kind));
                if let (None, Some(tensor)) = (param, graph.param(node.inputs[operand])) {
                    step.layer.prepare(operand, tensor.data());
                }
                params.push(param);
            }
            (Work::Layer(step.layer), step.inputs, params)
        };
        let (from, grads) = (Vec::new(), Vec::new());
        let scatters = matches!(&work, Work::Layer(layer) if layer.scatters());
        let (output, drops) = (step.output, false);
        Stage { work, inputs, from, output, params, trains: false, scatters, drops, reached: false, grads }
    }

    /// The index of a parameter, which several nodes may share.
    fn param(&mut self, graph: &Graph, id: ValueId, kind: ParamKind) -> usize {
        if let Some(index) = self.params.iter().position(|param| param.id == id) {
            return index;
        }
        let value = graph.param(id).map(|tensor| tensor.data().to_vec()).unwrap_or_default();
        let (name, grad) = (graph.value(id).name.clone(), vec![0.0; value.len()]);
        self.params.push(Param { id, name, value, grad, kind, trainable: true, rows: None });
        self.params.len() - 1
    }

    fn statistic(&mut self, graph: &Graph, id: ValueId) -> usize {
        if let Some(index) = self.state.iter().position(|state| state.id == id) {
            return index;
        }
        let value = graph.param(id).map(|tensor| tensor.data().to_vec()).unwrap_or_default();
        self.state.push(State { id, name: graph.value(id).name.clone(), value });
        self.state.len() - 1
    }

    /// Takes residual sums and ReLUs into the normalizations before them.
    fn fuse(&mut self, graph: &Graph) {
        let mut index = 0;
        while index < self.stages.len() {
            if let Work::Norm(_) = self.stages[index].work {
                self.fuse_sum(graph, index);
                self.fuse_relu(graph, index);
            }
            index += 1;
        }
    }

    /// The only stage that reads a value, unless the value is an output, and its operator.
    fn reader<'g>(&self, graph: &'g Graph, id: ValueId) -> Option<(usize, &'g Node)> {
        let mut readers = graph.nodes.iter().flat_map(|n| n.inputs.iter().map(move |i| (n, *i))).filter(|r| r.1 == id);
        let (node, _) = readers.next()?;
        if readers.next().is_some() || graph.outputs.contains(&id) {
            return None;
        }
        Some((self.stages.iter().position(|stage| stage.output == node.output)?, node))
    }

    fn fuse_sum(&mut self, graph: &Graph, index: usize) {
        let output = self.stages[index].output;
        let Some((reader, node)) = self.reader(graph, output) else { return };
        let Some(&other) = node.inputs.iter().find(|id| **id != output) else { return };
        let before = graph.inputs.contains(&other) || self.stages[..index].iter().any(|stage| stage.output == other);
        if node.op == Op::Add && before && graph.shape(other) == graph.shape(output) {
            self.stages[index].inputs.push(other);
            self.stages[index].output = node.output;
            self.stages.remove(reader);
        }
    }

    fn fuse_relu(&mut self, graph: &Graph, index: usize) {
        let Some((reader, node)) = self.reader(graph, self.stages[index].output) else { return };
        if let (Op::Unary(Unary::Relu), Work::Norm(norm)) = (&node.op, &mut self.stages[index].work) {
            norm.pass.relu = true;
            self.stages[index].output = node.output;
            self.stages.remove(reader);
        }
    }

    /// Cuts the stages into phases.
    fn cut(&mut self, of_texts: bool) {
        let is_norm = |stage: &Stage| matches!(stage.work, Work::Norm(_));
        let mut ends: Vec<usize> = (0..self.stages.len()).filter(|&index| is_norm(&self.stages[index])).collect();
        ends.push(self.stages.len());
        let mut begin = 0;
        for end in ends {
            let stages = &self.stages[begin..(end + 1).min(self.stages.len())];
            let values: usize = stages.iter().map(|stage| self.places[stage.output.0 as usize].len).sum();
            let fitting = (BLOCK_VALUES / (2 * values).max(1)).clamp(1, BLOCK_ITEMS);
            let block = if of_texts { BLOCK_ITEMS } else { fitting };
            self.phases.push(Phase { begin, end, block });
            begin = end;
        }
    }

    /// Finds the values and gradients that live within one phase, which need room for the items at hand only.
    ///
    /// The result of a normalization (without residual) counts as such if nothing but its own phase reads it: the
    /// backward phase computes it again, which is cheaper than to fetch it from memory.
    fn localize(&mut self, graph: &Graph) {
        let phase_of = |stage: usize| self.phases.iter().position(|phase| (phase.begin..phase.end).contains(&stage));
        for (index, stage) in self.stages.iter().enumerate().filter(|(_, stage)| !graph.outputs.contains(&stage.output))
        {
            let phase = phase_of(index);
            let readers: Vec<usize> =
                (0..self.stages.len()).filter(|&reader| self.stages[reader].inputs.contains(&stage.output)).collect();
            let within =
                |reader: &usize| matches!(self.stages[*reader].work, Work::Layer(_)) && phase_of(*reader) == phase;
            let slot = stage.output.0 as usize;
            match stage.work {
                Work::Norm(_) => self.places[slot].local = stage.inputs.len() == 1 && readers.iter().all(within),
                Work::Layer(_) => {
                    // A normalization gives its operands their gradients in the phase that it ends.
                    let ends = |reader: &usize| phase.is_some_and(|phase| self.phases[phase].end == *reader);
                    self.grad_places[slot].local =
                        !stage.scatters && readers.iter().all(|reader| within(reader) || ends(reader));
                }
            }
        }
    }
}

//! A part of a batch with all buffers that a thread needs to run it forward and backward.

use super::buffer::Buffer;
use super::layer::{Inputs, Layer, Place, Point, Scratch};
use super::norm::Sums;
use super::schedule::{Norm, Phase, Schedule, Stage, Work};

/// Some items of the batch, with their values and gradients.
#[derive(Default)]
pub(super) struct Shard {
    /// First item in the batch.
    pub(super) first: usize,
    /// Number of items.
    pub(super) n: usize,
    /// Buffers by value.
    pub(super) values: Vec<Buffer>,
    /// Gradients by value.
    pub(super) grads: Vec<Buffer>,
    /// Gradients by parameter, summed over the items; empty if not wanted.
    pub(super) param_grads: Vec<Vec<f32>>,
    /// Of the normalization between this phase and the next.
    pub(super) sums: Sums,
    scratch: Scratch,
}

/// Items that go through a phase together.
#[derive(Clone, Copy)]
struct Block {
    first: usize,
    n: usize,
}

impl Block {
    /// Their values of one place in a buffer.
    fn of(self, buffer: &[f32], place: Place) -> &[f32] {
        &buffer[place.range(self.first, self.n)]
    }

    fn of_mut(self, buffer: &mut [f32], place: Place) -> &mut [f32] {
        &mut buffer[place.range(self.first, self.n)]
    }

    /// The computed operands of a stage.
    fn inputs<'a>(self, buffers: &'a [Buffer], stage: &'a Stage) -> Inputs<'a> {
        Inputs { buffers, places: &stage.from, first: self.first, n: self.n }
    }
}

impl Shard {
    fn blocks(&self, phase: Phase) -> impl Iterator<Item = Block> + use<> {
        let n = self.n;
        (0..n).step_by(phase.block).map(move |first| Block { first, n: phase.block.min(n - first) })
    }

    /// Runs a phase forward and counts for the normalization behind it.
    pub(super) fn forward(&mut self, schedule: &Schedule, phase: Phase) {
        let norm = schedule.stages.get(phase.end).and_then(Stage::norm);
        if let Some((norm, _)) = norm {
            self.sums.clear(norm.pass.channels);
        }
        for block in self.blocks(phase) {
            for stage in &schedule.stages[phase.begin..phase.end] {
                self.run(stage, schedule.place(stage), block);
            }
            if let Some((norm, stage)) = norm {
                norm.pass.count(block.n, block.inputs(&self.values, stage).get(0), &mut self.sums);
            }
        }
    }

    /// Computes a stage's output.
    fn run(&mut self, stage: &Stage, place: Place, block: Block) {
        let mut out = std::mem::take(&mut self.values[place.slot]);
        let y = block.of_mut(&mut out, place);
        let x = block.inputs(&self.values, stage);
        match &stage.work {
            Work::Layer(layer) => layer.forward(block.n, x, y, &mut self.scratch),
            Work::Norm(norm) => norm.pass.apply(x.get(0), x.get(1), y),
        }
        self.values[place.slot] = out;
    }

    /// Runs a phase backward and counts for the normalization that begins it.
    pub(super) fn backward(&mut self, schedule: &Schedule, phase: Phase) {
        let stages = &schedule.stages[phase.begin..phase.end];
        let behind = schedule.stages.get(phase.end).and_then(Stage::norm).filter(|(_, stage)| stage.reached);
        let before = stages.first().and_then(Stage::norm);
        if behind.is_none() && stages.iter().all(|stage| !stage.reached) {
            return;
        }
        if let Some((norm, _)) = before {
            self.sums.clear(norm.pass.channels);
        }
        for block in self.blocks(phase) {
            if let Some((norm, stage)) = behind {
                self.norm_backward(norm, stage, schedule, block);
            }
            if let Some((_, stage)) = before.filter(|(_, stage)| schedule.place(stage).local) {
                self.run(stage, schedule.place(stage), block);
            }
            for stage in stages.iter().rev().filter(|stage| stage.reached) {
                match &stage.work {
                    Work::Layer(layer) => self.layer_backward(layer.as_ref(), stage, schedule, block),
                    Work::Norm(norm) => {
                        let (place, grad_place) = (schedule.place(stage), schedule.grad_place(stage.output));
                        let y = block.of(&self.values[place.slot], place);
                        let dy = block.of(&self.grads[grad_place.slot], grad_place);
                        let x = block.inputs(&self.values, stage);
                        norm.pass.count_grad(block.n, x.get(0), y, dy, &mut self.sums);
                    }
                }
            }
        }
    }

    /// The second pass of a normalization backward.
    fn norm_backward(&mut self, norm: &Norm, stage: &Stage, schedule: &Schedule, block: Block) {
        let (place, grad_place) = (schedule.place(stage), schedule.grad_place(stage.output));
        let gradient = std::mem::take(&mut self.grads[grad_place.slot]);
        let dy = block.of(&gradient, grad_place);
        // A local result is gone, and stands in the input.
        let y = if place.local { &[] } else { block.of(&self.values[place.slot], place) };
        for (operand, (store, id)) in stage.grads.iter().zip(&stage.inputs).enumerate() {
            let Some(store) = *store else { continue };
            let to = schedule.grad_place(*id);
            let dx = block.of_mut(&mut self.grads[to.slot], to);
            if operand == 0 {
                let x = block.inputs(&self.values, stage).get(0);
                norm.pass.apply_grad(x, y, dy, dx, store);
            } else {
                norm.pass.residual_grad(y, dy, dx, store);
            }
        }
        self.grads[grad_place.slot] = gradient;
    }

    fn layer_backward(&mut self, layer: &dyn Layer, stage: &Stage, schedule: &Schedule, block: Block) {
        let (place, grad_place) = (schedule.place(stage), schedule.grad_place(stage.output));
        let gradient = std::mem::take(&mut self.grads[grad_place.slot]);
        let at = Point {
            n: block.n,
            x: block.inputs(&self.values, stage),
            y: block.of(&self.values[place.slot], place),
            dy: block.of(&gradient, grad_place),
        };
        for (operand, (store, id)) in stage.grads.iter().zip(&stage.inputs).enumerate() {
            if let Some(store) = *store {
                let to = schedule.grad_place(*id);
                let dx = block.of_mut(&mut self.grads[to.slot], to);
                layer.input_grad(operand, at, dx, store, &mut self.scratch);
            }
        }
        for (operand, param) in stage.params.iter().enumerate() {
            if let Some(grad) = param.map(|param| &mut self.param_grads[param]).filter(|grad| !grad.is_empty()) {
                layer.param_grad(operand, at, grad, &mut self.scratch);
            }
        }
        self.grads[grad_place.slot] = gradient;
    }
}

impl Stage {
    /// The normalization that this stage is, if it is one.
    fn norm(&self) -> Option<(&Norm, &Stage)> {
        match &self.work {
            Work::Norm(norm) => Some((norm, self)),
            Work::Layer(_) => None,
        }
    }
}

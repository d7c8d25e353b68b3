//! A part of a batch with all buffers that a thread needs to run it forward and backward.

use super::layer::{Inputs, Place, Point, Scratch};
use super::norm::Sums;
use super::schedule::{Norm, Phase, Stage, Work};

/// Some items of the batch, with their values and gradients.
#[derive(Default)]
pub(super) struct Shard {
    /// First item in the batch.
    pub(super) first: usize,
    /// Number of items.
    pub(super) n: usize,
    /// Buffers by value.
    pub(super) values: Vec<Vec<f32>>,
    /// Gradients by value.
    pub(super) grads: Vec<Vec<f32>>,
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
        &buffer[self.first * place.len..][..self.n * place.len]
    }

    fn of_mut(self, buffer: &mut [f32], place: Place) -> &mut [f32] {
        &mut buffer[self.first * place.len..][..self.n * place.len]
    }
}

impl Shard {
    fn blocks(&self, phase: Phase) -> impl Iterator<Item = Block> + use<> {
        let n = self.n;
        (0..n).step_by(phase.block).map(move |first| Block { first, n: phase.block.min(n - first) })
    }

    /// Runs a phase forward and counts for the normalization behind it.
    pub(super) fn forward(&mut self, stages: &[Stage], places: &[Place], phase: Phase) {
        let norm = stages.get(phase.end).and_then(Stage::norm);
        if let Some((norm, _)) = norm {
            self.sums.clear(norm.pass.channels);
        }
        for block in self.blocks(phase) {
            for stage in &stages[phase.begin..phase.end] {
                let place = places[stage.output.0 as usize];
                let mut out = std::mem::take(&mut self.values[place.slot]);
                let y = block.of_mut(&mut out, place);
                let x = Inputs { buffers: &self.values, places: &stage.from, first: block.first, n: block.n };
                match &stage.work {
                    Work::Layer(layer) => layer.forward(block.n, x, y, &mut self.scratch),
                    Work::Norm(norm) => norm.pass.apply(x.get(0), x.get(1), y),
                }
                self.values[place.slot] = out;
            }
            if let Some((norm, stage)) = norm {
                let x = Inputs { buffers: &self.values, places: &stage.from, first: block.first, n: block.n };
                norm.pass.count(block.n, x.get(0), &mut self.sums);
            }
        }
    }

    /// Runs a phase backward and counts for the normalization that begins it.
    pub(super) fn backward(&mut self, stages: &[Stage], places: &[Place], phase: Phase) {
        let first = stages[phase.begin..phase.end].first();
        if let Some((norm, _)) = first.and_then(Stage::norm) {
            self.sums.clear(norm.pass.channels);
        }
        for block in self.blocks(phase) {
            if let Some((norm, stage)) = stages.get(phase.end).and_then(Stage::norm).filter(|(_, stage)| stage.reached)
            {
                self.norm_backward(norm, stage, places, block);
            }
            for stage in stages[phase.begin..phase.end].iter().rev().filter(|stage| stage.reached) {
                match &stage.work {
                    Work::Layer(_) => self.layer_backward(stage, places, block),
                    Work::Norm(norm) => {
                        let place = places[stage.output.0 as usize];
                        let x = Inputs { buffers: &self.values, places: &stage.from, first: block.first, n: block.n };
                        let (y, dy) =
                            (block.of(&self.values[place.slot], place), block.of(&self.grads[place.slot], place));
                        norm.pass.count_grad(block.n, x.get(0), y, dy, &mut self.sums);
                    }
                }
            }
        }
    }

    /// The second pass of a normalization backward.
    fn norm_backward(&mut self, norm: &Norm, stage: &Stage, places: &[Place], block: Block) {
        let place = places[stage.output.0 as usize];
        let gradient = std::mem::take(&mut self.grads[place.slot]);
        let dy = block.of(&gradient, place);
        let y = block.of(&self.values[place.slot], place);
        for (operand, (store, from)) in stage.grads.iter().zip(&stage.from).enumerate() {
            let (Some(store), Some(from)) = (*store, *from) else { continue };
            let dx = block.of_mut(&mut self.grads[from.slot], from);
            if operand == 0 {
                norm.pass.apply_grad(block.of(&self.values[from.slot], from), y, dy, dx, store);
            } else {
                norm.pass.residual_grad(y, dy, dx, store);
            }
        }
        self.grads[place.slot] = gradient;
    }

    fn layer_backward(&mut self, stage: &Stage, places: &[Place], block: Block) {
        let Work::Layer(layer) = &stage.work else { return };
        let place = places[stage.output.0 as usize];
        let gradient = std::mem::take(&mut self.grads[place.slot]);
        let at = Point {
            n: block.n,
            x: Inputs { buffers: &self.values, places: &stage.from, first: block.first, n: block.n },
            y: block.of(&self.values[place.slot], place),
            dy: block.of(&gradient, place),
        };
        for (operand, (store, from)) in stage.grads.iter().zip(&stage.from).enumerate() {
            if let (Some(store), Some(from)) = (*store, *from) {
                let dx = block.of_mut(&mut self.grads[from.slot], from);
                layer.input_grad(operand, at, dx, store, &mut self.scratch);
            }
        }
        for (operand, param) in stage.params.iter().enumerate() {
            if let Some(grad) = param.map(|param| &mut self.param_grads[param]).filter(|grad| !grad.is_empty()) {
                layer.param_grad(operand, at, grad, &mut self.scratch);
            }
        }
        self.grads[place.slot] = gradient;
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

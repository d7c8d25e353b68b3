//! A part of a batch with all buffers that a thread needs to run it forward and backward.

use super::buffer::Buffer;
use super::layer::{Inputs, Layer, Place, Point, Scratch};
use super::norm::Sums;
use super::schedule::{Norm, Phase, Schedule, Stage, Work};
use super::tokens::{Items, Unit};

/// Some items of the batch, with their values and gradients.
#[derive(Default)]
pub(super) struct Shard {
    /// First item in the batch.
    pub(super) first: usize,
    /// Number of items.
    pub(super) n: usize,
    /// Tokens of the batch before those of its first item.
    pub(super) before: usize,
    /// Where the tokens of each item begin and those of the last end, see [`Items::tokens`].
    pub(super) tokens: Vec<usize>,
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

impl Items<'_> {
    /// Their values of one place in a buffer.
    fn of(self, buffer: &[f32], place: Place) -> &[f32] {
        &buffer[place.range(self)]
    }

    fn of_mut(self, buffer: &mut [f32], place: Place) -> &mut [f32] {
        &mut buffer[place.range(self)]
    }
}

/// The computed operands of a stage for some items.
fn inputs<'a>(buffers: &'a [Buffer], stage: &'a Stage, items: Items<'a>) -> Inputs<'a> {
    Inputs { buffers, places: &stage.from, items }
}

impl Shard {
    /// All its items.
    pub(super) fn items(&self) -> Items<'_> {
        Items { first: 0, n: self.n, tokens: &self.tokens }
    }

    /// The items that go through a phase together; `tokens` are the shard's own.
    fn blocks(n: usize, tokens: &[usize], phase: Phase) -> impl Iterator<Item = Items<'_>> {
        (0..n).step_by(phase.block).map(move |first| {
            let n = phase.block.min(n - first);
            Items { first, n, tokens: tokens.get(first..=first + n).unwrap_or_default() }
        })
    }

    /// Runs a phase forward and counts for the normalization behind it.
    pub(super) fn forward(&mut self, schedule: &Schedule, phase: Phase) {
        let norm = schedule.stages.get(phase.end).and_then(Stage::norm);
        if let Some((norm, _)) = norm {
            self.sums.clear(norm.pass.channels);
        }
        let tokens = std::mem::take(&mut self.tokens);
        for block in Shard::blocks(self.n, &tokens, phase) {
            for stage in &schedule.stages[phase.begin..phase.end] {
                self.run(schedule, stage, block);
            }
            if let Some((norm, stage)) = norm {
                norm.pass.count(block.n, inputs(&self.values, stage, block).get(0), &mut self.sums);
            }
        }
        self.tokens = tokens;
    }

    /// Computes a stage's output.
    fn run(&mut self, schedule: &Schedule, stage: &Stage, block: Items<'_>) {
        let place = schedule.place(stage);
        let mut out = std::mem::take(&mut self.values[place.slot]);
        let y = block.of_mut(&mut out, place);
        let x = inputs(&self.values, stage, block);
        match &stage.work {
            Work::Layer(layer) => layer.forward(block.count(place.unit).1, x, y, &mut self.scratch),
            Work::Norm(norm) => norm.pass.apply(x.get(0), x.get(1), y),
        }
        self.drop_some(schedule, stage, block, y);
        self.values[place.slot] = out;
    }

    /// Drops some values of a stage's output for the items at hand, or of the gradient by it, if the stage does so.
    fn drop_some(&self, schedule: &Schedule, stage: &Stage, block: Items<'_>, values: &mut [f32]) {
        if let Some(dropout) = schedule.dropout.filter(|_| stage.drops) {
            let place = schedule.place(stage);
            let before = if place.unit == Unit::Token { self.before } else { self.first };
            dropout.apply(stage, place, before + block.count(place.unit).0, values);
        }
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
        let tokens = std::mem::take(&mut self.tokens);
        for block in Shard::blocks(self.n, &tokens, phase) {
            if let Some((norm, stage)) = behind {
                self.norm_backward(norm, stage, schedule, block);
            }
            if let Some((_, stage)) = before.filter(|(_, stage)| schedule.place(stage).local) {
                self.run(schedule, stage, block);
            }
            for stage in stages.iter().rev().filter(|stage| stage.reached) {
                match &stage.work {
                    Work::Layer(layer) => self.layer_backward(layer.as_ref(), stage, schedule, block),
                    Work::Norm(norm) => {
                        let (place, grad_place) = (schedule.place(stage), schedule.grad_place(stage.output));
                        let y = block.of(&self.values[place.slot], place);
                        let dy = block.of(&self.grads[grad_place.slot], grad_place);
                        let x = inputs(&self.values, stage, block);
                        norm.pass.count_grad(block.n, x.get(0), y, dy, &mut self.sums);
                    }
                }
            }
        }
        self.tokens = tokens;
    }

    /// The second pass of a normalization backward.
    fn norm_backward(&mut self, norm: &Norm, stage: &Stage, schedule: &Schedule, block: Items<'_>) {
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
                let x = inputs(&self.values, stage, block).get(0);
                norm.pass.apply_grad(x, y, dy, dx, store);
            } else {
                norm.pass.residual_grad(y, dy, dx, store);
            }
        }
        self.grads[grad_place.slot] = gradient;
    }

    fn layer_backward(&mut self, layer: &dyn Layer, stage: &Stage, schedule: &Schedule, block: Items<'_>) {
        let (place, grad_place) = (schedule.place(stage), schedule.grad_place(stage.output));
        let mut gradient = std::mem::take(&mut self.grads[grad_place.slot]);
        self.drop_some(schedule, stage, block, block.of_mut(&mut gradient, grad_place));
        let at = Point {
            n: block.count(place.unit).1,
            x: inputs(&self.values, stage, block),
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
        let params = if stage.scatters { &[] } else { &stage.params[..] };
        for (operand, param) in params.iter().enumerate() {
            if let Some(grad) = param.map(|param| &mut self.param_grads[param]).filter(|grad| !grad.is_empty()) {
                layer.param_grad(operand, at, grad, &mut self.scratch);
            }
        }
        self.grads[grad_place.slot] = gradient;
    }
}

impl Shard {
    /// Adds what all items of a stage that [scatters](Stage::scatters) give a parameter to its gradient.
    pub(super) fn scatter(&self, schedule: &Schedule, stage: &Stage, param: usize, grad: &mut [f32]) {
        let Work::Layer(layer) = &stage.work else { return };
        let (place, grad_place) = (schedule.place(stage), schedule.grad_place(stage.output));
        let items = self.items();
        let at = Point {
            n: items.count(place.unit).1,
            x: inputs(&self.values, stage, items),
            y: items.of(&self.values[place.slot], place),
            dy: items.of(&self.grads[grad_place.slot], grad_place),
        };
        for (operand, _) in stage.params.iter().enumerate().filter(|(_, own)| **own == Some(param)) {
            layer.param_grad(operand, at, grad, &mut Scratch::default());
        }
    }

    /// Marks the rows that [`Shard::scatter`] adds to.
    pub(super) fn touches(&self, stage: &Stage, param: usize, touched: &mut [bool]) {
        let Work::Layer(layer) = &stage.work else { return };
        for (operand, _) in stage.params.iter().enumerate().filter(|(_, own)| **own == Some(param)) {
            layer.touches(operand, inputs(&self.values, stage, self.items()), &mut |row| touched[row] = true);
        }
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

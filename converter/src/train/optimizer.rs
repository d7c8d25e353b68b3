//! How gradients change weights: SGD with momentum, and AdamW.

use super::exec::{Param, ParamKind};
use super::settings::OptimizerSettings;

/// Keeps Adam's division away from zero.
const ADAM_EPS: f32 = 1e-8;

/// A rule with its memory: one or two running means for each parameter.
pub(super) struct Optimizer {
    rule: OptimizerSettings,
    weight_decay: f32,
    /// By running mean, then by parameter.
    pub(super) memory: Vec<Vec<Vec<f32>>>,
}

impl Optimizer {
    pub(super) fn new(rule: OptimizerSettings, weight_decay: f32, params: &[Param]) -> Self {
        let means = match rule {
            OptimizerSettings::Sgd { .. } => 1,
            OptimizerSettings::AdamW { .. } => 2,
        };
        let zeros: Vec<Vec<f32>> = params.iter().map(|p| vec![0.0; p.value.len()]).collect();
        Optimizer { rule, weight_decay, memory: vec![zeros; means] }
    }

    /// Takes step number `step` (counted from 0) against the gradients.
    pub(super) fn update(&mut self, params: &mut [Param], rate: f32, step: usize) {
        for (i, param) in params.iter_mut().enumerate().filter(|(_, p)| p.trainable) {
            let decay = if param.kind == ParamKind::Weight { self.weight_decay } else { 0.0 };
            let values = param.value.iter_mut().zip(&param.grad);
            match (self.rule, &mut self.memory[..]) {
                (OptimizerSettings::Sgd { momentum, nesterov }, [velocities, ..]) => {
                    for ((w, g), v) in values.zip(&mut velocities[i]) {
                        let g = g + decay * *w;
                        *v = momentum * *v + g;
                        *w -= rate * if nesterov { g + momentum * *v } else { *v };
                    }
                }
                (OptimizerSettings::AdamW { beta1, beta2 }, [means, squares, ..]) => {
                    let correct = |beta: f32| 1.0 - f64::from(beta).powf(step as f64 + 1.0);
                    let (c1, c2) = (correct(beta1) as f32, correct(beta2) as f32);
                    for (((w, g), m), s) in values.zip(&mut means[i]).zip(&mut squares[i]) {
                        *m = beta1 * *m + (1.0 - beta1) * g;
                        *s = beta2 * *s + (1.0 - beta2) * g * g;
                        *w -= rate * (decay * *w + (*m / c1) / ((*s / c2).sqrt() + ADAM_EPS));
                    }
                }
                // `new` made as many running means as the rule has.
                _ => {}
            }
        }
    }
}

/// Scales all gradients down together so that their length is at most `longest`.
pub(super) fn clip(params: &mut [Param], longest: f32) {
    let trained = || params.iter().filter(|p| p.trainable).flat_map(|p| &p.grad);
    let length = trained().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>().sqrt();
    if length > f64::from(longest) {
        let scale = (f64::from(longest) / length) as f32;
        for grad in params.iter_mut().flat_map(|p| &mut p.grad) {
            *grad *= scale;
        }
    }
}

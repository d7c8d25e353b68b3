//! How gradients change weights: SGD with momentum, and AdamW.

use super::exec::{Param, ParamKind};
use super::freeze::Pace;
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

    /// Takes step number `step` (counted from 0) against the gradients, each parameter at its own pace.
    pub(super) fn update(&mut self, params: &mut [Param], paces: &[Pace], rate: f32, step: usize) {
        for (i, (param, pace)) in params.iter_mut().zip(paces).enumerate().filter(|(_, (p, _))| p.trainable) {
            let rate = rate * pace.share;
            // Running means begin when a parameter begins to move.
            let step = step - pace.from.unwrap_or(0).min(step);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ValueId;

    const AT_ONCE: Pace = Pace { share: 1.0, from: Some(0) };

    /// A weight and a bias, both 2.0, each with its gradients over two steps.
    fn run(rule: OptimizerSettings, grads: [[f32; 2]; 2]) -> [f32; 2] {
        let mut params = [ParamKind::Weight, ParamKind::Bias].map(|kind| Param {
            id: ValueId(0),
            name: String::new(),
            value: vec![2.0],
            grad: vec![0.0],
            kind,
            trainable: true,
        });
        let mut optimizer = Optimizer::new(rule, 0.1, &params);
        for (step, grads) in grads.into_iter().enumerate() {
            params.iter_mut().zip(grads).for_each(|(param, grad)| param.grad = vec![grad]);
            optimizer.update(&mut params, &[AT_ONCE; 2], 0.5, step);
        }
        params.map(|param| param.value[0])
    }

    #[track_caller]
    fn close(got: [f32; 2], expected: [f32; 2]) {
        assert!(got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{got:?}, expected {expected:?}");
    }

    #[test]
    fn steps_are_those_worked_out_by_hand() {
        let grads = [[1.0, 1.0], [-1.0, 0.5]];
        // Weight: g = 1 + 0.1 * 2 = 1.2, w = 2 - 0.5 * 1.2 = 1.4; g = -1 + 0.14 = -0.86, v = 0.9 * 1.2 - 0.86 = 0.22.
        close(run(OptimizerSettings::Sgd { momentum: 0.9, nesterov: false }, grads), [1.29, 0.8]);
        // The first step is g + 0.9 v = 1.9 g: w = 2 - 0.5 * 2.28 = 0.86; g = -0.914, v = 0.166, step -0.7646.
        close(run(OptimizerSettings::Sgd { momentum: 0.9, nesterov: true }, grads), [1.2423, 0.17]);
        // The first step is the sign of the gradient; the weight also loses 0.5 * 0.1 of itself. Of equal opposite
        // gradients the second mean is (0.9 * 0.1 - 0.1) / 0.19 and the mean square is 1.
        let adam = OptimizerSettings::AdamW { beta1: 0.9, beta2: 0.999 };
        close(run(adam, [[1.0, 1.0], [-1.0, -1.0]]), [1.4 - 0.07 + 0.026_316, 1.5 + 0.026_316]);
    }

    #[test]
    fn frozen_parameters_stay_and_long_gradients_are_cut() {
        let param = |grad, trainable| Param {
            id: ValueId(0),
            name: String::new(),
            value: vec![1.0],
            grad: vec![grad],
            kind: ParamKind::Weight,
            trainable,
        };
        let mut params = [param(3.0, true), param(4.0, true), param(100.0, false)];
        clip(&mut params, 10.0);
        assert_eq!([params[0].grad[0], params[1].grad[0]], [3.0, 4.0]);
        clip(&mut params, 1.0);
        assert!((params[0].grad[0] - 0.6).abs() < 1e-6 && (params[1].grad[0] - 0.8).abs() < 1e-6);
        let rule = OptimizerSettings::Sgd { momentum: 0.0, nesterov: false };
        Optimizer::new(rule, 0.0, &params).update(&mut params, &[AT_ONCE; 3], 1.0, 0);
        assert!((params[0].value[0] - 0.4).abs() < 1e-6 && params[2].value[0] == 1.0);
    }
}

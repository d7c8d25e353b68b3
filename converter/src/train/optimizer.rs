//! How gradients change weights: SGD with momentum, and AdamW.

use super::exec::{Param, ParamKind, Rows, Threads};
use super::freeze::Pace;
use super::settings::OptimizerSettings;
use pulp::{Arch, Simd, WithSimd};

/// Keeps Adam's division away from zero.
const ADAM_EPS: f32 = 1e-8;
/// Values of a job: enough that starting one costs nothing, few enough that the threads end together.
const JOB: usize = 64 << 10;

/// A rule with its memory: one or two running means for each parameter.
pub(super) struct Optimizer {
    rule: OptimizerSettings,
    weight_decay: f32,
    /// By running mean, then by parameter.
    pub(super) memory: Vec<Vec<Vec<f32>>>,
    /// Of a table that is only looked up, the rows whose memory is not all zeros, by parameter; empty until the first step.
    /// Of the others nothing but the decay of weights is left to do.
    awake: Vec<Option<Vec<bool>>>,
}

/// Some values of a parameter, their gradients and running means.
struct Job<'a> {
    values: &'a mut [f32],
    grads: &'a [f32],
    memory: [&'a mut [f32]; 2],
    /// Whether each row is [awake](Optimizer::awake); empty if all values are.
    awake: &'a [bool],
    how: How,
}

/// What is done with all values of a parameter.
#[derive(Clone, Copy)]
struct How {
    rule: OptimizerSettings,
    rate: f32,
    decay: f32,
    /// What gradients are multiplied by.
    scale: f32,
    /// How far the two running means have come from zero.
    come: [f32; 2],
}

impl Optimizer {
    pub(super) fn new(rule: OptimizerSettings, weight_decay: f32, params: &[Param]) -> Self {
        let means = match rule {
            OptimizerSettings::Sgd { .. } => 1,
            OptimizerSettings::AdamW { .. } => 2,
        };
        let zeros: Vec<Vec<f32>> = params.iter().map(|p| vec![0.0; p.value.len()]).collect();
        Optimizer { rule, weight_decay, memory: vec![zeros; means], awake: Vec::new() }
    }

    /// Takes step number `step` (counted from 0) against the gradients times `scale`, each parameter at its own pace.
    pub(super) fn update(
        &mut self,
        (params, threads): (&mut [Param], &Threads),
        paces: &[Pace],
        (rate, scale): (f32, f32),
        step: usize,
    ) {
        self.wake(params);
        let (first, second) = self.memory.split_at_mut(1);
        let mut first = first.iter_mut().flatten();
        let mut second = second.iter_mut().flatten();
        let mut jobs = Vec::new();
        for ((param, pace), awake) in params.iter_mut().zip(paces).zip(&self.awake) {
            let mut memory = [first.next(), second.next()].map(|mean| mean.map_or(&mut [][..], |mean| &mut mean[..]));
            if !param.trainable {
                continue;
            }
            // Running means begin when a parameter begins to move.
            let step = step - pace.from.unwrap_or(0).min(step);
            let correct = |beta: f32| (1.0 - f64::from(beta).powf(step as f64 + 1.0)) as f32;
            let come = match self.rule {
                OptimizerSettings::Sgd { .. } => [1.0; 2],
                OptimizerSettings::AdamW { beta1, beta2 } => [correct(beta1), correct(beta2)],
            };
            let decay = if param.kind == ParamKind::Weight { self.weight_decay } else { 0.0 };
            let how = How { rule: self.rule, rate: rate * pace.share, decay, scale, come };
            let width = param.rows.as_ref().map_or(1, |rows| rows.width.max(1));
            let mut awake = awake.as_deref().unwrap_or_default();
            let (mut values, mut grads) = (&mut param.value[..], &param.grad[..]);
            while !values.is_empty() {
                let count = (JOB / width).max(1);
                let len = (count * width).min(values.len());
                let (own, rest) = values.split_at_mut(len);
                values = rest;
                let (grad, rest) = grads.split_at(len);
                grads = rest;
                let own_memory =
                    memory.each_mut().map(|mean| mean.split_off_mut(..len.min(mean.len())).unwrap_or_default());
                let (of_job, rest) = awake.split_at(count.min(awake.len()));
                awake = rest;
                jobs.push(Job { values: own, grads: grad, memory: own_memory, awake: of_job, how });
            }
        }
        threads.each(&mut jobs, |job| Arch::new().dispatch(job));
    }

    /// Marks the rows that this step looks up as awake.
    fn wake(&mut self, params: &[Param]) {
        if self.awake.is_empty() {
            // A memory that comes from a checkpoint shows which rows were looked up before.
            let adam = matches!(self.rule, OptimizerSettings::AdamW { .. });
            let awake = |(index, param): (usize, &Param)| {
                // The momentum of SGD takes the decay in, and so never sleeps.
                let rows = param.rows.as_ref().filter(|_| adam)?;
                let any = |memory: &Vec<Vec<f32>>, row: usize| {
                    memory[index][row * rows.width..][..rows.width].iter().any(|value| *value != 0.0)
                };
                let count = param.value.len() / rows.width.max(1);
                Some((0..count).map(|row| self.memory.iter().any(|memory| any(memory, row))).collect())
            };
            self.awake = params.iter().enumerate().map(awake).collect();
        }
        for (param, awake) in params.iter().zip(&mut self.awake) {
            if let (Some(Rows { numbers, .. }), Some(awake)) = (&param.rows, awake) {
                numbers.iter().for_each(|&row| awake[row as usize] = true);
            }
        }
    }
}

impl WithSimd for &mut Job<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Job { values, grads, memory: [first, second], awake, how } = self;
        if awake.is_empty() {
            return how.step(values, grads, first, second);
        }
        let width = values.len() / awake.len();
        for (row, awake) in awake.iter().enumerate() {
            let at = row * width..(row + 1) * width;
            if *awake {
                how.step(&mut values[at.clone()], &grads[at.clone()], &mut first[at.clone()], &mut second[at]);
            } else if how.decay != 0.0 {
                values[at].iter_mut().for_each(|w| *w -= how.rate * (how.decay * *w));
            }
        }
    }
}

impl How {
    #[inline(always)]
    fn step(self, values: &mut [f32], grads: &[f32], first: &mut [f32], second: &mut [f32]) {
        let How { rule, rate, decay, scale, come } = self;
        match rule {
            OptimizerSettings::Sgd { momentum, nesterov } => {
                for ((w, g), v) in values.iter_mut().zip(grads).zip(first) {
                    let g = scale * g + decay * *w;
                    *v = momentum * *v + g;
                    *w -= rate * if nesterov { g + momentum * *v } else { *v };
                }
            }
            OptimizerSettings::AdamW { beta1, beta2 } => {
                let [c1, c2] = come;
                for (((w, g), m), s) in values.iter_mut().zip(grads).zip(first).zip(second) {
                    let g = scale * g;
                    *m = beta1 * *m + (1.0 - beta1) * g;
                    *s = beta2 * *s + (1.0 - beta2) * g * g;
                    *w -= rate * (decay * *w + (*m / c1) / ((*s / c2).sqrt() + ADAM_EPS));
                }
            }
        }
    }
}

/// What all gradients together are to be multiplied by so that they are at most `longest`.
pub(super) fn clip(params: &[Param], longest: f32, threads: &Threads) -> f32 {
    let mut jobs: Vec<(&[f32], f64)> = Vec::new();
    for param in params.iter().filter(|param| param.trainable) {
        match &param.rows {
            Some(Rows { width, numbers }) => {
                jobs.extend(numbers.iter().map(|&row| (&param.grad[row as usize * width..][..*width], 0.0)));
            }
            None => jobs.extend(param.grad.chunks(JOB).map(|grads| (grads, 0.0))),
        }
    }
    threads.each(&mut jobs, |(grads, sum)| *sum = Arch::new().dispatch(Squares(grads)));
    let length = jobs.iter().map(|(_, sum)| sum).sum::<f64>().sqrt();
    if length > f64::from(longest) { (f64::from(longest) / length) as f32 } else { 1.0 }
}

/// The sum of squares, in an order that depends on no vector length.
struct Squares<'a>(&'a [f32]);

impl WithSimd for Squares<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let mut sums = [0.0f64; 16];
        let (chunks, rest) = self.0.as_chunks::<16>();
        for chunk in chunks {
            for (sum, value) in sums.iter_mut().zip(chunk) {
                *sum += f64::from(*value) * f64::from(*value);
            }
        }
        for (sum, value) in sums.iter_mut().zip(rest) {
            *sum += f64::from(*value) * f64::from(*value);
        }
        sums.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ValueId;

    const AT_ONCE: Pace = Pace { share: 1.0, from: Some(0) };

    fn param(kind: ParamKind, value: &[f32], grad: &[f32]) -> Param {
        let (value, grad) = (value.to_vec(), grad.to_vec());
        Param { id: ValueId(0), name: String::new(), value, grad, kind, trainable: true, rows: None }
    }

    fn one() -> Threads {
        Threads::new(1).unwrap()
    }

    /// A weight and a bias, both 2.0, each with its gradients over two steps.
    fn run(rule: OptimizerSettings, grads: [[f32; 2]; 2]) -> [f32; 2] {
        let mut params = [ParamKind::Weight, ParamKind::Bias].map(|kind| param(kind, &[2.0], &[0.0]));
        let mut optimizer = Optimizer::new(rule, 0.1, &params);
        for (step, grads) in grads.into_iter().enumerate() {
            params.iter_mut().zip(grads).for_each(|(param, grad)| param.grad = vec![grad]);
            optimizer.update((&mut params, &one()), &[AT_ONCE; 2], (0.5, 1.0), step);
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
        let mut params = [3.0, 4.0, 100.0].map(|grad| param(ParamKind::Weight, &[1.0], &[grad]));
        params[2].trainable = false;
        assert_eq!(clip(&params, 10.0, &one()), 1.0);
        let scale = clip(&params, 1.0, &one());
        assert!((scale - 0.2).abs() < 1e-6, "{scale}");
        let rule = OptimizerSettings::Sgd { momentum: 0.0, nesterov: false };
        Optimizer::new(rule, 0.0, &params).update((&mut params, &one()), &[AT_ONCE; 3], (1.0, scale), 0);
        assert!((params[0].value[0] - 0.4).abs() < 1e-6 && params[2].value[0] == 1.0);
    }

    #[test]
    fn rows_that_sleep_move_as_if_they_did_not() {
        let (rows, width) = (JOB / 2 + 5, 3);
        let value: Vec<f32> = (0..rows * width).map(|i| (i % 17) as f32 - 8.0).collect();
        for rule in [
            OptimizerSettings::AdamW { beta1: 0.9, beta2: 0.99 },
            OptimizerSettings::Sgd { momentum: 0.9, nesterov: true },
        ] {
            let mut dense = [param(ParamKind::Weight, &value, &[])];
            let mut sparse = dense.clone();
            let mut optimizers = [Optimizer::new(rule, 0.1, &dense), Optimizer::new(rule, 0.1, &dense)];
            for step in 0..4u32 {
                let numbers = vec![step, 2 * step + 7, rows as u32 - 1 - step];
                let mut grad = vec![0.0; value.len()];
                for &row in &numbers {
                    grad[row as usize * width..][..width].fill(row as f32 * 1e-3 - 1.0);
                }
                dense[0].grad = grad.clone();
                (sparse[0].grad, sparse[0].rows) = (grad, Some(Rows { width, numbers }));
                if step == 2 {
                    // As if read from a checkpoint.
                    optimizers[1].awake.clear();
                }
                let scale = clip(&sparse, 0.5, &one());
                assert!((scale / clip(&dense, 0.5, &one()) - 1.0).abs() < 1e-6);
                let threads = Threads::new(2).unwrap();
                optimizers[0].update((&mut dense, &one()), &[AT_ONCE], (0.1, scale), step as usize);
                optimizers[1].update((&mut sparse, &threads), &[AT_ONCE], (0.1, scale), step as usize);
                assert_eq!(dense[0].value, sparse[0].value, "{rule:?}, step {step}");
            }
        }
    }
}

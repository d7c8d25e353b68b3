//! Tests of whole trainings, on a network and a task so small that each takes milliseconds.

use super::*;
use crate::data::{Augment, Dataset, Normalize};
use crate::graph::{Dim, Graph, Op, Tensor, Unary, Window};
use crate::watch::{Stage, Unwatched, Watch};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Vertical and horizontal stripes of random phase, 8x8, one channel: no linear function tells them apart.
pub(crate) fn stripes(images: usize) -> Dataset {
    let mut pixels = Vec::new();
    let labels: Vec<u32> = (0..images as u32).map(|i| i % 2).collect();
    for (i, &label) in labels.iter().enumerate() {
        for at in 0..64 {
            let along = if label == 0 { at % 8 } else { at / 8 };
            let noise = (i * 31 + at * 17 + i * at) % 23;
            pixels.push(if (along + i / 2) % 4 < 2 { 60 + noise as u8 } else { 170 + noise as u8 });
        }
    }
    Dataset { shape: [8, 8, 1], pixels, labels, classes: vec!["down".into(), "across".into()] }
}

/// Convolution, normalization, ReLU, mean, linear.
pub(crate) fn network() -> Graph {
    let mut g = Graph::new("small");
    let wave = |n: usize, scale: f32| (0..n).map(|i| ((i * 37 % 19) as f32 - 9.0) * scale).collect::<Vec<f32>>();
    let x = g.input("image", [1, 8, 8, 1]);
    let kernel = g.add_param("conv.weight", Tensor::new([4, 3, 3, 1], wave(36, 0.05)));
    let [gamma, beta, mean, variance] = [("gamma", 1.0), ("beta", 0.0), ("mean", 0.0), ("variance", 1.0)]
        .map(|(name, value)| g.add_param(name, Tensor::full([4], value)));
    let weight = g.add_param("linear.weight", Tensor::new([2, 4], wave(8, 0.04)));
    let bias = g.add_param("linear.bias", Tensor::zeros([2]));
    let conv = Op::Conv2d { window: Window::square(3, 1, 1), groups: 1 };
    let x = g.add("conv", conv, &[x, kernel]).unwrap();
    let x = g.add("bn", Op::BatchNorm { eps: 1e-5 }, &[x, gamma, beta, mean, variance]).unwrap();
    let x = g.add("relu", Op::Unary(Unary::Relu), &[x]).unwrap();
    let x = g.add("pool", Op::GlobalAvgPool, &[x]).unwrap();
    let x = g.add("flat", Op::Reshape(vec![Dim::Same(0), Dim::Rest]), &[x]).unwrap();
    let x = g.add("linear", Op::Linear, &[x, weight, bias]).unwrap();
    g.outputs = vec![x];
    g
}

fn settings() -> TrainSettings {
    TrainSettings {
        epochs: 6,
        batch: 12,
        warmup: 0.5,
        ema: 0.9,
        augment: Augment { shift: 1, flip: true, cutout: 2, ..Augment::NONE },
        ..TrainSettings::default()
    }
}

/// Stops after so many steps.
pub(crate) struct StopAfter {
    left: AtomicU64,
    stop: AtomicBool,
}

impl StopAfter {
    pub(crate) fn new(steps: u64) -> Self {
        StopAfter { left: AtomicU64::new(steps), stop: AtomicBool::new(false) }
    }
}

impl Watch for StopAfter {
    fn begin(&self, _: Stage, _: &str) {}
    fn step(&self, _: u64, _: u64, _: &str) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
    fn end(&self, _: Stage, _: &str, _: bool) {}
    fn stop(&self) -> &AtomicBool {
        &self.stop
    }
}

fn train(settings: &TrainSettings, control: &Control<'_>) -> Result<Trained, TrainError> {
    let (data, normalize) = (stripes(130), Normalize::student());
    let split = crate::data::split(&data, 20, 1).unwrap();
    let examples = Images::new(&data, &split.train, &normalize, settings.augment, settings.seed);
    let valid = Images::plain(&data, &split.valid, &normalize);
    fit(&network(), &examples, Some(&valid), &Loss::default(), settings, control)
}

fn kept_at<'a>(path: &Path, watch: &'a dyn Watch) -> Control<'a> {
    Control { checkpoint: Some(path.to_owned()), ..Control::new(1, watch) }
}

#[test]
fn a_small_task_is_learned() {
    for optimizer in [
        OptimizerSettings::Sgd { momentum: 0.9, nesterov: true },
        OptimizerSettings::AdamW { beta1: 0.9, beta2: 0.999 },
    ] {
        let rate = if matches!(optimizer, OptimizerSettings::Sgd { .. }) { 0.1 } else { 0.02 };
        let settings = TrainSettings { epochs: 15, learning_rate: rate, optimizer, ..settings() };
        let trained = train(&settings, &Control::new(1, &Unwatched::default())).unwrap();
        let (first, last) = (trained.history[0], trained.history[14]);
        assert!(last.loss < 0.5 * first.loss, "{optimizer:?}: {first:?} {last:?}");
        assert_eq!(last.valid_accuracy, Some(1.0), "{optimizer:?}: {:?}", trained.history);
    }
}

#[test]
fn a_training_that_is_stopped_and_resumed_ends_as_if_it_was_not() {
    let whole = train(&settings(), &Control::new(1, &Unwatched::default())).unwrap();
    let folder = tempfile::tempdir().unwrap();
    // 110 examples are 9 steps of an epoch: within the first, at the end of one, and within a later one.
    for steps in [4, 9, 24] {
        let path = folder.path().join(format!("after{steps}"));
        let stop = StopAfter::new(steps);
        let error = train(&settings(), &kept_at(&path, &stop)).unwrap_err();
        assert!(matches!(&error, TrainError::Interrupted { saved: Some(at), .. } if *at == path), "{error}");
        let resumed = train(&settings(), &kept_at(&path, &Unwatched::default())).unwrap();
        assert_eq!((&resumed.graph, &resumed.history), (&whole.graph, &whole.history), "stopped after {steps}");
        let again = train(&settings(), &kept_at(&path, &Unwatched::default())).unwrap();
        assert_eq!(again.graph, whole.graph, "a finished training is not repeated");
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let of = |threads| train(&settings(), &Control::new(threads, &Unwatched::default())).unwrap();
    let one = of(1);
    for threads in [2, 16] {
        let other = of(threads);
        assert_eq!((&other.graph, &other.history), (&one.graph, &one.history), "{threads} threads");
    }
}

#[test]
fn a_seed_changes_everything() {
    let of = |seed| train(&TrainSettings { seed, ..settings() }, &Control::new(1, &Unwatched::default())).unwrap();
    assert_ne!(of(1).graph, of(2).graph);
}

#[test]
fn a_checkpoint_of_another_training_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    let stop = StopAfter::new(3);
    train(&settings(), &kept_at(&path, &stop)).unwrap_err();
    let error = train(&TrainSettings { weight_decay: 0.1, ..settings() }, &kept_at(&path, &Unwatched::default()));
    assert!(matches!(error, Err(TrainError::Checkpoint(CheckpointError::Other { .. }))), "{error:?}");
}

#[test]
fn divergence_is_told_and_the_last_good_state_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    let wild = TrainSettings { learning_rate: 1e30, warmup: 0.0, weight_decay: 10.0, ..settings() };
    let watch = Unwatched::default();
    let control = Control { every: Duration::ZERO, ..kept_at(&path, &watch) };
    let error = train(&wild, &control).unwrap_err();
    let TrainError::Diverged { epoch: 1, step, last_good, .. } = &error else { panic!("{error:?}") };
    assert!(*step < 9 && error.to_string().contains("learning rate"), "{error}");
    assert_eq!(last_good.as_deref(), path.exists().then_some(path.as_path()));
}

#[test]
fn clipped_gradients_and_the_other_schedules_learn_too() {
    for schedule in [Schedule::Constant, Schedule::OneCycle] {
        let settings = TrainSettings { epochs: 15, clip_norm: Some(1.0), schedule, ema: 0.0, ..settings() };
        let trained = train(&settings, &Control::new(1, &Unwatched::default())).unwrap();
        assert!(trained.history[14].valid_accuracy > Some(0.9), "{schedule:?}: {:?}", trained.history);
    }
}

#[test]
fn nothing_to_learn_from_is_an_error() {
    let (data, normalize) = (stripes(4), Normalize::student());
    let examples = Images::plain(&data, &[], &normalize);
    let watch = Unwatched::default();
    let result = fit(&network(), &examples, None, &Loss::default(), &settings(), &Control::new(1, &watch));
    assert!(matches!(result, Err(TrainError::NoExamples)));
    let impossible = TrainSettings { epochs: 0, ..settings() };
    let result = train(&impossible, &Control::new(1, &watch));
    assert!(matches!(result, Err(TrainError::Settings(problem)) if problem.contains("epochs")));
}

#[test]
fn evaluation_counts_and_predicts() {
    let (data, normalize) = (stripes(10), Normalize::student());
    let all: Vec<usize> = (0..10).collect();
    let examples = Images::plain(&data, &all, &normalize);
    let logits = predict(&network(), &examples, 1).unwrap();
    let right = (0..10).filter(|&i| usize::from(logits[2 * i + 1] > logits[2 * i]) == i % 2).count();
    let evaluation = evaluate(&network(), &examples, 1).unwrap();
    assert_eq!((evaluation.n, evaluation.correct), (10, right));
    assert!((evaluation.accuracy() - right as f64 / 10.0).abs() < 1e-12);
}

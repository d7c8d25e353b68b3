//! Networks that round as their int8 graphs do: number by number, and after they have learned what that does.

use super::calibrate::run_float;
use super::int8::Int8;
use super::simulate::Simulation;
use super::testing::{ROOM, encoder, everything, texts};
use super::*;
use crate::data::Normalize;
use crate::families::distilbert::named;
use crate::graph::{Op, Tensor, Unary};
use crate::train::tests::{StopAfter, network, stripes};
use crate::train::{
    self, Answers, Control, Examples, Images, Loss, OptimizerSettings, TextExamples, TrainError, TrainSettings,
};
use crate::watch::{Unwatched, Watch};

/// The outputs of an int8 graph for all samples, as reals.
fn said(int8: &QuantGraph, samples: &Samples) -> Vec<f32> {
    let output = int8.outputs[0];
    let tensor = int8.tensor(output);
    let look = |_, id, bytes: &[i8]| (id == output).then(|| tensor.reals(bytes).collect::<Vec<f32>>());
    Int8::new(int8).unwrap().run(samples, 0..samples.len(), look).unwrap().concat().concat()
}

/// The same of a float graph.
fn simulated(graph: &Graph, samples: &Samples) -> Vec<f32> {
    let mut all = Vec::new();
    run_float(graph, samples, &[graph.outputs[0]], |_, tensors| {
        all.extend_from_slice(tensors[0].data());
        Ok(())
    })
    .unwrap();
    all
}

fn classes(logits: &[f32], classes: usize) -> Vec<usize> {
    let largest = |row: &[f32]| (0..classes).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    logits.chunks_exact(classes).map(largest).collect()
}

#[test]
fn a_simulation_rounds_as_the_contract_does() {
    let images = (1..4).map(everything).map(|(graph, samples)| (graph, samples, 0.97));
    let nets = ["distilbert-l2-h32-a4", "distilbert-l1-h32-a2-e16"];
    let texts = nets.map(|name| (encoder(name, |_| ()), Samples::of_texts(&texts(48), ROOM).unwrap(), 0.5));
    for (graph, samples, share) in images.chain(texts) {
        let settings = QuantSettings::default();
        let samples = samples.thin(settings.samples);
        let mut search = Search::new(&graph, &samples, &settings).unwrap();
        search.run().unwrap();
        let simulation = Simulation::new(&search.best).unwrap();
        let (int8, _) = search.result().unwrap();
        let (found, expected) = (simulated(&simulation.rounded(), &samples), said(&int8, &samples));
        assert_eq!(found.len(), expected.len());
        let step = int8.tensor(int8.outputs[0]).affine.scale;
        let apart = |(a, b): (&f32, &f32)| ((a - b) / step).abs();
        let steps: Vec<f32> = found.iter().zip(&expected).map(apart).collect();
        let equal = steps.iter().filter(|steps| **steps < 0.01).count() as f32 / steps.len() as f32;
        let worst = steps.iter().copied().fold(0.0, f32::max);
        assert!(equal > share && worst < 3.5, "{}: {equal} are equal, {worst} steps apart at most", graph.name);
    }
}

#[test]
fn rounding_lets_gradients_through() {
    let grid = Unary::Round { scale: 0.5, least: -4.0, most: 3.0, counts: 0.25 };
    let rows = [(0.2, 0.0), (0.25, 0.25), (-0.25, 0.0), (1.3, 0.75), (9.0, 0.75), (-9.0, -1.0)];
    for (x, expected) in rows {
        assert_eq!(grid.apply(x), expected, "{x}");
    }
    let mut graph = Graph::new("g");
    let x = graph.input("x", [1, 1]);
    let weight = graph.add_param("weight", Tensor::full([1, 1], 1.0));
    let scaled = graph.add("scaled", Op::Linear, &[x, weight]).unwrap();
    graph.outputs = vec![graph.add("rounded", Op::Unary(grid), &[scaled]).unwrap()];
    let mut training = train::exec::Trainable::new(&graph, 1).unwrap();
    // Beyond half a step behind the last number the gradient ends.
    for (x, expected) in [(0.3, 0.3), (1.7, 1.7), (1.8, 0.0), (-2.2, -2.2), (-2.3, 0.0)] {
        training.step(&[x], 1, |_, grad| grad.fill(1.0)).unwrap();
        assert_eq!(training.params()[0].grad, [expected], "{x}");
    }
}

/// A little training.
fn learning(learning_rate: f32, epochs: usize) -> TrainSettings {
    let optimizer = OptimizerSettings::AdamW { beta1: 0.9, beta2: 0.999 };
    TrainSettings {
        optimizer,
        epochs,
        batch: 10,
        learning_rate,
        warmup: 0.5,
        weight_decay: 0.0,
        ema: 0.0,
        ..TrainSettings::default()
    }
}

/// A way of quantizing that leaves a part of all values out.
fn clipping() -> QuantSettings {
    QuantSettings {
        calibrators: vec![Calibrator::Percentile],
        percentile: 80.0,
        equalize: false,
        bias_correction: false,
        stream: Stream::Int16,
        ..QuantSettings::default()
    }
}

#[test]
fn images_are_told_apart_in_int8_as_in_float_after_training() {
    let (data, normalize, watch) = (stripes(130), Normalize::student(), Unwatched::default());
    let all: Vec<usize> = (0..data.len()).collect();
    let examples = Images::plain(&data, &all, &normalize);
    let float = train::fit(&network(), &examples, None, &Loss::default(), &learning(0.02, 6), &Control::new(1, &watch));
    learns(&float.unwrap().graph, &examples, &Samples::of_images(&data, &normalize).unwrap());
}

#[test]
fn texts_are_told_apart_in_int8_as_in_float_after_training() {
    let (data, watch) = (super::text_tests::order(240), Unwatched::default());
    let all: Vec<usize> = (0..data.len()).collect();
    let examples = TextExamples::new(&data, &all, Answers::default());
    let net = named("distilbert-l1-h16-a2-f32", 10, 9, 2).unwrap().build("net", Some(1)).unwrap();
    let float = train::fit(&net, &examples, None, &Loss::default(), &learning(5e-3, 12), &Control::new(1, &watch));
    learns(&float.unwrap().graph, &examples, &Samples::of_texts(&data, 9).unwrap());
}

/// Demands that a training brings int8 closer to the floats, that its simulation decides as the runtime does on every sample, and
/// that an interruption changes nothing.
fn learns(float: &Graph, examples: &dyn Examples, samples: &Samples) {
    let (settings, train, folder) = (clipping(), learning(2e-3, 8), tempfile::tempdir().unwrap());
    let run = |watch: &dyn Watch, checkpoint: bool| {
        let checkpoint = checkpoint.then(|| folder.path().join("checkpoint"));
        let control = Control { checkpoint, ..Control::new(2, watch) };
        let lessons = Lessons { examples, settings: &train, temperature: 2.0, control: &control };
        learn_rounding(float, samples, &settings, &lessons)
    };
    let learned = run(&Unwatched::default(), false).unwrap();
    let (first, last) = (learned.history[0].loss, learned.history.last().unwrap().loss);
    assert!(last < 0.8 * first, "{first} to {last}");
    assert_eq!(learned.report.trials.last().map(|trial| trial.snr_db), Some(learned.report.snr_db));

    let count = float.shape(float.outputs[0])[1];
    let wanted = classes(&simulated(float, samples), count);
    let agree = |found: &[usize]| wanted.iter().zip(found).filter(|(a, b)| a == b).count();
    let before = classes(&said(&quantize(float, samples, &settings).unwrap().0, samples), count);
    let after = classes(&said(&learned.int8, samples), count);
    assert!(
        agree(&after) >= agree(&before) && agree(&after) * 100 >= 97 * wanted.len(),
        "{:?}",
        [wanted.len(), agree(&before), agree(&after)]
    );
    assert_eq!(classes(&simulated(&learned.simulated, samples), count), after);

    assert!(matches!(run(&StopAfter::new(9), true), Err(AwareError::Train(TrainError::Interrupted { .. }))));
    assert_eq!(run(&Unwatched::default(), true).unwrap().int8, learned.int8);
}

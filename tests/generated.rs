//! The built-in task is a real one: what looks at single pixels fails, what looks at outlines succeeds.

use limbeck::data::{Augment, Dataset, Normalize, Part, generate};
use limbeck::families::{Task, build};
use limbeck::graph::{Dim, Graph, Op, Tensor};
use limbeck::train::{Control, Images, Loss, TrainSettings, evaluate, fit};
use limbeck::watch::Unwatched;

/// Logistic regression.
fn linear(image: [usize; 3], classes: usize) -> Graph {
    let mut graph = Graph::new("linear");
    let [height, width, channels] = image;
    let image = graph.input("image", [1, height, width, channels]);
    let weight = graph.add_param("weight", Tensor::zeros([classes, height * width * channels]));
    let bias = graph.add_param("bias", Tensor::zeros([classes]));
    let flat = graph.add("flatten", Op::Reshape(vec![Dim::Same(0), Dim::Rest]), &[image]).unwrap();
    let logits = graph.add("linear", Op::Linear, &[flat, weight, bias]).unwrap();
    graph.outputs = vec![logits];
    graph
}

fn accuracy(graph: &Graph, train: &Dataset, test: &Dataset, settings: &TrainSettings) -> f64 {
    let (normalize, watch) = (Normalize::student(), Unwatched::default());
    let control = Control::new(2, &watch);
    let all = |data: &Dataset| (0..data.len()).collect::<Vec<_>>();
    let (learned, judged) = (all(train), all(test));
    let examples = Images::new(train, &learned, &normalize, settings.augment, settings.seed);
    let trained = fit(graph, &examples, None, &Loss::default(), settings, &control).unwrap();
    evaluate(&trained.graph, &Images::plain(test, &judged, &normalize), 2).unwrap().accuracy()
}

#[test]
fn a_linear_classifier_fails_where_a_small_resnet_succeeds() {
    let (train, test) = (generate(1600, Part::Train, 1), generate(400, Part::Test, 1));
    let task = Task::of_images(train.shape, train.classes.len());
    let settings = TrainSettings {
        batch: 32,
        warmup: 0.5,
        ema: 0.95,
        augment: Augment { shift: 2, ..Augment::default() },
        ..TrainSettings::default()
    };
    // The best that was found for it: more steps or larger ones only fit noise.
    let slow = TrainSettings { epochs: 15, learning_rate: 0.002, ..settings.clone() };
    let linear = accuracy(&linear(train.shape, train.classes.len()), &train, &test, &slow);
    let quick = TrainSettings { epochs: 7, ..settings };
    let resnet = accuracy(&build("resnet8-8", &task, 1).unwrap(), &train, &test, &quick);
    assert!(linear < 0.35 && resnet > 0.8, "linear {linear}, resnet {resnet}");
}

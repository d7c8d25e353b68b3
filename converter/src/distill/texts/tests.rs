//! Tests of encoders that learn from labels, answers and vectors, on a task of milliseconds.

use super::*;
use crate::families::distilbert::{DistilBert, Head, inherit, named};
use crate::graph::Pick;
use crate::train::tests::StopAfter;
use crate::train::{Distance, Freeze, OptimizerSettings, evaluate};
use crate::watch::{Unwatched, Watch};

/// Texts of different lengths; the class is which of tokens 3 and 4 comes first.
pub(in crate::distill) fn order(texts: usize) -> Tokenized {
    let (mut ids, mut begins, mut labels) = (Vec::new(), vec![0], Vec::new());
    for text in 0..texts {
        let label = text % 2;
        let filler = |n: usize| (0..n).map(move |i| 5 + ((text * 7 + i * 5 + text / 3) % 5) as u16);
        ids.push(1);
        ids.extend(filler(text % 3));
        ids.push(3 + label as u16);
        ids.extend(filler(text / 2 % 3));
        ids.push(4 - label as u16);
        ids.push(2);
        begins.push(ids.len());
        labels.push(label as u32);
    }
    Tokenized { ids, begins, labels, classes: vec!["34".into(), "43".into()], truncated: 0 }
}

pub(in crate::distill) fn network(layers: usize, seed: u64) -> Graph {
    named(&format!("distilbert-l{layers}-h16-a2-f32"), 10, 9, 2).unwrap().build("net", Some(seed)).unwrap()
}

pub(in crate::distill) fn settings() -> TrainSettings {
    TrainSettings {
        epochs: 12,
        batch: 16,
        optimizer: OptimizerSettings::AdamW { beta1: 0.9, beta2: 0.999 },
        learning_rate: 5e-3,
        warmup: 0.5,
        weight_decay: 0.01,
        ema: 0.0,
        clip_norm: Some(1.0),
        hold_out: 40,
        ..TrainSettings::default()
    }
}

fn teach(student: &Graph, data: &Tokenized, labels: Option<&Labels>, settings: &TrainSettings) -> Graph {
    let watch = Unwatched::default();
    let how = DistillSettings { temperature: 2.0, weight: 1.0, ..DistillSettings::default() };
    let taught = Taught { logits: labels, vectors: None };
    teach_texts(student, data, taught, settings, &how, &Control::new(1, &watch)).unwrap().graph
}

fn accuracy(graph: &Graph, data: &Tokenized) -> f64 {
    let all: Vec<usize> = (0..data.len()).collect();
    evaluate(graph, &TextExamples::new(data, &all, Answers::default()), 1).unwrap().accuracy()
}

#[test]
fn an_encoder_learns_order_and_a_student_learns_it_from_the_answers() {
    let (data, folder, watch) = (order(240), tempfile::tempdir().unwrap(), Unwatched::default());
    let teacher = teach(&network(2, 1), &data, None, &settings());
    assert!(accuracy(&teacher, &data) > 0.97, "{}", accuracy(&teacher, &data));
    let control = Control::new(1, &watch);
    let labels = label_texts(&teacher, &data, Precision::F32, folder.path(), &control).unwrap();
    assert_eq!(label_texts(&teacher, &data, Precision::F32, folder.path(), &control).unwrap(), labels);
    let mut student = network(1, 2);
    assert_eq!(inherit(&mut student, &teacher, None).unwrap().layers, [0]);
    let mut hidden = data.clone();
    hidden.labels.iter_mut().enumerate().filter(|(i, _)| i % 10 < 4).for_each(|(_, label)| *label = 1 - *label);
    let student = teach(&student, &hidden, Some(&labels), &settings());
    assert!(accuracy(&student, &data) > 0.97, "{}", accuracy(&student, &data));
    let error = label_texts(&student, &data, Precision::F32, folder.path(), &control).unwrap_err();
    assert!(matches!(error, LabelError::Other { .. }), "{error}");
}

#[test]
fn vectors_are_learned_by_students_of_another_width() {
    let (data, folder, watch) = (order(80), tempfile::tempdir().unwrap(), Unwatched::default());
    let control = Control::new(1, &watch);
    let teacher = DistilBert {
        head: Head::Embed { pick: Pick::Mean, normalize: true },
        ..named("distilbert-l1-h12-a2", 10, 9, 2).unwrap()
    };
    let teacher = teacher.build("teacher", Some(5)).unwrap();
    let vectors = label_texts(&teacher, &data, Precision::F32, folder.path(), &control).unwrap();
    assert_eq!(vectors.classes, 12);
    let run = |hidden: f32, distance| {
        let how = DistillSettings { hidden, distance, ..DistillSettings::default() };
        let taught = Taught { logits: None, vectors: Some(&vectors) };
        let settings = TrainSettings { epochs: 4, hold_out: 0, ..settings() };
        let trained = teach_texts(&network(1, 2), &data, taught, &settings, &how, &control).unwrap();
        assert_eq!(trained.graph.outputs.len(), 1);
        assert_eq!(trained.graph.param_count(), network(1, 2).param_count());
        trained
    };
    let without = run(0.0, Distance::Cosine);
    for distance in [Distance::Cosine, Distance::Mse] {
        let with = run(10.0, distance);
        assert_ne!(with.graph, without.graph);
        let (first, last) = (with.history[0].loss, with.history[3].loss);
        assert!(last < 0.8 * first, "{distance:?}: {first} to {last}");
    }
}

#[test]
fn frozen_parts_stay_and_upper_layers_begin() {
    let data = order(64);
    let before = network(2, 1);
    let moved = |after: &Graph, name: &str| {
        let data = |graph: &Graph| graph.param(graph.find(name).unwrap()).unwrap().data().to_vec();
        data(&before) != data(after)
    };
    let plain = TrainSettings { epochs: 1, hold_out: 0, ..settings() };
    let freeze = Freeze::Parts(["embeddings".to_owned(), "transformer".to_owned()].to_vec());
    let after = teach(&before, &data, None, &TrainSettings { freeze, ..plain.clone() });
    assert!(moved(&after, "classifier.weight") && !moved(&after, "transformer.layer.1.ffn.lin2.weight"));
    assert!(!moved(&after, "embeddings.word_embeddings.weight"));
    let after = teach(&before, &data, None, &TrainSettings { unfreeze: 0.5, ..plain });
    assert!(moved(&after, "transformer.layer.1.ffn.lin2.weight"));
    assert!(!moved(&after, "transformer.layer.0.ffn.lin2.weight"));
}

#[test]
fn an_interrupted_training_ends_with_the_same_network() {
    let (data, folder) = (order(100), tempfile::tempdir().unwrap());
    let settings = TrainSettings { epochs: 3, unfreeze: 0.7, layer_decay: 0.8, ema: 0.9, ..settings() };
    let (student, how) = (network(2, 1), DistillSettings::default());
    let run = |watch: &dyn Watch, threads: usize, checkpoint: bool| {
        let checkpoint = checkpoint.then(|| folder.path().join("checkpoint"));
        let control = Control { checkpoint, ..Control::new(threads, watch) };
        teach_texts(&student, &data, Taught::default(), &settings, &how, &control)
    };
    let whole = run(&Unwatched::default(), 2, false).unwrap();
    assert!(matches!(run(&StopAfter::new(5), 1, true), Err(TrainError::Interrupted { .. })));
    let resumed = run(&Unwatched::default(), 1, true).unwrap();
    assert!(resumed.graph == whole.graph && resumed.history == whole.history);
}

#[test]
fn misfits_are_told() {
    let (data, watch) = (order(20), Unwatched::default());
    let other = named("distilbert-l1-h16-a2", 10, 9, 5).unwrap().build("other", Some(1)).unwrap();
    let control = Control::new(1, &watch);
    let how = DistillSettings::default();
    let error = teach_texts(&other, &data, Taught::default(), &settings(), &how, &control).unwrap_err();
    assert!(error.to_string().contains("2 classes"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let labels = label_texts(&other, &data, Precision::F16, folder.path(), &control).unwrap();
    let taught = Taught { logits: Some(&labels), vectors: None };
    assert!(teach_texts(&network(1, 1), &data, taught, &settings(), &how, &control).is_err());
    let how = DistillSettings { hidden: -1.0, ..how };
    let error = teach_texts(&network(1, 1), &data, taught, &settings(), &how, &control).unwrap_err();
    assert!(error.to_string().contains("`hidden`"), "{error}");
}

#[test]
fn each_epoch_draws_a_view_with_its_own_answer() {
    let (data, folder, watch) = (order(40), tempfile::tempdir().unwrap(), Unwatched::default());
    let control = Control::new(1, &watch);
    let other = |by: u16| {
        let mut view = data.clone();
        view.ids.iter_mut().filter(|id| **id >= 5).for_each(|id| *id = 5 + (*id + by) % 5);
        view
    };
    let views = [data.clone(), other(1), other(2)];
    let teacher = network(2, 1);
    let labels = label_views(&teacher, &views, Precision::F32, folder.path(), &control).unwrap();
    assert_eq!(label_views(&teacher, &views, Precision::F32, folder.path(), &control).unwrap(), labels);
    // The first view alone has the same answers, from the same files.
    let first = label_texts(&teacher, &data, Precision::F32, folder.path(), &control).unwrap();
    assert_eq!((&first.logits[..], first.of != labels.of), (labels.view(0), true));
    let indices = [7, 3];
    let examples = |view: usize| {
        let answers = Answers { logits: Some(labels.view(view)), vectors: None };
        TextExamples::new(&views[view], &indices, answers)
    };
    let drawn = Views { views: (0..3).map(examples).collect(), seed: 1 };
    let mut seen = std::collections::BTreeSet::new();
    for epoch in 0..40 {
        let (mut input, mut expected) = ([0.0; 9], [0.0; 9]);
        let target = drawn.draw(epoch, 0, &mut input);
        let view = (0..3).find(|&view| Some(labels.get(view, 7)) == target.teacher).unwrap();
        assert_eq!(examples(view).draw(0, 0, &mut expected), target);
        assert_eq!(input, expected);
        seen.insert(view);
    }
    assert_eq!(seen.len(), 3);
    let error = label_views(&teacher, &[data.clone(), order(41)], Precision::F32, folder.path(), &control).unwrap_err();
    assert!(matches!(error, LabelError::Settings(problem) if problem.contains("view")));
}

#[test]
fn views_teach_more_than_the_texts_alone() {
    // In the texts a word that means nothing goes with the class; in their views it does not.
    let (all, watch) = (order(240), Unwatched::default());
    let control = Control::new(1, &watch);
    let teacher = teach(&network(2, 1), &all, None, &settings());
    let view = |view: usize| {
        let mut data = order(60);
        for text in 0..data.len() {
            let (label, at) = (data.labels[text], data.begins[text]..data.begins[text + 1]);
            let filler = if view == 0 { label as u16 } else { ((text * 7 + view * 3) % 5) as u16 };
            data.ids[at].iter_mut().filter(|id| **id >= 5).for_each(|id| *id = 5 + filler);
        }
        data
    };
    let views: Vec<Tokenized> = (0..8).map(view).collect();
    let how = DistillSettings { temperature: 2.0, weight: 1.0, ..DistillSettings::default() };
    let settings = TrainSettings { epochs: 25, batch: 8, hold_out: 0, ..settings() };
    let accuracy_with = |count: usize| {
        let folder = tempfile::tempdir().unwrap();
        let labels = label_views(&teacher, &views[..count], Precision::F32, folder.path(), &control).unwrap();
        let taught = Taught { logits: Some(&labels), vectors: None };
        let student = teach_views(&network(1, 2), &views[..count], taught, &settings, &how, &control).unwrap();
        accuracy(&student.graph, &all)
    };
    let (alone, with) = (accuracy_with(1), accuracy_with(8));
    assert!(with > alone + 0.05 && with > 0.9, "{alone} alone, {with} with views");
    let folder = tempfile::tempdir().unwrap();
    let labels = label_views(&teacher, &views[..2], Precision::F32, folder.path(), &control).unwrap();
    let taught = Taught { logits: Some(&labels), vectors: None };
    let error = teach_views(&network(1, 2), &views[..3], taught, &settings, &how, &control).unwrap_err();
    assert!(error.to_string().contains("3 views of 60 texts"), "{error}");
}

#[test]
fn dropout_is_repeated_by_a_training_that_goes_on() {
    let (data, folder) = (order(60), tempfile::tempdir().unwrap());
    let settings = TrainSettings { epochs: 2, dropout: 0.1, hold_out: 0, ..settings() };
    let run = |watch: &dyn Watch, threads: usize, checkpoint: bool| {
        let checkpoint = checkpoint.then(|| folder.path().join("checkpoint"));
        let control = Control { checkpoint, ..Control::new(threads, watch) };
        teach_texts(&network(2, 1), &data, Taught::default(), &settings, &DistillSettings::default(), &control)
    };
    let whole = run(&Unwatched::default(), 2, false).unwrap();
    assert!(matches!(run(&StopAfter::new(3), 1, true), Err(TrainError::Interrupted { .. })));
    assert!(run(&Unwatched::default(), 1, true).unwrap().graph == whole.graph);
    let plain = TrainSettings { dropout: 0.0, ..settings.clone() };
    let watch = Unwatched::default();
    let control = Control::new(1, &watch);
    let without = teach_texts(&network(2, 1), &data, Taught::default(), &plain, &DistillSettings::default(), &control);
    assert!(without.unwrap().graph != whole.graph);
}

#[test]
fn a_student_is_drawn_to_a_teacher_beside_it() {
    let (data, watch) = (order(80), Unwatched::default());
    let control = Control::new(2, &watch);
    let teacher = teach(&network(2, 1), &data, None, &TrainSettings { hold_out: 0, ..settings() });
    // Of another width and other heads, with a vocabulary of its own: token i is the teacher's token 10 - i.
    let student = named("distilbert-l1-h12-a4-f24", 10, 9, 2).unwrap().build("student", Some(2)).unwrap();
    let words: Vec<u16> = (0..10).rev().collect();
    let own = Tokenized { ids: data.ids.iter().map(|id| 9 - id).collect(), ..data.clone() };
    let run = |student: &Graph, data: &Tokenized, how: &DistillSettings, words: Option<&[u16]>| {
        let beside = Beside { teacher: &teacher, words };
        let settings = TrainSettings { epochs: 6, hold_out: 16, ..settings() };
        teach_beside(student, std::slice::from_ref(data), Taught::default(), beside, &settings, how, &control)
    };
    let none = DistillSettings::default();
    let without = run(&student, &own, &none, Some(&words)).unwrap();
    for how in [
        DistillSettings { states: 10.0, ..none },
        DistillSettings { states: 10.0, distance: Distance::Mse, ..none },
        DistillSettings { attention: 10.0, ..none },
    ] {
        let with = run(&student, &own, &how, Some(&words)).unwrap();
        let (first, last) = (with.history[0].loss, with.history[5].loss);
        assert!(last < 0.9 * first, "{how:?}: {first} to {last}");
        assert_eq!((&with.graph.nodes, with.graph.param_count()), (&without.graph.nodes, student.param_count()));
        assert_ne!(with.graph, without.graph);
        assert_eq!(run(&student, &own, &how, Some(&words)).unwrap().graph, with.graph);
    }
    // A student that is its teacher has nothing to learn from it.
    let how = DistillSettings { states: 1.0, attention: 1.0, ..none };
    let mut graph = teacher.clone();
    let guide = Guide::new(&mut graph, Beside { teacher: &teacher, words: None }, &how, 1, 1).unwrap();
    let mut training = crate::train::exec::Trainable::new(&graph, 1).unwrap();
    let mut input = [-1.0; 18];
    input[..5].copy_from_slice(&[1.0, 3.0, 4.0, 5.0, 2.0]);
    input[9..12].copy_from_slice(&[1.0, 6.0, 2.0]);
    let mut guide = guide.unwrap();
    let judged = training.step_all(&input, 2, |outputs, grads| guide.judge(&input, outputs, grads)).unwrap().unwrap();
    assert!(judged.abs() < 1e-4, "{judged}");
}

#[test]
fn gradients_of_a_teacher_beside_are_those_of_the_distance() {
    let teacher = network(2, 1);
    let student = named("distilbert-l1-h12-a2-f24", 10, 9, 2).unwrap().build("student", Some(2)).unwrap();
    for distance in [Distance::Cosine, Distance::Mse] {
        let how = DistillSettings { states: 0.7, attention: 0.4, distance, ..DistillSettings::default() };
        let mut graph = student.clone();
        let beside = Beside { teacher: &teacher, words: None };
        let mut guide = Guide::new(&mut graph, beside, &how, 1, 1).unwrap().unwrap();
        let mut input = [-1.0; 18];
        input[..6].copy_from_slice(&[1.0, 3.0, 4.0, 5.0, 8.0, 2.0]);
        input[9..12].copy_from_slice(&[1.0, 6.0, 2.0]);
        let mut training = crate::train::exec::Trainable::new(&graph, 1).unwrap();
        let mut step = |training: &mut crate::train::exec::Trainable| {
            training.step_all(&input, 2, |outputs, grads| guide.judge(&input, outputs, grads)).unwrap().unwrap() / 2.0
        };
        step(&mut training);
        let grads: Vec<Vec<f32>> = training.params().iter().map(|param| param.grad.clone()).collect();
        for (index, grad) in grads.iter().enumerate() {
            let value = training.params()[index].value.clone();
            let sign = |i: usize| if (i * 7 + i / 3).is_multiple_of(2) { 1.0 } else { -1.0 };
            let mut moved = |by: f32| {
                let moved = value.iter().enumerate().map(|(i, v)| v + by * sign(i)).collect();
                training.params_mut()[index].value = moved;
                let judged = step(&mut training);
                training.params_mut()[index].value = value.clone();
                judged
            };
            let slope = (moved(2e-3) - moved(-2e-3)) / 4e-3;
            let product: f64 = grad.iter().enumerate().map(|(i, g)| f64::from(g * sign(i))).sum();
            let scale: f64 = grad.iter().map(|g| f64::from(g.abs())).sum();
            let name = &training.params()[index].name;
            assert!((slope - product).abs() < 2e-2 * scale + 1e-3, "{distance:?}, {name}: {slope} and {product}");
        }
    }
}

#[test]
fn teachers_that_read_something_else_are_refused() {
    let (data, watch) = (order(80), Unwatched::default());
    let control = Control::new(1, &watch);
    let how = DistillSettings { states: 1.0, ..DistillSettings::default() };
    let small = named("distilbert-l1-h16-a2", 7, 9, 2).unwrap().build("small", Some(1)).unwrap();
    let short = named("distilbert-l1-h16-a2", 10, 5, 2).unwrap().build("short", Some(1)).unwrap();
    let (whole, few, beyond) = (network(1, 3), [0u16; 3], [10u16; 10]);
    let rows: [(&Graph, Option<&[u16]>, &str); 4] = [
        (&small, None, "10 and 7 tokens"),
        (&short, None, "texts of 9 and 5"),
        (&whole, Some(&few), "says which tokens"),
        (&whole, Some(&beyond), "says which tokens"),
    ];
    for (teacher, words, problem) in rows {
        let (beside, views) = (Beside { teacher, words }, std::slice::from_ref(&data));
        let result = teach_beside(&network(1, 1), views, Taught::default(), beside, &settings(), &how, &control);
        let error = result.unwrap_err().to_string();
        assert!(error.contains(problem), "{error}");
    }
    let beside = Beside { teacher: &network(1, 3), words: None };
    let result = teach_beside(&network(2, 1), &[data], Taught::default(), beside, &settings(), &how, &control);
    assert!(result.unwrap_err().to_string().contains("2 layers that can be drawn to the 1"));
}

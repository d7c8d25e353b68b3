//! Tests of asking teachers and learning from them, on a task of milliseconds.

use super::*;
use crate::data::{Augment, Dataset};
use crate::families::Task;
use crate::graph::{Source, Tensor};
use crate::teacher::Teacher;
use crate::train::tests::{StopAfter, network, stripes};
use crate::train::{Examples, evaluate};
use crate::watch::{Unwatched, Watch};
use std::path::Path;
use std::sync::Arc;

const AUGMENT: Augment = Augment { flip: true, shift: 1, ..Augment::NONE };

/// A network with a linear layer `factor` times as steep.
fn teacher(factor: f32) -> Teacher {
    let mut graph = network();
    let id = graph.find("linear.weight").unwrap();
    let scaled: Vec<f32> = graph.param(id).unwrap().data().iter().map(|w| w * factor).collect();
    graph.value_mut(id).source = Source::Param(Arc::new(Tensor::new([2, 4], scaled)));
    Teacher { graph, reader: Normalize::student().into() }
}

fn ask(
    teachers: &[Teacher],
    data: &Dataset,
    settings: &LabelSettings,
    folder: &Path,
    watch: &dyn Watch,
) -> Result<Labels, LabelError> {
    label(teachers, data, &AUGMENT, settings, folder, &Control::new(1, watch))
}

fn exact(views: usize) -> LabelSettings {
    LabelSettings { views, precision: Precision::F32, ..LabelSettings::default() }
}

#[test]
fn answers_are_those_to_the_views_and_come_back_from_disk() {
    let (data, folder, watch) = (stripes(30), tempfile::tempdir().unwrap(), Unwatched::default());
    let teachers = [teacher(3.0)];
    let labels = ask(&teachers, &data, &exact(3), folder.path(), &watch).unwrap();
    let plain = crate::train::predict(
        &teachers[0].graph,
        &Images::plain(&data, &(0..30).collect::<Vec<_>>(), &Normalize::student()),
        1,
    );
    assert_eq!(labels.logits[..60], plain.unwrap()[..]);
    assert!((0..30).any(|image| labels.get(0, image) != labels.get(2, image)));
    assert_eq!(ask(&teachers, &data, &exact(3), folder.path(), &watch).unwrap(), labels);
    // More views only add files; fewer use some of them.
    let more = ask(&teachers, &data, &exact(5), folder.path(), &watch).unwrap();
    assert_eq!((&more.logits[..180], more.views), (&labels.logits[..], 5));
}

#[test]
fn halves_are_read_as_they_were_written() {
    let (data, folder, watch) = (stripes(30), tempfile::tempdir().unwrap(), Unwatched::default());
    let settings = LabelSettings { views: 2, ..LabelSettings::default() };
    let fresh = ask(&[teacher(1.0)], &data, &settings, folder.path(), &watch).unwrap();
    assert_eq!(ask(&[teacher(1.0)], &data, &settings, folder.path(), &watch).unwrap(), fresh);
    let whole = ask(&[teacher(1.0)], &data, &exact(2), tempfile::tempdir().unwrap().path(), &watch).unwrap();
    assert!(fresh.logits.iter().zip(&whole.logits).all(|(a, b)| (a - b).abs() <= 1e-3 * b.abs().max(0.1)));
}

#[test]
fn teachers_are_averaged() {
    let (data, watch) = (stripes(20), Unwatched::default());
    let of = |teachers: &[Teacher], ensemble| {
        let settings = LabelSettings { ensemble, ..exact(1) };
        ask(teachers, &data, &settings, tempfile::tempdir().unwrap().path(), &watch).unwrap().logits
    };
    let (one, three) = (of(&[teacher(1.0)], Ensemble::Logits), of(&[teacher(3.0)], Ensemble::Logits));
    let both = of(&[teacher(1.0), teacher(3.0)], Ensemble::Logits);
    let mixed = of(&[teacher(1.0), teacher(3.0)], Ensemble::Probabilities);
    let share = |logits: &[f32]| 1.0 / (1.0 + (logits[1] - logits[0]).exp());
    for i in (0..both.len()).step_by(2) {
        assert!((both[i] - (one[i] + three[i]) / 2.0).abs() < 1e-6);
        let expected = (share(&one[i..i + 2]) + share(&three[i..i + 2])) / 2.0;
        assert!((mixed[i].exp() - expected).abs() < 1e-6 && (mixed[i].exp() + mixed[i + 1].exp() - 1.0).abs() < 1e-6);
    }
}

#[test]
fn other_questions_need_another_folder() {
    let (data, folder, watch) = (stripes(10), tempfile::tempdir().unwrap(), Unwatched::default());
    ask(&[teacher(1.0)], &data, &exact(1), folder.path(), &watch).unwrap();
    for (teachers, data) in [([teacher(2.0)], stripes(10)), ([teacher(1.0)], stripes(12))] {
        let error = ask(&teachers, &data, &exact(1), folder.path(), &watch).unwrap_err();
        assert!(matches!(error, LabelError::Other { .. }), "{error}");
    }
    let file = folder.path().join("view000-0000000.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
    let error = ask(&[teacher(1.0)], &data, &exact(1), folder.path(), &watch).unwrap_err();
    assert!(error.to_string().contains("view000") && error.to_string().contains("damaged"), "{error}");
}

#[test]
fn nonsense_is_told_and_not_stored() {
    let (data, folder, watch) = (stripes(10), tempfile::tempdir().unwrap(), Unwatched::default());
    let error = ask(&[teacher(f32::INFINITY)], &data, &exact(1), folder.path(), &watch).unwrap_err();
    assert!(matches!(error, LabelError::NotFinite { view: 0, .. }), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn an_interruption_keeps_what_is_stored() {
    let (data, folder) = (stripes(10), tempfile::tempdir().unwrap());
    let teachers = [teacher(1.0)];
    let error = ask(&teachers, &data, &exact(4), folder.path(), &StopAfter::new(3)).unwrap_err();
    let LabelError::Interrupted { done, total: 40 } = error else { panic!("{error}") };
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), done / 10);
    assert!((10..40).contains(&done), "{done}");
    let resumed = ask(&teachers, &data, &exact(4), folder.path(), &Unwatched::default()).unwrap();
    let whole = ask(&teachers, &data, &exact(4), tempfile::tempdir().unwrap().path(), &Unwatched::default()).unwrap();
    assert_eq!(resumed, whole);
}

#[test]
fn each_epoch_draws_a_view_with_its_own_answer() {
    let (data, folder, watch) = (stripes(10), tempfile::tempdir().unwrap(), Unwatched::default());
    let settings = TrainSettings { augment: AUGMENT, ..TrainSettings::default() };
    let labels = ask(&[teacher(1.0)], &data, &exact(4), folder.path(), &watch).unwrap();
    let indices = [7, 3];
    let examples = Labelled::new(&data, &indices, &labels, (&Normalize::student(), None), &settings);
    let table = Normalize::student().table(1);
    let mut seen = std::collections::BTreeSet::new();
    for epoch in 0..40 {
        let (mut input, mut pixels, mut expected) = ([0.0; 64], [0; 64], [0.0; 64]);
        let target = examples.draw(epoch, 0, &mut input);
        let view = (0..4).find(|&view| Some(labels.get(view, 7)) == target.teacher).unwrap();
        AUGMENT.view(view, 7, 10).apply(data.image(7), &mut pixels, data.shape, AUGMENT.fill);
        table.apply(&pixels, &mut expected);
        // Views that happen to look alike have the same answer.
        assert_eq!(input, expected);
        assert_eq!(target.label, data.labels[7]);
        seen.insert(view);
    }
    assert!(seen.len() >= 3, "{seen:?}");
}

#[test]
fn answers_of_several_teachers_become_one() {
    let labels =
        |logits: &[f32]| Labels { of: format!("{logits:?}"), views: 1, images: 2, classes: 2, logits: logits.to_vec() };
    let (a, b) = (labels(&[1.0, 0.0, 4.0, 2.0]), labels(&[3.0, 2.0, 0.0, 0.0]));
    assert_eq!(Labels::together(std::slice::from_ref(&a), Ensemble::Probabilities), Some(a.clone()));
    let both = Labels::together(&[a.clone(), b.clone()], Ensemble::Logits).unwrap();
    assert_eq!(both.logits, [2.0, 1.0, 2.0, 1.0]);
    let likely = Labels::together(&[a.clone(), b.clone()], Ensemble::Probabilities).unwrap();
    let sum: f32 = likely.logits[..2].iter().map(|logit| logit.exp()).sum();
    assert!((sum - 1.0).abs() < 1e-6 && likely.of != both.of && both.of != a.of, "{likely:?}");
    assert_eq!(Labels::together(&[a, Labels { images: 1, classes: 4, ..b }], Ensemble::Logits), None);
    assert_eq!(Labels::together(&[], Ensemble::Logits), None);
}

#[test]
fn a_student_learns_what_its_teacher_knows_and_the_labels_hide() {
    let (data, folder, watch) = (stripes(120), tempfile::tempdir().unwrap(), Unwatched::default());
    let settings = TrainSettings {
        epochs: 12,
        batch: 12,
        warmup: 0.5,
        ema: 0.9,
        hold_out: 20,
        augment: AUGMENT,
        ..TrainSettings::default()
    };
    let control = Control::new(1, &watch);
    let all: Vec<usize> = (0..120).collect();
    let normalize = Normalize::student();
    let examples = Images::new(&data, &all, &normalize, AUGMENT, 1);
    let taught = train::fit(&network(), &examples, None, &Loss::default(), &settings, &control).unwrap();
    let teacher =
        Teacher { graph: taught.graph, reader: normalize.into() }.check(&Task::of_images([8, 8, 1], 2)).unwrap();
    let labels = ask(&[teacher], &data, &exact(4), folder.path(), &watch).unwrap();
    let mut wrong = data.clone();
    wrong.labels.iter_mut().enumerate().filter(|(i, _)| i % 10 < 4).for_each(|(_, label)| *label = 1 - *label);
    let how = DistillSettings { temperature: 2.0, weight: 1.0, ..DistillSettings::default() };
    let student = distill(&network(), &wrong, &labels, &settings, &how, &control).unwrap();
    let result = evaluate(&student.graph, &Images::plain(&data, &all, &Normalize::student()), 1).unwrap();
    assert!(result.accuracy() > 0.95, "{result:?}");
    let error = distill(&network(), &data, &labels, &settings, &DistillSettings { weight: 1.5, ..how }, &control);
    assert!(matches!(error, Err(TrainError::Settings(problem)) if problem.contains("weight")));
    let error = distill(&network(), &stripes(40), &labels, &settings, &how, &control);
    assert!(matches!(error, Err(TrainError::Settings(problem)) if problem.contains("120 images")));
}

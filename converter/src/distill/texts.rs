//! Teachers of texts: asked once about every text, and students that learn from the stored answers.

use super::error::LabelError;
use super::labels::{Labels, Shard};
use super::settings::{DistillSettings, Precision};
use crate::artifact::{ArtifactError, Doing};
use crate::data::random::{Purpose, stream};
use crate::data::text::Tokenized;
use crate::data::{self, hex};
use crate::graph::{Graph, Op, Tensor};
use crate::train::exec::ExecError;
use crate::train::{self, Answers, Control, Loss, TextExamples, TrainError, TrainSettings, Trained};
use rand::RngExt;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Texts of a file of answers: what an interruption can cost at most.
const SHARD: usize = 2000;

/// What a student learns from beside the labels, for every text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Taught<'a> {
    /// The teacher's logits.
    pub logits: Option<&'a Labels>,
    /// The teacher's vectors, such as a [sentence encoder](crate::families::distilbert::Head::Embed) makes.
    pub vectors: Option<&'a Labels>,
}

/// The logits or vectors that `teacher` makes of every text, from the files in `folder` as far as they are there.
///
/// `data` are the texts as the teacher's own tokenizer cuts them, which need not be the student's.
///
/// # Errors
/// If the teacher cannot be executed or answers nonsense, a file cannot be read or written, `folder` holds answers to something
/// else, or the work is interrupted; what was stored then serves the next time.
pub fn label_texts(
    teacher: &Graph,
    data: &Tokenized,
    precision: Precision,
    folder: &Path,
    control: &Control<'_>,
) -> Result<Labels, LabelError> {
    let (total, classes) = (data.len(), outputs(teacher).unwrap_or(0));
    if classes == 0 {
        return Err(LabelError::Settings("the teacher makes nothing of a text"));
    }
    let of = hash(teacher, data, precision);
    std::fs::create_dir_all(folder).map_err(|e| ArtifactError::new(folder, Doing::Write, e))?;
    let mut logits = Vec::with_capacity(total * classes);
    for first in (0..total).step_by(SHARD) {
        let count = SHARD.min(total - first);
        let shard = Shard { folder, of: &of, view: 0, first, count, classes, precision };
        let rows = match shard.read()? {
            Some(rows) => rows,
            None => {
                let indices: Vec<usize> = (first..first + count).collect();
                let mut rows = Vec::with_capacity(count * classes);
                train::for_batches(
                    teacher,
                    &TextExamples::new(data, &indices, Answers::default()),
                    control.threads,
                    |answers, _| {
                        rows.extend_from_slice(answers);
                        control.watch.step((first + rows.len() / classes) as u64, total as u64, "texts");
                        !control.watch.stopped()
                    },
                )?;
                if rows.len() < count * classes {
                    return Err(LabelError::Interrupted { done: first, total });
                }
                shard.write(&rows)?
            }
        };
        logits.extend(rows);
    }
    Ok(Labels { of, views: 1, images: total, classes, logits })
}

/// Trains `student` on texts as its own tokenizer cuts them, and on the teacher's answers to them if there are some.
///
/// The vector that stands for a text in the student is compared with the teacher's behind a linear layer of its own, which is
/// trained with it and is not in the result. With `settings.hold_out` texts held out, it learns from the others and is watched on those.
///
/// # Errors
/// If no texts can be held out, or the training fails or is interrupted.
pub fn teach_texts(
    student: &Graph,
    data: &Tokenized,
    taught: Taught<'_>,
    settings: &TrainSettings,
    how: &DistillSettings,
    control: &Control<'_>,
) -> Result<Trained, TrainError> {
    let answered = taught.logits.or(taught.vectors).is_some();
    if let Some(problem) = how.problem().filter(|_| answered) {
        return Err(TrainError::Settings(problem));
    }
    let (texts, classes) = (data.len(), data.classes.len());
    let misfit = |labels: &Labels, width: usize| (labels.images, labels.classes, labels.views) != (texts, width, 1);
    let misfits = taught.logits.is_some_and(|labels| misfit(labels, classes))
        || taught.vectors.is_some_and(|labels| misfit(labels, labels.classes));
    if misfits || outputs(student) != Some(classes) {
        return Err(TrainError::Settings(format!(
            "the teacher's outputs or `{}` are not for {texts} texts and {classes} classes",
            student.name
        )));
    }
    let split = data::split_labels(&data.labels, classes, settings.hold_out, settings.seed)?;
    let vectors = taught.vectors.zip(how.vectors());
    let answers = Answers {
        logits: taught.logits.map(|labels| &labels.logits[..]),
        vectors: vectors.map(|(labels, _)| &labels.logits[..]),
    };
    let examples = TextExamples::new(data, &split.train, answers);
    let valid = TextExamples::new(data, &split.valid, Answers::default());
    let loss = Loss {
        smoothing: settings.label_smoothing,
        distill: taught.logits.map(|_| how.loss()),
        hidden: vectors.map(|(_, hidden)| hidden),
    };
    let valid = (!split.valid.is_empty()).then_some(&valid as _);
    let Some((labels, _)) = vectors else { return train::fit(student, &examples, valid, &loss, settings, control) };
    let student = projected(student, labels.classes, settings.seed)?;
    let mut trained = train::fit(&student, &examples, valid, &loss, settings, control)?;
    trained.graph.outputs.truncate(1);
    trained.graph.remove_dead();
    Ok(trained)
}

/// The student with a second output: the vector that stands for the text, made as wide as the teacher's.
fn projected(student: &Graph, width: usize, seed: u64) -> Result<Graph, TrainError> {
    let mut graph = student.clone();
    let pooled = graph.nodes.iter().rev().find(|node| matches!(node.op, Op::Pick(_))).map(|node| node.output);
    let Some((pooled, &[_, own])) = pooled.map(|id| (id, graph.shape(id))) else {
        let problem = format!("`{}` has no vector that stands for a text; leave `hidden` at 0", student.name);
        return Err(TrainError::Settings(problem));
    };
    let mut rng = stream(seed, Purpose::Weights, graph.values.len() as u64, 0);
    let bound = 1.0 / (own.max(1) as f32).sqrt();
    let weight = (0..width * own).map(|_| bound * (2.0 * rng.random::<f32>() - 1.0)).collect();
    let weight = graph.add_param("projection.weight", Tensor::new([width, own], weight));
    let vector = graph.add("projection", Op::Linear, &[pooled, weight]).map_err(ExecError::from)?;
    graph.outputs.push(vector);
    Ok(graph)
}

/// Logits of a text.
fn outputs(graph: &Graph) -> Option<usize> {
    graph.outputs.first().and_then(|&id| graph.shape(id).get(1)).copied()
}

/// Everything that the answers depend on.
fn hash(teacher: &Graph, data: &Tokenized, precision: Precision) -> String {
    let mut hasher = Sha256::new();
    hasher.update(format!("{teacher} {precision:?} {}", data.hash()));
    for (_, tensor) in teacher.params() {
        tensor.data().iter().for_each(|value| hasher.update(value.to_le_bytes()));
    }
    hex(&hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::distilbert::{DistilBert, Head, inherit, named};
    use crate::graph::Pick;
    use crate::train::tests::StopAfter;
    use crate::train::{Distance, OptimizerSettings, evaluate};
    use crate::watch::{Unwatched, Watch};

    /// Texts of different lengths; the class is which of tokens 3 and 4 comes first.
    fn order(texts: usize) -> Tokenized {
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

    fn network(layers: usize, seed: u64) -> Graph {
        named(&format!("distilbert-l{layers}-h16-a2-f32"), 10, 9, 2).unwrap().build("net", Some(seed)).unwrap()
    }

    fn settings() -> TrainSettings {
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
        let freeze = ["embeddings".to_owned(), "transformer".to_owned()].to_vec();
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
}

//! Recipes of texts from their words to a float student: each way of learning is reached, kept, and gone on with.

use super::*;
use crate::graph::Graph;
use crate::train::tests::StopAfter;
use crate::watch::Unwatched;

/// Requests, a teacher and a student of another width; `more` are further sections.
fn recipe(student: &str, more: &str) -> Recipe {
    let train = "optimizer = { kind = \"adamw\" }, learning_rate = 2e-3, batch = 16, warmup = 0.5, ema = 0.0";
    let text = format!(
        "name = \"r\"\n[data]\ngenerated = {{ kind = \"intents\", train = 160, test = 8 }}\ntokens = 16\n\
         [[teacher]]\nnetwork = \"distilbert-l2-h32-a2\"\ntrain = {{ epochs = 6, {train} }}\n\
         [student]\nnetwork = \"distilbert-l1-h16-a2\"\n{student}train = {{ epochs = 2, {train} }}\n{more}"
    );
    Recipe::from_text("r.toml", &text.replace("TRAIN", train)).unwrap()
}

/// The pretrained and the float student of a recipe.
fn float(recipe: &Recipe, store: &Store, watch: &dyn Watch) -> Result<(Option<Student>, Student), BuildError> {
    let build = Build::new(recipe, store, watch, 2);
    let data = build.data()?;
    let teachers = build.teachers(&data)?;
    let answers = build.label(&data, &teachers)?;
    let pretrained = build.pretrain(&data, &teachers)?;
    let student = build.distill(&data, &teachers, answers.as_ref(), pretrained.as_ref())?;
    Ok((pretrained, student))
}

fn loss(student: &Student) -> Vec<f64> {
    student.training.as_ref().unwrap().loss.clone()
}

fn weights<'a>(graph: &'a Graph, name: &str) -> &'a [f32] {
    graph.param(graph.find(name).unwrap()).unwrap().data()
}

const WORDS: &str = "embeddings.word_embeddings.weight";

#[test]
fn a_student_learns_states_and_attention_of_its_teacher() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let make = |more: &str| float(&recipe("vocabulary = 120\n", more), &store, &Unwatched::default()).unwrap().1;
    let plain = make("");
    for more in ["states = 20.0", "states = 20.0\ndistance = \"mse\"", "attention = 20.0"] {
        let inside = make(&format!("[distill]\n{more}\n"));
        let [first, last] = loss(&inside)[..] else { panic!("two epochs") };
        // What is added to the loss is large, and falls faster than the rest of it does.
        assert!(first > 1.5 * loss(&plain)[0] && last < 0.9 * first, "{more}: {first} to {last}, {:?}", loss(&plain));
        assert_eq!(inside.network.graph.nodes, plain.network.graph.nodes, "{more}");
        assert_ne!(inside.digest, plain.digest);
        assert_eq!(make(&format!("[distill]\n{more}\n")).digest, inside.digest);
    }
}

#[test]
fn a_student_begins_with_what_hidden_words_taught_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let make = |more: &str| float(&recipe("", more), &store, &Unwatched::default()).unwrap();
    let train = "train = { epochs = 3, TRAIN }\n";
    let (pretrained, student) = make(&format!("[pretrain]\n{train}"));
    let pretrained = pretrained.unwrap();
    let losses = loss(&pretrained);
    assert!(losses[2] < 0.95 * losses[0], "{losses:?}");
    let (none, plain) = make("");
    assert!(none.is_none() && plain.digest != student.digest);
    assert_ne!(weights(&pretrained.network.graph, WORDS), weights(&student.network.graph, WORDS));
    // Like its teacher meanwhile, and of lines of a file.
    let (inside, _) = make(&format!("[pretrain]\nstates = 5.0\nattention = 1.0\n{train}"));
    assert!(loss(&inside.unwrap())[0] > losses[0] + 1.0);
    let lines = folder.path().join("lines.txt");
    std::fs::write(&lines, "switch the lamp on\n\nstop the radio, please\n".repeat(40)).unwrap();
    let text = format!("[pretrain]\npath = {:?}\n{train}", lines.display().to_string());
    let other = recipe("", &text);
    let build = Build::new(&other, &store, &Unwatched::default(), 1).data().unwrap();
    assert_eq!(build.unlabelled.unwrap().len(), 80);
    assert_ne!(make(&text).0.unwrap().digest, pretrained.digest);
}

#[test]
fn interrupted_trainings_go_on_to_the_same_students() {
    let recipe = recipe(
        "",
        "[distill]\nstates = 1.0\nattention = 0.1\n[pretrain]\nstates = 1.0\ntrain = { epochs = 2, TRAIN }\n",
    );
    let folders = [0; 2].map(|_| tempfile::tempdir().unwrap());
    let [whole, stopped] = folders.each_ref().map(|folder| Store::open(folder.path()).unwrap());
    let expected = float(&recipe, &whole, &Unwatched::default()).unwrap().1;
    let mut stages = Vec::new();
    let student = loop {
        // Few enough steps that each of the trainings is stopped, and more than any of the other stages takes.
        match float(&recipe, &stopped, &StopAfter::new(15)) {
            Ok((_, student)) => break student,
            Err(BuildError::Interrupted { stage }) => stages.push(stage),
            Err(error) => panic!("{error}"),
        }
        assert!(stages.len() < 40, "{stages:?}");
    };
    for stage in [Stage::Teacher, Stage::Pretrain, Stage::Distill] {
        assert!(stages.contains(&stage), "{stage} was not stopped: {stages:?}");
    }
    assert_eq!(student.digest, expected.digest);
}

#[test]
fn teachers_of_fewer_layers_are_refused_before_they_learn() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let mut recipe = recipe("", "[distill]\nstates = 1.0\n");
    recipe.student.as_mut().unwrap().network = "distilbert-l3-h16-a2".into();
    let error = float(&recipe, &store, &Unwatched::default()).unwrap_err();
    let whole = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    let text = whole.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    assert!(text.contains("3 layers that can be drawn to the 2"), "{text}");
    assert!(text.starts_with("stage teacher"), "{text}");
    assert!(!folder.path().join("teacher1.safetensors").exists());
}

#[test]
fn frozen_encoders_and_gradual_unfreezing_are_said_in_recipes() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let watch = Unwatched::default();
    let moved = |said: &str| {
        let mut recipe = recipe("", "");
        recipe.teacher[0].train = toml::from_str(&format!("epochs = 1\nbatch = 16\nwarmup = 0.0\n{said}")).unwrap();
        let build = Build::new(&recipe, &store, &watch, 1);
        let data = build.data().unwrap();
        let before = crate::families::build("distilbert-l2-h32-a2", &data.task().unwrap(), 1).unwrap();
        let after = build.teachers(&data).unwrap().all.remove(0).graph;
        [WORDS, "transformer.layer.1.ffn.lin2.weight", "classifier.weight"]
            .map(|name| weights(&before, name) != weights(&after, name))
    };
    assert_eq!(moved("freeze = [\"embeddings\", \"transformer\"]"), [false, false, true]);
    assert_eq!(moved("unfreeze = 0.6"), [false, true, true]);
    assert_eq!(moved("unfreeze = 0.2\nlayer_decay = 0.5"), [true; 3]);
}

#[test]
fn int8_is_trained_where_it_loses_too_much_or_always() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let quantized = |more: &str, watch: &dyn Watch| -> Result<[Quantized; 2], BuildError> {
        let recipe = recipe("", &format!("[quantize]\nsamples = 16\n{more}"));
        let (_, student) = float(&recipe, &store, watch)?;
        let build = Build::new(&recipe, &store, watch, 2);
        let data = build.data()?;
        let before = build.quantize(&data, &student)?;
        Ok([before.clone(), build.qat(&data, &student, before)?])
    };
    let watch = Unwatched::default();
    let [before, after] = quantized("", &watch).unwrap();
    assert_eq!((before.graph, before.digest), (after.graph, after.digest));
    // Nothing can lose more than everything.
    let needed = "[accept]\nint8_drop = 1.0\n[qat]\ntrain = { epochs = 2, TRAIN }\n";
    let [before, after] = quantized(needed, &watch).unwrap();
    assert!(before.graph == after.graph && after.training.is_none());
    let always = "[qat]\nwhen = \"always\"\ntrain = { epochs = 2, TRAIN }\n";
    let error = quantized(always, &StopAfter::new(12)).unwrap_err();
    assert!(matches!(error, BuildError::Interrupted { stage: Stage::Qat }), "{error}");
    let [before, after] = quantized(always, &watch).unwrap();
    assert_eq!(after.training.as_ref().unwrap().loss.len(), 2);
    let trial = after.report.trials.last().unwrap();
    assert_eq!((trial.name.as_str(), before.graph != after.graph), ("trained with rounding", trial.kept));
    let [_, again] = quantized(always, &watch).unwrap();
    assert_eq!((again.digest, again.training), (after.digest, after.training));
}

//! A made-up backbone and a folder of made-up photos, from the frozen features to the int8 student.

use super::*;
use crate::artifact::Store;
use crate::data::{Part, generate};
use crate::families::{self, Task};
use crate::graph::Tensor;
use crate::pipeline::Built;
use crate::recipe::Recipe;
use crate::teacher::safetensors;
use crate::train::tests::StopAfter;
use crate::watch::{Stage, Unwatched, Watch};
use image::RgbImage;
use tempfile::TempDir;

const TRAIN: &str = "optimizer = { kind = \"adamw\" }, learning_rate = 2e-3, batch = 16, warmup = 0.0, ema = 0.0";

/// A folder with photos of eight kinds in `train` and `test`, and a network for ten classes in `backbone.safetensors`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (part, name, count) in [(Part::Train, "train", 48), (Part::Test, "test", 16)] {
        let data = generate(count, part, 3);
        for index in 0..data.len() {
            let class = folder.path().join(name).join(&data.classes[data.labels[index] as usize]);
            std::fs::create_dir_all(&class).unwrap();
            let photo = RgbImage::from_raw(32, 32, data.image(index).to_vec()).unwrap();
            photo.save(class.join(format!("{index}.png"))).unwrap();
        }
    }
    let backbone = families::build("resnet8", &Task::of_images([32, 32, 3], 10), 5).unwrap();
    safetensors::save(&backbone, &folder.path().join("backbone.safetensors")).unwrap();
    folder
}

/// The recipe of the folder; `teacher` are further lines of its teacher.
fn recipe(folder: &TempDir, teacher: &str) -> Recipe {
    let path = folder.path().display();
    let text = format!(
        "name = \"photos\"\n[data]\npath = \"{path}\"\n\
         [[teacher]]\nweights = \"{path}/backbone.safetensors\"\nsize = [40, 40]\nviews = 3\n{teacher}\n\
         [label]\nviews = 3\n\
         [student]\nnetwork = \"resnet8-8\"\nsize = [24, 24]\n\
         train = {{ epochs = 2, {TRAIN}, augment = {{ shift = 0, crop = 0.5, color = 0.3, mix = 0.5 }} }}\n\
         [compare]\nfrom_scratch = true\n[quantize]\nsamples = 8\n[accept]\nover_scratch = -1.0\n"
    );
    Recipe::from_text("r.toml", &text.replace("TRAIN", TRAIN)).unwrap()
}

const HEAD: &str = "train = { freeze = true, epochs = 30, learning_rate = 3e-2, batch = 16, hold_out = 8, \
     optimizer = { kind = \"adamw\" }, augment = { mix = 0.2 } }";
const TUNE: &str = "tune = { epochs = 2, unfreeze = 0.25, layer_decay = 0.5, TRAIN }";

fn build(recipe: &Recipe, store: &Store, watch: &dyn Watch) -> Result<Built, BuildError> {
    Build::new(recipe, store, watch, 2).all()
}

fn weights<'a>(graph: &'a Graph, name: &str) -> &'a Tensor {
    graph.param(graph.find(name).unwrap()).unwrap()
}

#[test]
fn a_backbone_becomes_a_teacher_and_teaches() {
    let (folder, work) = (folder(), tempfile::tempdir().unwrap());
    let recipe = recipe(&folder, &format!("{HEAD}\n{TUNE}"));
    let store = Store::open(work.path()).unwrap();
    let built = build(&recipe, &store, &Unwatched::default()).unwrap();
    let names = |names: Vec<&String>| names.into_iter().cloned().collect::<Vec<_>>();
    let compared = names(built.record.compared.iter().map(|network| &network.name).collect());
    assert_eq!(compared, ["resnet8 (head only)", "resnet8-8 (from scratch)"]);
    let trainings = names(built.record.trainings.iter().map(|training| &training.name).collect());
    let expected = ["teacher resnet8 (head)", "teacher resnet8 (tuned)", "resnet8-8", "resnet8-8 (from scratch)"];
    assert_eq!(trainings, expected);
    let [head, .., scratch] = &built.record.trainings[..] else { panic!("four trainings") };
    assert!(head.loss[29] < 0.9 * head.loss[0] && head.held_out[29].is_some(), "{:?}", head.loss);
    assert_eq!((scratch.loss.len(), built.record.bars[0].name.as_str()), (2, "over_scratch"));
    assert_eq!(built.record.data.input, crate::verify::record::InputRecord::Image([24, 24, 3]));

    // The head alone has moved, then all of it; the second time everything is there.
    let watch = Unwatched::default();
    let build = Build::new(&recipe, &store, &watch, 1);
    let data = build.data().unwrap();
    let teachers = build.teachers(&data).unwrap();
    let backbone = backbone::load(&folder.path().join("backbone.safetensors"), None, [40, 40, 3]).unwrap();
    let (what, head_only) = &teachers.before[0];
    assert_eq!(what, "head only");
    for name in ["conv1.weight", "layer3.0.conv2.weight"] {
        assert_eq!(weights(&head_only.graph, name), weights(&backbone, name), "{name}");
        assert_ne!(weights(&teachers.all[0].graph, name), weights(&backbone, name), "{name}");
    }
    assert_eq!(weights(&head_only.graph, "linear.weight").shape(), [8, 64]);
    assert_eq!(self::build(&recipe, &store, &Unwatched::default()).unwrap().record, built.record);
}

#[test]
fn stopped_anywhere_it_goes_on_to_the_same_teacher() {
    let folder = folder();
    let recipe = recipe(&folder, &format!("{HEAD}\n{TUNE}"));
    let works = [0; 2].map(|_| tempfile::tempdir().unwrap());
    let [whole, stopped] = works.each_ref().map(|work| Store::open(work.path()).unwrap());
    let teacher = |store: &Store, watch: &dyn Watch| -> Result<Teacher, BuildError> {
        let build = Build::new(&recipe, store, watch, 1);
        Ok(build.teachers(&build.data()?)?.all.remove(0))
    };
    let expected = teacher(&whole, &Unwatched::default()).unwrap();
    let mut stops = 0;
    let found = loop {
        match teacher(&stopped, &StopAfter::new(12)) {
            Ok(teacher) => break teacher,
            Err(BuildError::Interrupted { stage: Stage::Teacher }) => stops += 1,
            Err(error) => panic!("{error}"),
        }
        assert!(stops < 60);
    };
    assert!(stops > 3 && found.hash() == expected.hash(), "{stops}");
}

#[test]
fn without_a_frozen_body_all_of_it_learns_at_once() {
    let (folder, work) = (folder(), tempfile::tempdir().unwrap());
    let store = Store::open(work.path()).unwrap();
    let watch = Unwatched::default();
    let teachers = |teacher: &str| {
        let recipe = recipe(&folder, teacher);
        let build = Build::new(&recipe, &store, &watch, 1);
        build.teachers(&build.data().unwrap()).unwrap()
    };
    let backbone = backbone::load(&folder.path().join("backbone.safetensors"), None, [40, 40, 3]).unwrap();
    let moved = |teacher: &Teacher| {
        ["conv1.weight", "layer3.0.conv1.weight"].map(|name| weights(&teacher.graph, name) != weights(&backbone, name))
    };
    let teachers_of = |said: &str| teachers(&format!("train = {{ epochs = 1, TRAIN, {said} }}"));
    assert_eq!(moved(&teachers_of("clip_norm = 1.0").all[0]), [true; 2]);
    assert_eq!(moved(&teachers_of("freeze = [\"conv1\", \"layer1\"]").all[0]), [false, true]);
    assert_eq!(moved(&teachers_of("freeze = true").all[0]), [false; 2]);
}

#[test]
fn what_cannot_be_learned_from_is_told() {
    let folder = folder();
    let work = tempfile::tempdir().unwrap();
    let store = Store::open(work.path()).unwrap();
    let error = |recipe: &Recipe| {
        let error = build(recipe, &store, &Unwatched::default()).unwrap_err();
        whole(&error)
    };
    let plain = recipe(&folder, "network = \"resnet8\"");
    let text = error(&plain);
    assert!(
        text.contains("holds a `resnet8` for 10 classes, but the data have 8") && text.contains("freeze = true"),
        "{text}"
    );
    let headed = recipe(&folder, HEAD);
    std::fs::write(folder.path().join("backbone.safetensors"), b"no weights").unwrap();
    let text = error(&headed);
    assert!(text.contains("backbone.safetensors") && text.contains("not a whole .safetensors file"), "{text}");
    let photo = folder.path().join("train").read_dir().unwrap().next().unwrap().unwrap().path().join("broken.png");
    std::fs::write(&photo, b"no photo").unwrap();
    let text = error(&headed);
    assert!(text.contains("cannot decode") && text.contains("broken.png"), "{text}");
}

#[test]
fn recipes_that_cannot_be_meant_are_refused() {
    let start = "name = \"a\"\n[data]\ngenerated = { train = 8, test = 8 }\n[student]\nnetwork = \"resnet8\"\n";
    let teacher = "[[teacher]]\nnetwork = \"resnet8\"\n";
    let rows = [
        (format!("{teacher}train = {{ freeze = true }}\n"), "a teacher has `freeze = true`, but no `weights`"),
        (format!("{teacher}tune = {{}}\n"), "a teacher has `tune` without `train`"),
        (format!("{teacher}train = {{}}\nviews = 0\n"), "`teacher.views`: at least one view"),
        (format!("{teacher}train = {{}}\nsize = [0, 8]\n"), "`teacher.size`: a size is at least 1"),
        (format!("{teacher}train = {{ augment = {{ crop = 0.0 }} }}\n"), "`augment.crop` is 0"),
        ("[compare]\nfrom_scratch = true\n".to_owned(), "`compare.from_scratch`: needs a student and a teacher"),
        ("[accept]\nover_scratch = 0.1\n".to_owned(), "`accept.over_scratch`: needs `compare.from_scratch"),
    ];
    for (text, expected) in rows {
        let error = Recipe::from_text("r.toml", &format!("{start}{text}")).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\n!~ {expected}");
    }
}

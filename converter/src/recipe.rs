//! A recipe: the one text file that says what is built, from what, how, and how good it must be.
//!
//! [`Recipe::load`] reads TOML in two steps. What was typed must have known keys and proper types; then what it means is
//! made: paths are taken relative to the recipe and `${NAME}` is replaced from the environment. Every error names the
//! file, the line and the key.

mod check;
mod text;

use crate::data::text::TextAugment;
use crate::data::{Format, Kind, Set};
use crate::distill::{DistillSettings, LabelSettings};
use crate::quantize::QuantSettings;
use crate::train::{Distance, TrainSettings};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
pub use text::RecipeError;
use text::Source;

/// Everything that a build needs to know.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Names the model file and the work folder: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Names of hosts and boards, best first; the model file is packed for the first, and must fit them all.
    #[serde(default)]
    pub targets: Vec<String>,
    /// The images or texts.
    pub data: Data,
    /// Networks whose outputs the student learns; several are an ensemble.
    #[serde(default)]
    pub teacher: Vec<Teacher>,
    /// How the teachers' answers are made and stored. Of texts there is one view, unless `views` or `student.augment` is given.
    #[serde(default)]
    pub label: LabelSettings,
    /// The network to make. Without it the one teacher itself is quantized.
    pub student: Option<Student>,
    /// What the student learns from texts without labels, before it learns its task; nothing without it.
    pub pretrain: Option<Pretrain>,
    /// How the student learns from the teachers' answers.
    #[serde(default)]
    pub distill: DistillSettings,
    /// How float weights become int8.
    #[serde(default)]
    pub quantize: QuantSettings,
    /// Training with rounding, where int8 costs too much; without it, the student's own training, shorter and gentler.
    pub qat: Option<Qat>,
    /// What else is trained, only to compare the result with it.
    #[serde(default)]
    pub compare: Compare,
    /// Bars that the result must reach, or the build fails.
    #[serde(default)]
    pub accept: Accept,
    /// Only for readers.
    #[serde(default)]
    pub about: BTreeMap<String, String>,
}

/// Where the images or texts come from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// A folder that holds a training part and a test part.
    pub path: Option<PathBuf>,
    /// How it is laid out; guessed when clear.
    pub format: Option<Format>,
    /// Height and width to which images are scaled; needed where files differ in size.
    pub size: Option<[usize; 2]>,
    /// The longest text, in tokens, begin and end included; what is longer is cut off, and counted.
    pub tokens: Option<usize>,
    /// Instead of files: a built-in generated task.
    pub generated: Option<Generated>,
}

/// A built-in task and its sizes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generated {
    /// Which task.
    #[serde(default)]
    pub kind: Builtin,
    /// Examples to learn from.
    pub train: usize,
    /// Examples to be judged on.
    pub test: usize,
    /// Which examples.
    #[serde(default = "one")]
    pub seed: u64,
}

/// A task that the program makes itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Builtin {
    /// Pictures of figures.
    #[default]
    Shapes,
    /// Requests to the devices of a home.
    Intents,
}

/// The longest text where a recipe does not say it.
const TOKENS: usize = 64;

fn one() -> u64 {
    1
}

fn views() -> usize {
    LabelSettings::default().views
}

/// One teacher: weights from a file or folder, which may be trained further, or a network that is trained first.
///
/// Weights that images of other classes made are a backbone: `train` with `freeze = true` trains a head on what the backbone makes
/// of `views` of each image, and `tune` then trains all of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Teacher {
    /// An ONNX file or a safetensors file; for texts, a Hugging Face folder with a tokenizer, or an ONNX file beside one.
    pub weights: Option<PathBuf>,
    /// The network that is trained, or that safetensors fill; known by the names of the tensors where it is not given.
    pub network: Option<String>,
    /// How it is trained where there are no weights, or fine-tuned where there are.
    pub train: Option<TrainSettings>,
    /// How it is trained on after that, such as with all of it unfrozen little by little; nothing without it.
    pub tune: Option<TrainSettings>,
    /// Views of each image of which the features are kept, where the body is frozen.
    #[serde(default = "views")]
    pub views: usize,
    /// Height and width that it sees images in; as they are without it, or as an ONNX file says.
    pub size: Option<[usize; 2]>,
    /// Mean of each channel, of pixels from 0 to 1.
    pub mean: Option<[f32; 3]>,
    /// Standard deviation of each channel, of pixels from 0 to 1.
    pub std: Option<[f32; 3]>,
}

/// The network to make.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Student {
    /// A named size of a family, such as `resnet8` or `bert-tiny`.
    pub network: String,
    /// Height and width that it sees images in; as they are without it.
    pub size: Option<[usize; 2]>,
    /// Whether it begins with the first teacher's tables and every so many of its layers.
    #[serde(default)]
    pub inherit: bool,
    /// Most words and pieces of words that it knows, those that the training texts need; without it, as many as its teacher.
    pub vocabulary: Option<usize>,
    /// How the texts that it sees are changed, in all views but the first of those that the teachers are asked about.
    pub augment: Option<TextAugment>,
    /// How it is trained; its changes of images are also what the teachers are asked about.
    #[serde(default)]
    pub train: TrainSettings,
}

/// Texts without labels: the student guesses words that are hidden from it (Devlin et al. 2018).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pretrain {
    /// A file with one text a line; without it, the training texts, whose labels then do not count.
    pub path: Option<PathBuf>,
    /// As `distill.states`: the first teacher reads the same texts, with the same words hidden.
    #[serde(default)]
    pub states: f32,
    /// As `distill.attention`.
    #[serde(default)]
    pub attention: f32,
    /// As `distill.distance`.
    #[serde(default)]
    pub distance: Distance,
    /// How it is trained.
    pub train: TrainSettings,
}

impl Pretrain {
    /// How the student is drawn to its teacher meanwhile.
    pub fn how(&self) -> DistillSettings {
        let Pretrain { states, attention, distance, .. } = *self;
        DistillSettings { states, attention, distance, ..DistillSettings::default() }
    }
}

/// Quantization-aware training: the network learns to say in int8 what it says in float, on the training examples.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Qat {
    /// `"needed"`: if no way to quantize loses as little accuracy as `accept.int8_drop` allows; or `"always"`.
    #[serde(default)]
    pub when: When,
    /// How it is trained; a small part of the student's learning rate will do, for a few epochs.
    pub train: TrainSettings,
}

/// When a network is trained with rounding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// If it loses too much without.
    #[default]
    Needed,
    /// In any case.
    Always,
}

/// What is trained only for comparison.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// The student once more, with the same settings, from the labels alone.
    #[serde(default)]
    pub from_scratch: bool,
}

/// Bars; accuracies from 0 to 1.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Accept {
    /// Least accuracy of the float student.
    pub float_accuracy: Option<f64>,
    /// Least accuracy of the int8 student.
    pub int8_accuracy: Option<f64>,
    /// Most accuracy that quantization may cost: ways to quantize are tried until one costs no more on examples of the training
    /// part, and what was taken is judged once more on the test part.
    pub int8_drop: Option<f64>,
    /// Least accuracy of the int8 student as a share of the teachers'.
    pub kept: Option<f64>,
    /// Least share of examples on which int8 and float student agree.
    pub agreement: Option<f64>,
    /// Least accuracy of the int8 student above that of the student that `compare.from_scratch` trains.
    // What is not asked for is not written: results of former recipes keep their keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over_scratch: Option<f64>,
    /// Most bytes of the model file.
    pub model_bytes: Option<u64>,
    /// Most bytes of the arena.
    pub arena_bytes: Option<u64>,
}

impl Recipe {
    /// Reads a recipe file.
    ///
    /// # Errors
    /// If it cannot be read, has a key or value that it must not have, or names a file that does not exist.
    pub fn load(path: &Path) -> Result<Self, RecipeError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| RecipeError::Unreadable { file: path.display().to_string(), source })?;
        let source = Source { file: path.display().to_string(), text };
        let folder = path.parent().unwrap_or(Path::new(""));
        Recipe::parse(&source, folder, &|name| std::env::var(name).ok())
    }

    /// Reads a recipe's text; `file` is only for messages.
    ///
    /// # Errors
    /// As [`Recipe::load`].
    pub fn from_text(file: &str, text: &str) -> Result<Self, RecipeError> {
        let source = Source { file: file.to_owned(), text: text.to_owned() };
        Recipe::parse(&source, Path::new(""), &|name| std::env::var(name).ok())
    }

    fn parse(source: &Source, folder: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, RecipeError> {
        let mut recipe: Recipe = source.typed()?;
        if let Some(path) = &mut recipe.data.path {
            source.resolve(path, folder, env, &["data", "path"])?;
        }
        if let Some(path) = recipe.pretrain.as_mut().and_then(|pretrain| pretrain.path.as_mut()) {
            source.resolve(path, folder, env, &["pretrain", "path"])?;
        }
        for (number, teacher) in recipe.teacher.iter_mut().enumerate() {
            if let Some(path) = &mut teacher.weights {
                source.resolve(path, folder, env, &["teacher", &number.to_string(), "weights"])?;
            }
        }
        // Teachers take longer over a text than over an image: they are asked again only if that is wanted.
        let changed = recipe.student.as_ref().is_some_and(|student| student.augment.is_some());
        if recipe.data.kind() == Kind::Texts && !changed && !source.has("label", "views") {
            recipe.label.views = 1;
        }
        check::check(&recipe, source)?;
        Ok(recipe)
    }
}

impl Data {
    /// What the examples are.
    pub fn kind(&self) -> Kind {
        match (&self.generated, self.format, &self.path) {
            (Some(Generated { kind: Builtin::Intents, .. }), ..) => Kind::Texts,
            (Some(_), ..) | (None, None, None) => Kind::Images,
            (None, Some(format), _) => format.kind(),
            (None, None, Some(path)) => Set::kind_at(path),
        }
    }

    /// The longest text, in tokens.
    pub fn tokens(&self) -> usize {
        self.tokens.unwrap_or(TOKENS)
    }

    /// Where the examples come from, in a few words and without folders of this computer.
    pub fn describe(&self) -> String {
        let last =
            |path: &PathBuf| path.file_name().map_or_else(|| ".".into(), |name| name.to_string_lossy().into_owned());
        self.path.as_ref().map_or_else(|| "generated".to_owned(), last)
    }
}

/// Whether a file is to be read as ONNX, by its name.
pub fn is_onnx(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("onnx"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"
name = "tiny"
targets = ["qemu-m4"]
[data]
generated = { train = 100, test = 50 }
[student]
network = "resnet8"
"#;

    fn message(text: &str) -> String {
        Recipe::from_text("r.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn a_short_recipe_has_sensible_defaults() {
        let recipe = Recipe::from_text("r.toml", MINIMAL).unwrap();
        assert_eq!((recipe.name.as_str(), recipe.teacher.len()), ("tiny", 0));
        assert_eq!(recipe.student.unwrap().train, TrainSettings::default());
        assert_eq!(recipe.accept, Accept::default());
    }

    #[test]
    fn texts_have_as_many_views_as_are_asked_for() {
        let views = |more: &str| {
            let text = MINIMAL.replace("{ train", "{ kind = \"intents\", train").replace("resnet8", "bert-tiny");
            Recipe::from_text("r.toml", &format!("{text}{more}")).unwrap().label.views
        };
        assert_eq!(Recipe::from_text("r.toml", MINIMAL).unwrap().label.views, 8);
        assert_eq!([views(""), views("augment = {}\n"), views("[label]\nviews = 3\n")], [1, 8, 3]);
    }

    #[test]
    fn what_looks_inside_of_a_teacher_needs_one_of_texts() {
        let texts = MINIMAL.replace("{ train", "{ kind = \"intents\", train").replace("resnet8", "bert-tiny");
        let teacher = "[[teacher]]\nnetwork = \"bert-tiny\"\ntrain = {}\n";
        let rows = [
            ("[distill]\nattention = 0.1\n", "r.toml:9: `distill.attention`: there is no teacher"),
            ("[pretrain]\nstates = 1\ntrain = {}\n", "r.toml:9: `pretrain.states`: there is no teacher"),
            ("[pretrain]\nstates = -1\ntrain = {}\n", "r.toml:8: `pretrain`: `states` is -1"),
            ("[pretrain]\ntrain = { batch = 0 }\n", "r.toml:9: `pretrain.train`: `batch` is 0"),
            (
                "[pretrain]\ntrain = { hold_out = 8 }\n",
                "r.toml:9: `pretrain.train.hold_out`: is for learning from labels",
            ),
            (
                "[pretrain]\npath = \"no.txt\"\ntrain = {}\n",
                "r.toml:9: `pretrain.path`: there is no file or folder no.txt",
            ),
        ];
        for (text, expected) in rows {
            let error = message(&format!("{texts}{text}"));
            assert!(error.starts_with(expected), "{error}\n!= {expected}");
        }
        let inside = format!("{texts}{teacher}[distill]\nstates = 1.0\nattention = 0.1\n[pretrain]\ntrain = {{}}\n");
        let recipe = Recipe::from_text("r.toml", &inside).unwrap();
        assert_eq!((recipe.distill.states, recipe.pretrain.unwrap().how().states), (1.0, 0.0));
        let alone =
            format!("{texts}{teacher}[pretrain]\ntrain = {{}}\n").replace("[student]\nnetwork = \"bert-tiny\"\n", "");
        let error = message(&alone);
        assert!(error.contains("`pretrain`: there is no student"), "{error}");
    }

    #[test]
    fn unknown_keys_are_named_with_line_and_neighbour() {
        let error = message(&MINIMAL.replace("network", "netwrok"));
        assert!(
            error.starts_with("r.toml:7: unknown key `netwrok`; did you mean `network`?; known here: network"),
            "{error}"
        );
        let error = message(&format!("{MINIMAL}[accept]\nint8_acuracy = 0.9\n"));
        assert!(error.starts_with("r.toml:9: unknown key `int8_acuracy`; did you mean `int8_accuracy`?"), "{error}");
        let error = message(&format!("zzz = 1\n{MINIMAL}"));
        assert!(error.starts_with("r.toml:1: unknown key `zzz`; known here: name,"), "{error}");
    }

    #[test]
    fn wrong_values_are_named_with_line_and_key() {
        let rows = [
            ("label = { views = \"two\" }\n", "r.toml:1: `label.views`: invalid type: string \"two\", expected usize"),
            ("[[teacher]]\nnetwork = \"resnet20\"\n", "r.toml:8: `teacher`: a teacher needs `weights = \"FILE\"`"),
            ("[[teacher]]\nweights = \"no.onnx\"\n", "r.toml:9: `teacher.weights`: there is no file or folder no.onnx"),
            ("oh dear", "r.toml:1: "),
        ];
        for (text, expected) in rows {
            let whole = if text.starts_with('[') { format!("{MINIMAL}{text}") } else { format!("{text}{MINIMAL}") };
            let error = message(&whole);
            assert!(error.starts_with(expected), "{error}\n!= {expected}");
        }
        let error = message(&MINIMAL.replace("\"tiny\"", "\"../tiny\""));
        assert!(error.starts_with("r.toml:2: `name`: `../tiny` names files"), "{error}");
        let rows = [
            ("[student.train]\nbatch = 0\n", "r.toml:8: `student.train`: `batch` is 0"),
            ("[distill]\nweight = 2\n", "r.toml:8: `distill`: `weight` is 2"),
            ("[quantize]\nsamples = 0\n", "r.toml:8: `quantize`: "),
            ("[label]\nviews = 0\n", "r.toml:9: `label.views`: at least one"),
            ("[distill]\nstates = 1\n", "r.toml:9: `distill.states`: is for texts, but the data are images"),
            ("[qat]\ntrain = {}\n", "r.toml:8: `qat`: what may be lost is not said"),
            ("[qat]\nwhen = \"always\"\ntrain = { hold_out = 8 }\n", "r.toml:10: `qat.train.hold_out`: "),
            ("[pretrain]\ntrain = {}\n", "r.toml:8: `pretrain`: is for texts, but the data are images"),
            ("[pretrain]\npath = \"x\"\n", "r.toml:8: `pretrain`: missing field `train`"),
            (
                "[[teacher]]\nnetwork = \"resnet8\"\ntrain = {}\n[[teacher]]\nnetwork = \"resnet21\"\ntrain = {}\n",
                "r.toml:12: `teacher.network`: there is no network `resnet21` for images; did you mean `resnet20`?; there are: ",
            ),
        ];
        for (text, expected) in rows {
            let error = message(&format!("{MINIMAL}{text}"));
            assert!(error.starts_with(expected), "{error}\n!= {expected}");
        }
        let error = message(&MINIMAL.replace("qemu-m4", "qemu-m9"));
        assert!(error.starts_with("r.toml:3: `targets`: no target is called \"qemu-m9\"; there are "), "{error}");
        let error = message("name = \"a\"\n[data]\n");
        assert!(error.starts_with("r.toml:2: `data`: needs `path = \"FOLDER\"`"), "{error}");
        let error = message("name = \"a\"\n[data]\ngenerated = { train = 8, test = 8 }\n");
        assert!(error.starts_with("r.toml:1: `student`: there is nothing to make"), "{error}");
    }
}

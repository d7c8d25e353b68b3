//! `limbeck demo`: the whole pipeline on pictures or texts that the program makes itself.

use super::Failure;
use super::args::DemoArgs;
use super::build::{answer, summary};
use super::model::labels;
use super::output::{Output, table};
use super::run::{classify, shortened};
use super::settings::Work;
use super::ui::Ui;
use crate::artifact::{Store, write_whole};
use crate::data::Set;
use crate::recipe::Recipe;
use crate::verify::Feed;
use crate::verify::host;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A built-in demonstration.
struct Demo {
    name: &'static str,
    /// The recipe, as a user would write it; a copy lies in the work folder.
    recipe: &'static str,
    about: &'static str,
}

const PICTURES: Demo = Demo {
    name: "demo",
    recipe: include_str!("demo.toml"),
    about: "A teacher learns to name figures in generated pictures, a small student learns from it, becomes int8,",
};

const TEXTS: Demo = Demo {
    name: "demo-text",
    recipe: include_str!("demo-text.toml"),
    about: "A transformer learns what generated requests want of which device, a small one learns from it, becomes int8,",
};

/// Test examples that are shown with what the model says.
const SAMPLES: usize = 8;

/// `limbeck demo`
pub(super) fn demo(args: &DemoArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    let Demo { name, recipe, about } = if args.text { TEXTS } else { PICTURES };
    ui.say(about);
    ui.say("and runs with equal bytes on every kernel table of this computer. It takes about two minutes.\n");
    let file = format!("{name}.toml");
    let folder = args.work.clone().unwrap_or_else(|| PathBuf::from("limbeck-out").join(name));
    let work = Work { recipe: Recipe::from_text(&file, recipe)?, store: Store::open(folder)? };
    write_whole(&work.store.path(&file), recipe.as_bytes())?;
    let built = work.build(ui).all()?;
    let Some(packed) = built.models.first() else { return Err("the demo made no model".into()) };
    let (path, kernels) = (Path::new(&packed.file), host::best());
    let bytes = host::in_layout_of(path, packed.bytes.clone(), kernels)?;
    let model = host::parse(path, &bytes)?;
    let (test, inputs) = (&built.data.test, built.data.student.read(&built.data.test)?);
    let names = labels(&model, test.classes().len());
    let mut samples = Vec::new();
    for index in 0..SAMPLES.min(test.len()) {
        let said = classify(&model, kernels, |session| inputs.give(index, session))?;
        samples.push(Sample {
            text: if let Set::Texts(texts) = test { Some(texts.texts[index].clone()) } else { None },
            truth: names[test.labels()[index] as usize].clone(),
            label: names[said.index].clone(),
            probability: said.probabilities[said.index],
            digest: format!("{:016x}", said.digest),
        });
    }
    let mut value = answer(&work, &built);
    value["samples"] = serde_json::to_value(&samples)?;
    output.answer(&value, || {
        let heading = if args.text { ["text", "int8 student says"] } else { ["picture of a", "int8 student says"] };
        let rows: Vec<Vec<String>> = samples.iter().map(Sample::row).collect();
        let shown = table(&[&heading[..], &["probability", "digest", ""]].concat(), &rows);
        let model = work.store.path(&packed.file).display().to_string();
        let next =
            if args.text { format!("run {model} \"please switch the lamp off\"") } else { format!("inspect {model}") };
        let summary = summary(&work, &built);
        format!("{summary}\n\n{shown}\n  next: limbeck {next}\n        limbeck fit {model} --target stm32f446re-nucleo")
    })
}

/// A test example, and what the int8 student says of it.
#[derive(Serialize)]
struct Sample {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    truth: String,
    label: String,
    probability: f64,
    digest: String,
}

impl Sample {
    /// A line of the table.
    fn row(&self) -> Vec<String> {
        let first = self.text.as_deref().map_or_else(|| self.truth.clone(), shortened);
        let mark = if self.truth == self.label { "✓" } else { "✗" };
        let probability = format!("{:.1} %", 100.0 * self.probability);
        vec![first, self.label.clone(), probability, self.digest.clone(), mark.into()]
    }
}

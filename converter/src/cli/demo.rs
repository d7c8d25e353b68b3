//! `limbeck demo`: the whole pipeline on pictures that the program draws itself.

use super::Failure;
use super::args::DemoArgs;
use super::build::{answer, summary};
use super::model::{classify, labels};
use super::output::{Output, table};
use super::settings::Work;
use super::ui::Ui;
use crate::artifact::{Store, write_whole};
use crate::recipe::Recipe;
use crate::verify::host;
use serde_json::{Value, json};
use std::path::Path;

/// The recipe, as a user would write it; a copy lies in the work folder.
const RECIPE: &str = include_str!("demo.toml");

/// Test pictures that are shown with what the model says.
const SAMPLES: usize = 8;

/// `limbeck demo`
pub(super) fn demo(args: &DemoArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    ui.say("A teacher learns to name figures in generated pictures, a small student learns from it, becomes int8,");
    ui.say("and runs with equal bytes on every kernel table of this computer. It takes about two minutes.\n");
    let work = Work { recipe: Recipe::from_text("demo.toml", RECIPE)?, store: Store::open(&args.work)? };
    write_whole(&work.store.path("demo.toml"), RECIPE.as_bytes())?;
    let built = work.build(ui).all()?;
    let Some(packed) = built.models.first() else { return Err("the demo made no model".into()) };
    let (path, kernels) = (Path::new(&packed.file), host::best());
    let bytes = host::in_layout_of(path, packed.bytes.clone(), kernels)?;
    let model = host::parse(path, &bytes)?;
    let names = labels(&model, built.images.test.classes.len());
    let mut samples: Vec<(String, String, f64, u64)> = Vec::new();
    for index in 0..SAMPLES.min(built.images.test.len()) {
        let said = classify(&model, kernels, built.images.test.image(index))?;
        let truth = names[built.images.test.labels[index] as usize].clone();
        samples.push((truth, names[said.index].clone(), said.probabilities[said.index], said.digest));
    }
    let mut value = answer(&work, &built);
    let object = |(truth, label, probability, digest): &(String, String, f64, u64)| -> Value {
        json!({ "truth": truth, "label": label, "probability": probability, "digest": format!("{digest:016x}") })
    };
    value["samples"] = samples.iter().map(object).collect();
    output.answer(&value, || {
        let row = |(truth, label, probability, digest): &(String, String, f64, u64)| {
            let mark = if truth == label { "✓" } else { "✗" };
            vec![
                truth.clone(),
                label.clone(),
                format!("{:.1} %", 100.0 * probability),
                format!("{digest:016x}"),
                mark.into(),
            ]
        };
        let rows: Vec<Vec<String>> = samples.iter().map(row).collect();
        let shown = table(&["picture of a", "int8 student says", "probability", "digest", ""], &rows);
        let model = work.store.path(&packed.file);
        format!(
            "{}\n\n{shown}\n  next: limbeck inspect {model}\n        limbeck fit {model} --target stm32f446re-nucleo",
            summary(&work, &built),
            model = model.display()
        )
    })
}

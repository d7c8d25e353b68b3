//! The commands that make a recipe, wholly or up to some stage.

use super::Failure;
use super::args::RecipeArgs;
use super::output::Output;
use super::settings::Work;
use super::ui::Ui;
use crate::pipeline::Teachers;
use serde_json::json;

/// `limbeck train`
pub(super) fn train(args: &RecipeArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    let work = Work::open(args)?;
    let build = work.build(ui);
    let images = build.images()?;
    let teachers = build.teachers(&images)?;
    let names: Vec<&str> = teachers.all.iter().map(|teacher| teacher.graph.name.as_str()).collect();
    let value = json!({ "recipe": work.recipe.name, "teachers": names, "trained": teachers.trainings });
    output.answer(&value, || format!("teachers ready: {}", listed(&teachers)))
}

/// `limbeck label`
pub(super) fn label(args: &RecipeArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    let work = Work::open(args)?;
    let build = work.build(ui);
    let images = build.images()?;
    let teachers = build.teachers(&images)?;
    let labels = build.label(&images, &teachers)?;
    let (views, count) = labels.as_ref().map_or((0, 0), |labels| (labels.views, labels.images));
    let value = json!({ "recipe": work.recipe.name, "images": count, "views": views, "folder": work.store.root() });
    output.answer(&value, || match count {
        0 => "nothing to ask: the recipe has no teacher, or no student".to_owned(),
        _ => format!("{count} images in {views} views are answered by {}", listed(&teachers)),
    })
}

/// `limbeck distill`
pub(super) fn distill(args: &RecipeArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    let work = Work::open(args)?;
    let build = work.build(ui);
    let images = build.images()?;
    let teachers = build.teachers(&images)?;
    let labels = build.label(&images, &teachers)?;
    let student = build.distill(&images, &teachers, labels.as_ref())?;
    let graph = &student.network.graph;
    let value = json!({
        "recipe": work.recipe.name,
        "student": graph.name,
        "parameters": graph.param_count(),
        "training": student.training,
        "sha256": student.digest.to_string(),
        "file": work.path("student.safetensors"),
    });
    output.answer(&value, || format!("student ready: {}", work.path("student.safetensors").display()))
}

fn listed(teachers: &Teachers) -> String {
    if teachers.all.is_empty() { "none".to_owned() } else { teachers.name() }
}

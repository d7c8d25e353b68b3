//! The commands that make a recipe, wholly or up to some stage.

use super::Failure;
use super::args::{BuildArgs, ExportArgs, JudgedArgs, RecipeArgs};
use super::output::{Output, bytes, table};
use super::settings::Work;
use super::ui::Ui;
use crate::artifact::{ArtifactError, Doing, write_whole};
use crate::pipeline::{Answers, Build, Built, Data, Student, Teachers};
use crate::verify::record::{Network, Record};
use serde_json::{Value, json};

/// All that the float stages make.
struct Float {
    data: Data,
    teachers: Teachers,
    answers: Option<Answers>,
    student: Student,
}

impl Float {
    fn make(build: &Build<'_>) -> Result<Self, Failure> {
        let data = build.data()?;
        let teachers = build.teachers(&data)?;
        let answers = build.label(&data, &teachers)?;
        let pretrained = build.pretrain(&data, &teachers)?;
        let student = build.distill(&data, &teachers, answers.as_ref(), pretrained.as_ref())?;
        Ok(Float { data, teachers, answers, student })
    }
}

/// `limbeck train`
pub(super) fn train(args: &RecipeArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    let work = Work::open(args)?;
    let build = work.build(ui);
    let teachers = build.teachers(&build.data()?)?;
    let names: Vec<&str> = teachers.all.iter().map(|teacher| teacher.graph.name.as_str()).collect();
    let value = json!({ "recipe": work.recipe.name, "teachers": names, "trained": teachers.trainings });
    output.answer(&value, || format!("teachers ready: {}", listed(&teachers)))
}

/// `limbeck label`
pub(super) fn label(args: &RecipeArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    let work = Work::open(args)?;
    let build = work.build(ui);
    let data = build.data()?;
    let teachers = build.teachers(&data)?;
    let answers = build.label(&data, &teachers)?;
    let (views, count) = answers.as_ref().map_or((0, 0), |answers| (answers.logits.views, answers.logits.images));
    let value = json!({ "recipe": work.recipe.name, "n": count, "views": views, "folder": work.store.root() });
    output.answer(&value, || match count {
        0 => "nothing to ask: the recipe has no teacher, or no student".to_owned(),
        _ => format!("{count} {} in {views} views are answered by {}", data.train.kind(), listed(&teachers)),
    })
}

/// `limbeck distill`
pub(super) fn distill(args: &RecipeArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    let work = Work::open(args)?;
    let Float { teachers, answers, student, .. } = Float::make(&work.build(ui))?;
    let graph = &student.network.graph;
    let value = json!({
        "recipe": work.recipe.name,
        "teachers": listed(&teachers),
        "views": answers.map_or(0, |answers| answers.logits.views),
        "student": graph.name,
        "parameters": graph.param_count(),
        "training": student.training,
        "sha256": student.digest.to_string(),
        "file": work.store.path("student.safetensors"),
    });
    output.answer(&value, || format!("{} learned from: {}", graph.name, listed(&teachers)))
}

/// `limbeck quantize`
pub(super) fn quantize(args: &JudgedArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    let work = Work::open(&args.recipe)?;
    let build = work.build(ui).accept_loss(args.accept_loss);
    let float = Float::make(&build)?;
    let quantized = build.quantize(&float.data, &float.student)?;
    let quantized = build.qat(&float.data, &float.student, quantized)?;
    let value = json!({
        "recipe": work.recipe.name,
        "sha256": quantized.digest.to_string(),
        "file": work.store.path(quantized.file),
        "attempts": quantized.attempts,
        "report": quantized.report,
    });
    output.answer(&value, || {
        let decibels = |snr: Option<f64>| snr.map_or("exact".to_owned(), |snr| format!("{snr:.1} dB"));
        let layers = quantized.report.layers.iter();
        let rows: Vec<Vec<String>> =
            layers.map(|layer| vec![layer.tensor.clone(), layer.op.clone(), decibels(layer.snr_db)]).collect();
        table(&["layer", "op", "signal/noise"], &rows)
    })
}

/// `limbeck pack`
pub(super) fn pack(args: &JudgedArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    let work = Work::open(&args.recipe)?;
    let build = work.build(ui).accept_loss(args.accept_loss);
    let float = Float::make(&build)?;
    let quantized = build.quantize(&float.data, &float.student)?;
    let quantized = build.qat(&float.data, &float.student, quantized)?;
    let plans = build.plan(&quantized)?;
    let models = build.pack(&float.data, &quantized, &plans)?;
    let size = |file: &str| models.iter().find(|model| model.file == file).map_or(0, |model| model.bytes.len());
    let object = |planned: &crate::pipeline::Planned| {
        json!({
            "target": planned.target.name,
            "model": work.store.path(&planned.file),
            "bytes": size(&planned.file),
            "arena_bytes": planned.plan.arena_bytes,
            "predicted_ms": planned.cost.as_ref().map(|cost| cost.milliseconds),
        })
    };
    let value = json!({ "recipe": work.recipe.name, "models": plans.iter().map(object).collect::<Vec<_>>() });
    output.answer(&value, || {
        let row = |planned: &crate::pipeline::Planned| {
            vec![
                planned.target.name.clone(),
                size(&planned.file).to_string(),
                planned.plan.arena_bytes.to_string(),
                work.store.path(&planned.file).display().to_string(),
            ]
        };
        table(&["target", "bytes", "arena", "model"], &plans.iter().map(row).collect::<Vec<_>>())
    })
}

/// `limbeck build` and `limbeck report`: a report is the last stage, and all others are stored.
pub(super) fn all(args: &BuildArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    let work = Work::open(&args.judged.recipe)?;
    if let Some(folder) = &args.output {
        std::fs::create_dir_all(folder).map_err(|e| ArtifactError::new(folder, Doing::Write, e))?;
    }
    let built = work.build(ui).accept_loss(args.judged.accept_loss).all()?;
    if let Some(folder) = &args.output {
        let name = &work.recipe.name;
        if let Some(model) = built.models.first() {
            write_whole(&folder.join(format!("{name}.lmb")), &model.bytes)?;
        }
        write_whole(&folder.join(format!("{name}.json")), &serde_json::to_vec_pretty(&built.record)?)?;
    }
    output.answer(&answer(&work, &built), || summary(&work, &built))
}

/// The JSON answer about a finished build.
pub(super) fn answer(work: &Work, built: &Built) -> Value {
    let record = &built.record;
    json!({
        "recipe": work.recipe.name,
        "model": built.models.first().map(|model| work.store.path(&model.file)),
        "compared": record.compared.iter().map(|network| json!({
            "network": network.name,
            "accuracy": network.scores.accuracy,
        })).collect::<Vec<_>>(),
        "teacher_accuracy": record.teacher.as_ref().map(|teacher| teacher.scores.accuracy),
        "float_accuracy": record.student.scores.accuracy,
        "int8_accuracy": record.int8.accuracy,
        "agreement": record.agreement,
        "models": record.models,
        "targets": record.targets,
        "exact": record.exact,
        "bars": record.bars,
        "not_run": record.not_run,
        "measured": built.measured,
        "report": work.store.path("report.html"),
        "work": work.store.root(),
    })
}

/// The closing table.
pub(super) fn summary(work: &Work, built: &Built) -> String {
    let Record { teacher, student, int8, compared, agreement, models, targets, exact, .. } = &built.record;
    let percent = |share: f64| format!("{:.2} %", 100.0 * share);
    let other = |network: &Network| vec![network.name.clone(), percent(network.scores.accuracy), "-".into()];
    let mut networks: Vec<Vec<String>> = compared.iter().map(other).collect();
    if let Some(teacher) = teacher {
        networks.push(vec![format!("teacher {}", teacher.name), percent(teacher.scores.accuracy), "-".into()]);
    }
    let agrees = agreement.student_teacher.map_or("-".to_owned(), |share| format!("{} with teacher", percent(share)));
    networks.push(vec![format!("student {} (float)", student.name), percent(student.scores.accuracy), agrees]);
    let agrees = format!("{} with float", percent(agreement.int8_student));
    networks.push(vec![format!("student {} (int8)", student.name), percent(int8.accuracy), agrees]);
    let files: Vec<Vec<String>> = targets
        .iter()
        .map(|target| {
            let model = models.iter().find(|model| model.file == target.file);
            vec![
                target.name.clone(),
                target.table.clone(),
                model.map_or("-".to_owned(), |model| bytes(model.bytes)),
                model.map_or("-".to_owned(), |model| bytes(model.arena_bytes)),
                target.predicted_ms.map_or("-".to_owned(), |ms| format!("{ms:.1} ms")),
                target.file.clone(),
            ]
        })
        .collect();
    let times: Vec<Vec<String>> = built
        .measured
        .iter()
        .map(|m| vec![m.table.clone(), m.layout.clone(), format!("{:.3} ms", m.median_ms)])
        .collect();
    let mut missed: Vec<String> = Vec::new();
    if !built.record.attempts.is_empty() && built.record.attempts.iter().all(|attempt| !attempt.met) {
        missed.push("every way to quantize costs more than `accept.int8_drop` allows".to_owned());
    }
    let bars = built.record.bars.iter().filter(|bar| !bar.met);
    missed.extend(bars.map(|bar| format!("`{}` is {} instead of {}", bar.name, bar.reached, bar.bound)));
    let missed: String = missed.iter().map(|bar| format!("\n  taken as it is: {bar}")).collect();
    format!(
        "\n{}\n{}\n{}\n  {} test {} give the same bytes in {} runs of tables and layouts (digest {})\n  report: {}{missed}",
        table(&["network", "accuracy", "agrees"], &networks),
        table(&["target", "table", "model", "arena", "predicted", "file"], &files),
        table(&["here, on table", "layout", "latency"], &times),
        exact.n,
        built.data.test.kind(),
        exact.tables.len(),
        exact.digest,
        work.store.path("report.html").display()
    )
}

/// `limbeck export`
pub(super) fn export(args: &ExportArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    let work = Work::open(&args.recipe)?;
    let path = args.output.clone().unwrap_or_else(|| work.store.path(&format!("{}.onnx", work.recipe.name)));
    let Float { student, .. } = Float::make(&work.build(ui))?;
    write_onnx(&student, &path)?;
    let value = json!({ "recipe": work.recipe.name, "student": student.network.graph.name, "file": path });
    output.answer(&value, || format!("wrote {}", path.display()))
}

#[cfg(feature = "onnx")]
fn write_onnx(student: &Student, path: &std::path::Path) -> Result<(), Failure> {
    Ok(crate::teacher::onnx::export(&student.network.graph, path)?)
}

#[cfg(not(feature = "onnx"))]
fn write_onnx(_: &Student, _: &std::path::Path) -> Result<(), Failure> {
    Err("this program was built without the feature `onnx`, which writes ONNX files: build it with `--features onnx`"
        .into())
}

fn listed(teachers: &Teachers) -> String {
    if teachers.all.is_empty() { "none".to_owned() } else { teachers.name() }
}

//! The commands that run a model file over data: `eval`, `bench`.

use super::Failure;
use super::args::{BenchArgs, EvalArgs, RunnerArgs};
use super::output::Output;
use super::settings::{self, Examples};
use super::ui::Ui;
use crate::verify::accuracy::{Scores, score};
use crate::verify::host;
use crate::verify::timing::{self, Effort};
use crate::watch::{Stage, Watch};
use limbeck_runtime::{AlignedBytes, Kernels, Model};
use serde_json::json;
use std::time::Duration;

/// The names of the classes; numbers where the file has none.
pub(super) fn labels(model: &Model<'_>, classes: usize) -> Vec<String> {
    let mut names: Vec<String> = model.labels().map(str::to_owned).collect();
    names.extend((names.len()..classes).map(|class| class.to_string()));
    names
}

/// A model file in the layout of the table that is to run it: the one asked for, or the best of this CPU.
pub(super) fn load(args: &RunnerArgs) -> Result<(AlignedBytes, &'static Kernels), Failure> {
    let kernels = forced(args.table.as_deref())?.unwrap_or_else(host::best);
    Ok((host::in_layout_of(&args.model, host::read(&args.model)?, kernels)?, kernels))
}

/// The table of a name, if one is given.
pub(super) fn forced(table: Option<&str>) -> Result<Option<&'static Kernels>, Failure> {
    table.map(settings::table).transpose()
}

/// `limbeck eval`
pub(super) fn eval(args: &EvalArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    let (bytes, kernels) = load(&args.model)?;
    let model = host::parse(&args.model.model, &bytes)?;
    let task = host::task(&model)?;
    ui.begin(Stage::Data, &format!("reading {}", task.input.kind()));
    let Examples { feed, labels, truncated } =
        settings::examples(&args.data.data, args.data.format, &model, args.limit)?;
    ui.begin(Stage::Verify, "running");
    let outputs = host::outputs(&model, kernels, &*feed, feed.len(), ui, (0, feed.len() as u64))?;
    if outputs.bytes.len() != feed.len() * model.output(0).map_or(0, |port| port.tensor.bytes()) {
        return Err("the model tells the class of each token, but the data have one label for each text".into());
    }
    let Scores { n, accuracy, cross_entropy, calibration_error, confusion, .. } =
        score(&host::logits(&model, &outputs.bytes), &labels, task.classes);
    let digest = format!("{:016x}", outputs.digest());
    let value = json!({
        "model": args.model.model,
        "table": kernels.isa.name(),
        "n": n,
        "accuracy": accuracy,
        "cross_entropy": cross_entropy,
        "calibration_error": calibration_error,
        "confusion": confusion,
        "digest": digest,
        "truncated": truncated,
    });
    let kind = feed.kind();
    ui.end(Stage::Verify, &format!("{n} {kind} on {}", kernels.isa.name()), false);
    output.answer(&value, || {
        let cut = match truncated {
            Some(count @ 1..) => format!(", {count} of them cut off"),
            _ => String::new(),
        };
        format!(
            "accuracy {:.2} % of {n} {kind}{cut}, cross entropy {cross_entropy:.4}, calibration error {:.2} %, digest {digest}",
            100.0 * accuracy,
            100.0 * calibration_error
        )
    })
}

/// `limbeck bench`
pub(super) fn bench(args: &BenchArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    let (bytes, kernels) = load(&args.model)?;
    let load_ms = timing::time_to_load(&args.model.model, &bytes, kernels)?.as_secs_f64() * 1e3;
    let model = host::parse(&args.model.model, &bytes)?;
    let measured = timing::measure(&model, kernels, args.length, Effort { runs: args.runs, most: Duration::MAX }, ui)?;
    let mut value = serde_json::to_value(&measured)?;
    value["model"] = json!(args.model.model);
    value["load_ms"] = json!(load_ms);
    output.answer(&value, || {
        let tokens = measured.tokens.map_or_else(String::new, |tokens| format!(", {tokens} tokens"));
        format!(
            "{} in layout {}, one thread{tokens}: median {:.4} ms, least {:.4} ms of {} runs, loaded in {load_ms:.4} ms",
            measured.table, measured.layout, measured.median_ms, measured.min_ms, measured.runs
        )
    })
}

//! The commands that run a model file over data: `eval`, `bench`, `verify`.

use super::Failure;
use super::args::{BenchArgs, Device, EvalArgs, RunnerArgs, VerifyArgs};
use super::output::{Output, table};
use super::settings::{self, Examples};
use super::ui::Ui;
use crate::data::text::Tokenized;
use crate::data::{Dataset, Kind};
use crate::families::Input;
use crate::verify::Feed;
use crate::verify::accuracy::{Scores, score};
use crate::verify::exact::{self, Subject};
use crate::verify::host;
use crate::verify::timing::{self, Effort};
use crate::watch::{Stage, Watch};
use limbeck_runtime::{AlignedBytes, Kernels, Model, Rng};
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

fn forced(table: Option<&str>) -> Result<Option<&'static Kernels>, Failure> {
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

/// Random examples that stand in where no data are given.
const RANDOM: usize = 64;

/// `limbeck verify`
pub(super) fn verify(args: &VerifyArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    if args.device == Device::Gpu {
        return Err("this build has no GPU kernels: use `--device cpu`".into());
    }
    let bytes = host::read(&args.model)?;
    let model = host::parse(&args.model, &bytes)?;
    let only = forced(args.table.as_deref())?.map(|kernels| kernels.isa);
    let feed = match &args.data {
        Some(path) => settings::examples(path, args.format, &model, None)?.feed,
        None => random(&model)?,
    };
    let kind = feed.kind();
    ui.begin(Stage::Verify, "running");
    let (exact, _) =
        exact::prove(&[Subject { file: &args.model.to_string_lossy(), model, names: &[] }], only, &*feed, ui)?;
    let self_tests = model.self_tests().count();
    for kernels in Kernels::all().filter(|kernels| kernels.isa.reads(model.layout())) {
        if let Err(number) = host::with_session(&model, kernels, |session| session.self_test())? {
            return Err(format!("self-test {number} of the file fails on table `{}`", kernels.isa.name()).into());
        }
    }
    let certificate = certificate(&model, args.data.is_some().then_some(exact.n), kind, &exact.digest);
    let line = format!("{} {kind}, {} tables, {self_tests} self-tests", exact.n, exact.tables.len());
    ui.end(Stage::Verify, &line, false);
    let value = json!({
        "model": args.model,
        "device": "cpu",
        "n": exact.n,
        "random": args.data.is_none(),
        "tables": exact.tables,
        "digest": exact.digest,
        "self_tests": self_tests,
        "certificate": certificate,
        "not_run": ["GPU: this build has no GPU kernels."],
    });
    output.answer(&value, || {
        let rows: Vec<Vec<String>> =
            exact.tables.iter().map(|run| vec![run.table.clone(), run.layout.clone(), run.n.to_string(), "equal".to_owned()]).collect();
        format!(
            "{}\n{} {kind}{}, digest {}\n{self_tests} self-tests pass; certificate: {certificate}\nnot run: GPU (this build has no GPU kernels)",
            table(&["table", "layout", kind.name(), "bytes"], &rows),
            exact.n,
            if args.data.is_none() { " drawn at random" } else { "" },
            exact.digest
        )
    })
}

/// Compares the outputs for `n` labelled examples, if there are some, with what the maker of the file got.
fn certificate(model: &Model<'_>, n: Option<usize>, kind: Kind, digest: &str) -> String {
    let certificate = model.certificate();
    let made = format!("{:016x}", certificate.digest);
    match certificate.items as usize {
        0 => "the file has none".to_owned(),
        items if n == Some(items) && made == *digest => format!("equal over {items} {kind}"),
        // Other examples of the same number give another digest, so this alone proves nothing wrong.
        items => format!("{made} over {items} {kind}, which are not these"),
    }
}

/// Images of random pixels, or texts of random tokens, of every length in turn.
fn random(model: &Model<'_>) -> Result<Box<dyn Feed>, Failure> {
    let task = host::task(model)?;
    let mut rng = Rng::new(1);
    let (labels, classes) = (vec![0; RANDOM], labels(model, task.classes));
    Ok(match task.input {
        Input::Image(shape) => {
            let pixels = (0..RANDOM * shape.iter().product::<usize>()).map(|_| rng.byte() as u8).collect();
            Box::new(Dataset { shape, pixels, labels, classes })
        }
        Input::Text { vocabulary, tokens } => {
            let (mut ids, mut begins) = (Vec::new(), vec![0]);
            for text in 0..RANDOM {
                ids.extend(host::random_ids(&mut rng, vocabulary, 1 + text % tokens.max(1)));
                begins.push(ids.len());
            }
            Box::new(Tokenized { ids, begins, labels, classes, truncated: 0 })
        }
    })
}

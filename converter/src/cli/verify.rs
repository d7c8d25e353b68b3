//! `limbeck verify`: a model on every kernel table of this CPU and on a GPU, equal bytes demanded.

use super::Failure;
use super::args::{Device, VerifyArgs};
use super::model::{forced, labels};
use super::output::{Output, table};
use super::settings::{self, Examples};
use super::ui::Ui;
use crate::data::text::Tokenized;
use crate::data::{Dataset, Kind};
use crate::families::Input;
use crate::verify::Feed;
use crate::verify::accuracy::score;
use crate::verify::exact::{self, Subject};
use crate::verify::host::{self, Outputs};
use crate::watch::{Stage, Watch};
use limbeck_runtime::{Kernels, Model, Rng};
use serde_json::{Value, json};
use std::time::Instant;

/// Random examples that stand in where no data are given.
const RANDOM: usize = 64;

/// `limbeck verify`
pub(super) fn verify(args: &VerifyArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    if args.device == Device::Cpu && (args.trace || args.batch.is_some()) {
        return Err("`--trace` and `--batch` say how a GPU is used: leave out `--device cpu`".into());
    }
    let start = Instant::now();
    let bytes = host::read(&args.model)?;
    let model = host::parse(&args.model, &bytes)?;
    let kernels = forced(args.table.as_deref())?;
    let Examples { feed, labels, .. } = match &args.data {
        Some(path) => settings::examples(path, args.format, &model, None)?,
        None => Examples { feed: random(&model)?, labels: Vec::new(), truncated: None },
    };
    let (n, kind, file) = (feed.len(), feed.kind(), args.model.to_string_lossy());
    let subject = Subject { file: &file, model, names: &[] };
    let (mut tables, mut outputs, mut not_run) = (Vec::new(), None, Vec::new());
    if args.device != Device::Gpu {
        ui.begin(Stage::Verify, "running");
        let (exact, bytes) = exact::prove(&[subject], kernels.map(|kernels| kernels.isa), &*feed, ui)?;
        ui.end(Stage::Verify, &format!("{n} {kind}, {} tables", exact.tables.len()), false);
        (tables, outputs) = (exact.tables, Some(bytes));
    }
    let self_tests = self_tests(&model)?;
    let on_gpu = match on_gpu(args, &subject, kernels, &*feed, output, ui)? {
        Ok(OnGpu { outputs: bytes, answer, line }) => {
            outputs.get_or_insert(bytes);
            Some((answer, line))
        }
        Err(why) => {
            not_run.push(format!("GPU: {why}"));
            None
        }
    };
    let outputs = outputs.unwrap_or_default();
    let digest = format!("{:016x}", outputs.digest());
    let accuracy = accuracy(&model, &outputs, &labels)?;
    let certificate = certificate(&model, args.data.is_some().then_some(n), kind, &digest);
    let mut value = json!({
        "model": args.model,
        "equal": true,
        "n": n,
        "random": args.data.is_none(),
        "accuracy": accuracy,
        "device": null,
        "tables": tables,
        "digest": digest,
        "self_tests": self_tests,
        "certificate": certificate,
        "seconds": start.elapsed().as_secs_f64(),
        "not_run": not_run,
    });
    if let (Some(value), Some((Value::Object(answer), _))) = (value.as_object_mut(), &on_gpu) {
        value.extend(answer.clone());
    }
    output.answer(&value, || {
        let rows: Vec<Vec<String>> = tables
            .iter()
            .map(|run| vec![run.table.clone(), run.layout.clone(), run.n.to_string(), "equal".to_owned()])
            .collect();
        let tables = if rows.is_empty() { String::new() } else { table(&["table", "layout", kind.name(), "bytes"], &rows) + "\n" };
        let random = if args.data.is_none() { " drawn at random" } else { "" };
        let right = accuracy.map_or_else(String::new, |accuracy| format!(", accuracy {:.2} %", 100.0 * accuracy));
        let gpu = match &on_gpu {
            Some((_, line)) => line.clone(),
            None => format!("not run: {}", not_run.join("; ")),
        };
        format!("{tables}{gpu}\n{n} {kind}{random}{right}, digest {digest}\n{self_tests} self-tests pass; certificate: {certificate}")
    })
}

/// What a GPU gave, equal to the runtime.
struct OnGpu {
    outputs: Outputs,
    /// What the answer says of it.
    answer: Value,
    /// The same for people.
    line: String,
}

/// Runs the model on a GPU, or says why there is none.
#[cfg(not(feature = "gpu"))]
fn on_gpu(
    args: &VerifyArgs,
    _: &Subject<'_>,
    _: Option<&'static Kernels>,
    _: &dyn Feed,
    _: &Output,
    _: &Ui,
) -> Result<Result<OnGpu, String>, Failure> {
    match args.device {
        Device::Gpu => Err("this build has no GPU kernels: use `--device cpu`".into()),
        Device::Auto | Device::Cpu => Ok(Err("this build has no GPU kernels".to_owned())),
    }
}

/// Runs the model on a GPU, or says why there is none.
#[cfg(feature = "gpu")]
fn on_gpu(
    args: &VerifyArgs,
    subject: &Subject<'_>,
    table: Option<&'static Kernels>,
    feed: &dyn Feed,
    output: &Output,
    ui: &Ui,
) -> Result<Result<OnGpu, String>, Failure> {
    use super::output::Answered;
    use crate::verify::gpu::{self, DeviceRecord, Gpu, GpuError, GpuRun};
    let gpu = match (args.device, Gpu::open()) {
        (Device::Cpu, _) => return Ok(Err("`--device cpu`".to_owned())),
        (_, Ok(gpu)) => gpu,
        (Device::Auto, Err(none)) => return Ok(Err(none.to_string())),
        (Device::Gpu, Err(none)) => return Err(none.into()),
    };
    ui.begin(Stage::Verify, &format!("running on {}", gpu.record.name));
    let settings = gpu::Settings { table, batch: args.batch, trace: args.trace };
    let (run, outputs) = match gpu::prove(&gpu, subject, settings, feed, ui) {
        Ok(proof) => proof,
        Err(GpuError::Host(error)) => return Err(error.into()),
        Err(error) => {
            if let GpuError::Differs { example, layer, element, found, expected, .. } = &error {
                output.answer_json(&json!({
                    "equal": false, "error": error.to_string(), "device": gpu.record, "example": example, "op": layer,
                    "element": element, "found": found, "expected": expected,
                }))?;
                return Err(Answered(error.to_string()).into());
            }
            return Err(error.into());
        }
    };
    let GpuRun { device, n, batch, tensors, seconds } = run;
    let DeviceRecord { name, kind, driver, version, backend } = &device;
    let what = if tensors == 1 { "the output".to_owned() } else { format!("{tensors} tensors") };
    let line = format!(
        "GPU {name} ({kind}, {backend}, {driver} {version}): {what} of each equal, {n} in {seconds:.1} s, {batch} at once"
    );
    ui.end(Stage::Verify, &format!("{n} {} on {name}", feed.kind()), false);
    let answer = json!({ "device": device, "batch": batch, "tensors": tensors, "gpu_seconds": seconds });
    Ok(Ok(OnGpu { outputs, answer, line }))
}

/// Runs the file's self-tests on every table that reads it, and gives their number.
fn self_tests(model: &Model<'_>) -> Result<usize, Failure> {
    for kernels in Kernels::all().filter(|kernels| kernels.isa.reads(model.layout())) {
        if let Err(number) = host::with_session(model, kernels, |session| session.self_test())? {
            return Err(format!("self-test {number} of the file fails on table `{}`", kernels.isa.name()).into());
        }
    }
    Ok(model.self_tests().count())
}

/// The share of labelled examples that are classified right; nothing where there are no labels, or not one for each example.
fn accuracy(model: &Model<'_>, outputs: &Outputs, labels: &[u32]) -> Result<Option<f64>, Failure> {
    let classes = host::task(model)?.classes;
    let logits = host::logits(model, &outputs.bytes);
    let one_each = !labels.is_empty() && logits.len() == labels.len() * classes;
    Ok(one_each.then(|| score(&logits, labels, classes).accuracy))
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

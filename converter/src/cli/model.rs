//! The commands that run a model file: `run`, `eval`, `bench`, `verify`.

use super::Failure;
use super::args::{BenchArgs, Device, EvalArgs, RunArgs, RunnerArgs, VerifyArgs};
use super::output::{Output, table};
use super::settings;
use super::ui::Ui;
use crate::data::{Dataset, load_image};
use crate::verify::accuracy::{Scores, first_max, score, softmax};
use crate::verify::exact::{self, Subject};
use crate::verify::host;
use crate::watch::{Stage, Watch};
use limbeck_runtime::{AlignedBytes, Kernels, Model, Rng};
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// `limbeck run`
pub(super) fn run(args: &RunArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    let (bytes, kernels) = load(&args.model)?;
    let model = host::parse(&args.model.model, &bytes)?;
    let ([height, width, channels], classes) = host::task(&model)?;
    if channels != 3 {
        return Err(format!("the model takes images of {channels} channels; image files give 3").into());
    }
    let mut results = Vec::new();
    for path in &args.inputs {
        if ui.stopped() {
            return Err(host::HostError::Interrupted.into());
        }
        let (pixels, _) = load_image(path, Some([height, width]))?;
        results.push((path, classify(&model, kernels, &pixels)?));
    }
    let names: Vec<String> = labels(&model, classes);
    let object = |(path, answer): &(&PathBuf, Answer)| {
        json!({
            "input": path,
            "label": names[answer.index],
            "index": answer.index,
            "probabilities": answer.probabilities,
            "digest": format!("{:016x}", answer.digest),
        })
    };
    let value = json!({
        "model": args.model.model,
        "table": kernels.isa.name(),
        "results": results.iter().map(object).collect::<Vec<_>>(),
    });
    output.answer(&value, || {
        let row = |(path, answer): &(&PathBuf, Answer)| {
            vec![
                path.display().to_string(),
                names[answer.index].clone(),
                format!("{:.1} %", 100.0 * answer.probabilities[answer.index]),
                format!("{:016x}", answer.digest),
            ]
        };
        table(&["image", "label", "probability", "digest"], &results.iter().map(row).collect::<Vec<_>>())
    })
}

/// What a classifier says of one image.
pub(super) struct Answer {
    pub(super) index: usize,
    pub(super) probabilities: Vec<f64>,
    /// Of the raw output; the same on every device.
    pub(super) digest: u64,
}

/// Runs one image, given as the model's own number of pixels.
pub(super) fn classify(model: &Model<'_>, kernels: &'static Kernels, pixels: &[u8]) -> Result<Answer, host::HostError> {
    let (output, digest) = host::with_session(model, kernels, |session| {
        session.set_pixels(0, pixels);
        session.run();
        (session.output(0).to_vec(), session.digest())
    })?;
    let logits = host::logits(model, &output);
    Ok(Answer { index: first_max(&logits), probabilities: softmax(&logits), digest })
}

/// The names of the classes; numbers where the file has none.
pub(super) fn labels(model: &Model<'_>, classes: usize) -> Vec<String> {
    let mut names: Vec<String> = model.labels().map(str::to_owned).collect();
    names.extend((names.len()..classes).map(|class| class.to_string()));
    names
}

/// A model file in the layout of the table that is to run it: the one asked for, or the best of this CPU.
fn load(args: &RunnerArgs) -> Result<(AlignedBytes, &'static Kernels), Failure> {
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
    ui.begin(Stage::Data, "reading images");
    let images = settings::images(&args.data.data, args.data.format, &model, args.limit)?;
    ui.begin(Stage::Verify, "running");
    let outputs = host::outputs(&model, kernels, &images, ui, (0, images.len() as u64))?;
    let (_, classes) = host::task(&model)?;
    let Scores { n, accuracy, cross_entropy, calibration_error, confusion, .. } =
        score(&host::logits(&model, &outputs), &images.labels, classes);
    let digest = format!("{:016x}", exact::digest(&outputs));
    let value = json!({
        "model": args.model.model,
        "table": kernels.isa.name(),
        "n": n,
        "accuracy": accuracy,
        "cross_entropy": cross_entropy,
        "calibration_error": calibration_error,
        "confusion": confusion,
        "digest": digest,
    });
    ui.end(Stage::Verify, &format!("{n} images on {}", kernels.isa.name()), false);
    output.answer(&value, || {
        format!(
            "accuracy {:.2} % of {n} images, cross entropy {cross_entropy:.4}, calibration error {:.2} %, digest {digest}",
            100.0 * accuracy,
            100.0 * calibration_error
        )
    })
}

/// `limbeck bench`
pub(super) fn bench(args: &BenchArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    let (bytes, kernels) = load(&args.model)?;
    let model = host::parse(&args.model.model, &bytes)?;
    let measured = host::measure(&model, kernels, args.runs, Duration::MAX, ui)?;
    let mut value = serde_json::to_value(&measured)?;
    value["model"] = json!(args.model.model);
    output.answer(&value, || {
        format!(
            "{} in layout {}, one thread: median {:.4} ms, least {:.4} ms of {} runs",
            measured.table, measured.layout, measured.median_ms, measured.min_ms, measured.runs
        )
    })
}

/// Images of random pixels that stand in where no data are given.
const RANDOM_IMAGES: usize = 64;

/// `limbeck verify`
pub(super) fn verify(args: &VerifyArgs, output: &Output, ui: &Ui) -> Result<(), Failure> {
    if args.device == Device::Gpu {
        return Err("this build has no GPU kernels: use `--device cpu`".into());
    }
    let bytes = host::read(&args.model)?;
    let model = host::parse(&args.model, &bytes)?;
    let only = forced(args.table.as_deref())?.map(|kernels| kernels.isa);
    let images = match &args.data {
        Some(path) => settings::images(path, args.format, &model, None)?,
        None => random_images(&model)?,
    };
    ui.begin(Stage::Verify, "running");
    let (exact, _) =
        exact::prove(&[Subject { file: &args.model.to_string_lossy(), model, names: &[] }], only, &images, ui)?;
    let self_tests = model.self_tests().count();
    for kernels in Kernels::all().filter(|kernels| kernels.isa.reads(model.layout())) {
        if let Err(number) = host::with_session(&model, kernels, |session| session.self_test())? {
            return Err(format!("self-test {number} of the file fails on table `{}`", kernels.isa.name()).into());
        }
    }
    let certificate = certificate(&model, args.data.is_some(), images.len(), &exact.digest)?;
    let line = format!("{} images, {} tables, {self_tests} self-tests", exact.images, exact.tables.len());
    ui.end(Stage::Verify, &line, false);
    let value = json!({
        "model": args.model,
        "device": "cpu",
        "images": exact.images,
        "random_pixels": args.data.is_none(),
        "tables": exact.tables,
        "digest": exact.digest,
        "self_tests": self_tests,
        "certificate": certificate,
        "not_run": ["GPU: this build has no GPU kernels."],
    });
    output.answer(&value, || {
        let rows: Vec<Vec<String>> =
            exact.tables.iter().map(|run| vec![run.table.clone(), run.layout.clone(), run.images.to_string(), "equal".to_owned()]).collect();
        format!(
            "{}\n{} images{}, digest {}\n{self_tests} self-tests pass; certificate: {certificate}\nnot run: GPU (this build has no GPU kernels)",
            table(&["table", "layout", "images", "bytes"], &rows),
            exact.images,
            if args.data.is_none() { " of random pixels" } else { "" },
            exact.digest
        )
    })
}

/// Compares the outputs with what the maker of the file got, if it was for these images.
fn certificate(model: &Model<'_>, labelled: bool, images: usize, digest: &str) -> Result<String, Failure> {
    let certificate = model.certificate();
    let made = format!("{:016x}", certificate.digest);
    Ok(match (certificate.items as usize, labelled) {
        (0, _) => "the file has none".to_owned(),
        (items, true) if items == images && made == *digest => format!("equal over {items} images"),
        // Other images of the same number give another digest, so this alone proves nothing wrong.
        (items, _) => format!("{made} over {items} images, which are not these"),
    })
}

fn random_images(model: &Model<'_>) -> Result<Dataset, Failure> {
    let (shape, classes) = host::task(model)?;
    let mut rng = Rng::new(1);
    let pixels = (0..RANDOM_IMAGES * shape.iter().product::<usize>()).map(|_| rng.byte() as u8).collect();
    Ok(Dataset { shape, pixels, labels: vec![0; RANDOM_IMAGES], classes: labels(model, classes) })
}

//! Model files on this computer: read, checked, run over many images, timed.

use super::record::Measured;
use super::relayout::relayout;
use crate::artifact::{ArtifactError, Doing};
use crate::data::Dataset;
use crate::watch::Watch;
use limbeck_runtime::format::emit::EmitError;
use limbeck_runtime::kernels::Order;
use limbeck_runtime::ops::AllOps;
use limbeck_runtime::{AlignedBytes, Kernels, Layout, LoadError, Model, Session, SessionError, arena_bytes};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Why a model file did not run.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The operating system said no.
    #[error(transparent)]
    File(#[from] ArtifactError),
    /// The file is not accepted.
    #[error("{} is refused: {source}", path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// Why.
        source: LoadError,
    },
    /// The table cannot run it.
    #[error("table `{table}` cannot run a model in layout {layout}: {source}")]
    Session {
        /// The table.
        table: &'static str,
        /// The file's layout.
        layout: String,
        /// Why.
        source: SessionError,
    },
    /// The file cannot be written in the layout of the table.
    #[error("cannot write the model in the layout of table `{table}`: {source}")]
    Relayout {
        /// The table.
        table: &'static str,
        /// Why.
        source: EmitError,
    },
    /// The images are not what the model sees.
    #[error("the model takes images of {expected:?} (height, width, channels), but these are {found:?}")]
    Images {
        /// What the model takes.
        expected: [usize; 3],
        /// What there is.
        found: [usize; 3],
    },
    /// The classes are not what the model says.
    #[error("the model tells {expected} classes apart, but the images are of {found}")]
    Classes {
        /// Outputs of the model.
        expected: usize,
        /// Classes of the images.
        found: usize,
    },
    /// Not a network from an image to scores.
    #[error("the model has {inputs} inputs and {outputs} outputs; a classifier has one of each")]
    NotAClassifier {
        /// Its inputs.
        inputs: usize,
        /// Its outputs.
        outputs: usize,
    },
    /// The user stopped it.
    #[error("stopped")]
    Interrupted,
}

/// The bytes of a model file, where a model wants them.
///
/// # Errors
/// If it cannot be read.
pub fn read(path: &Path) -> Result<AlignedBytes, HostError> {
    let bytes = std::fs::read(path).map_err(|e| ArtifactError::new(path, Doing::Read, e))?;
    Ok(AlignedBytes::copy_of(&bytes))
}

/// Checks a model file; `path` is only for messages.
///
/// # Errors
/// If the file is damaged, or from another version.
pub fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<Model<'a>, HostError> {
    Model::parse(bytes).map_err(|source| HostError::Load { path: path.to_owned(), source })
}

/// The best table of this CPU.
pub fn best() -> &'static Kernels {
    // Any layout will do: a model is brought to the table's own.
    Kernels::best::<AllOps>(Kernels::all().last().map_or(Layout::PLAIN, |kernels| kernels.isa.layout()))
}

/// The bytes of a model with its weights in the order of `kernels`: a file for a chip runs here as fast as one for this
/// computer, and gives the same bytes.
///
/// # Errors
/// If they are no model, or become too large for the format.
pub fn in_layout_of(path: &Path, bytes: AlignedBytes, kernels: &Kernels) -> Result<AlignedBytes, HostError> {
    let (model, isa) = (parse(path, &bytes)?, kernels.isa);
    if model.layout() == isa.layout() {
        return Ok(bytes);
    }
    relayout(&model, isa.layout()).map_err(|source| HostError::Relayout { table: isa.name(), source })
}

/// The name of a layout, as in the target files.
pub fn layout_name(layout: Layout) -> String {
    match layout {
        Layout::LANES => "lanes".to_owned(),
        Layout::PLAIN => "plain".to_owned(),
        Layout { order: Order::Halves, .. } => "dsp".to_owned(),
        Layout { n, k, .. } => format!("n{n}k{k}"),
    }
}

/// The shape of the images that a classifier takes, and the number of its classes.
///
/// # Errors
/// If it is no classifier.
pub fn task(model: &Model<'_>) -> Result<([usize; 3], usize), HostError> {
    let (inputs, outputs) = (model.inputs(), model.outputs());
    match (model.input(0), model.output(0)) {
        (Some(input), Some(output)) if inputs == 1 && outputs == 1 => {
            Ok((input.tensor.shape.sizes(), output.tensor.shape.len()))
        }
        _ => Err(HostError::NotAClassifier { inputs, outputs }),
    }
}

/// A session with memory of its own, given to `work`.
///
/// # Errors
/// If the table does not read the file's layout.
pub fn with_session<T>(
    model: &Model<'_>,
    kernels: &'static Kernels,
    work: impl FnOnce(&mut Session<'_, '_, '_>) -> T,
) -> Result<T, HostError> {
    let mut arena = AlignedBytes::zeroed(arena_bytes(model, kernels.isa));
    let session = Session::with_kernels(model, &mut arena, kernels);
    session.map(|mut session| work(&mut session)).map_err(|source| HostError::Session {
        table: kernels.isa.name(),
        layout: layout_name(model.layout()),
        source,
    })
}

/// Images of one piece of work.
const BLOCK: usize = 32;

/// The raw outputs for all images, one after another, on all threads. `step` numbers for the watcher begin at `done` of
/// `total`.
///
/// # Errors
/// If the model does not take such images, the table does not read its layout, or the user stops it.
pub fn outputs(
    model: &Model<'_>,
    kernels: &'static Kernels,
    images: &Dataset,
    watch: &dyn Watch,
    (done, total): (u64, u64),
) -> Result<Vec<i8>, HostError> {
    let (shape, classes) = task(model)?;
    if shape != images.shape {
        return Err(HostError::Images { expected: shape, found: images.shape });
    }
    let finished = AtomicU64::new(done);
    let note = format!("{} on {}", layout_name(model.layout()), kernels.isa.name());
    let mut all = vec![0; images.len() * classes];
    all.par_chunks_mut(BLOCK * classes).enumerate().try_for_each(|(block, outputs)| {
        if watch.stopped() {
            return Err(HostError::Interrupted);
        }
        with_session(model, kernels, |session| {
            for (index, output) in (block * BLOCK..).zip(outputs.chunks_exact_mut(classes)) {
                session.set_pixels(0, images.image(index));
                session.run();
                output.copy_from_slice(session.output(0));
            }
        })?;
        let count = (outputs.len() / classes) as u64;
        watch.step(finished.fetch_add(count, Ordering::Relaxed) + count, total, &note);
        Ok(())
    })?;
    Ok(all)
}

/// The real numbers that raw outputs stand for.
pub fn logits(model: &Model<'_>, outputs: &[i8]) -> Vec<f32> {
    let port = model.output(0).map_or((1.0, 0), |port| (port.scale, port.zero));
    outputs.iter().map(|&q| port.0 * (f32::from(q) - f32::from(port.1))).collect()
}

/// Times single runs on one thread, after some to warm up: `runs` of them, or as many as fit into `most`.
///
/// # Errors
/// If the table does not read the file's layout, or the user stops it.
pub fn measure(
    model: &Model<'_>,
    kernels: &'static Kernels,
    runs: u32,
    most: Duration,
    watch: &dyn Watch,
) -> Result<Measured, HostError> {
    /// Long enough for a CPU to reach its clock.
    const WARM_UP: Duration = Duration::from_millis(100);
    let mut times = with_session(model, kernels, |session| {
        let input = session.input_mut(0);
        let mut rng = limbeck_runtime::Rng::new(1);
        input.fill_with(|| rng.byte());
        // The input's memory is used again during a run, so every run begins with the same bytes.
        let pixels = input.to_vec();
        let mut run = || {
            session.input_mut(0).copy_from_slice(&pixels);
            let start = Instant::now();
            session.run();
            start.elapsed()
        };
        let start = Instant::now();
        while start.elapsed() < WARM_UP && !watch.stopped() {
            run();
        }
        let start = Instant::now();
        let go_on = |times: &Vec<Duration>| times.is_empty() || start.elapsed() < most && !watch.stopped();
        let mut times = Vec::new();
        while times.len() < runs as usize && go_on(&times) {
            times.push(run());
        }
        times
    })?;
    if watch.stopped() {
        return Err(HostError::Interrupted);
    }
    times.sort_unstable();
    let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
    Ok(Measured {
        table: kernels.isa.name().to_owned(),
        layout: layout_name(model.layout()),
        min_ms: ms(times.first()),
        median_ms: ms(times.get(times.len() / 2)),
        runs: times.len() as u32,
    })
}

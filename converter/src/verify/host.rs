//! Model files on this computer: read, checked, run over many examples, timed.

use super::Feed;
use super::relayout::relayout;
use crate::artifact::{ArtifactError, Doing};
use crate::data::Kind;
use crate::families::{Input, Task};
use crate::watch::Watch;
use limbeck_runtime::format::emit::EmitError;
use limbeck_runtime::kernels::Order;
use limbeck_runtime::ops::{AllOps, Op};
use limbeck_runtime::{
    AlignedBytes, Element, Fnv1a64, Kernels, Layout, LoadError, Model, Rng, Session, SessionError, TokenError,
    arena_bytes,
};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

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
    /// The examples are of the other kind.
    #[error("the model takes {expected}, but these are {found}")]
    Kind {
        /// What the model takes.
        expected: Kind,
        /// What there is.
        found: Kind,
    },
    /// A text does not fit the model.
    #[error("a text does not fit the model: {0}")]
    Tokens(#[from] TokenError),
    /// The classes are not what the model says.
    #[error("the model tells {expected} classes apart, but the {kind} are of {found}")]
    Classes {
        /// What the examples are.
        kind: Kind,
        /// Outputs of the model.
        expected: usize,
        /// Classes of the examples.
        found: usize,
    },
    /// Not a network from an image or a text to scores.
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

/// What a classifier takes, and the number of its classes, of which each token of a text may have one.
///
/// # Errors
/// If it is no classifier.
pub fn task(model: &Model<'_>) -> Result<Task, HostError> {
    let (inputs, outputs) = (model.inputs(), model.outputs());
    let (Some(input), Some(output), 1, 1) = (model.input(0), model.output(0), inputs, outputs) else {
        return Err(HostError::NotAClassifier { inputs, outputs });
    };
    let input = match input.tensor.element {
        Element::Token => Input::Text { vocabulary: vocabulary(model), tokens: model.max_length() },
        _ => Input::Image(input.tensor.shape.sizes()),
    };
    let shape = output.tensor.shape;
    Ok(Task { input, classes: if output.tensor.sequence { shape.channels } else { shape.len() } })
}

/// Tokens that a model of texts knows.
fn vocabulary(model: &Model<'_>) -> usize {
    let tables = model.ops().filter_map(|view| match view.op() {
        Some(Op::Embed(op)) => Some(op.vocabulary()),
        _ => None,
    });
    tables.min().unwrap_or(0)
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

/// Examples of one piece of work.
const BLOCK: usize = 32;

/// What a model gives for examples, as bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// For all of them, one after another.
    pub bytes: Vec<i8>,
    /// Where those of each example end.
    ends: Vec<usize>,
}

impl Outputs {
    /// The example that gave a byte.
    pub fn example(&self, place: usize) -> usize {
        self.ends.partition_point(|&end| end <= place)
    }

    /// Where the bytes of an example begin.
    pub fn begin(&self, example: usize) -> usize {
        example.checked_sub(1).and_then(|before| self.ends.get(before).copied()).unwrap_or(0)
    }

    /// The digest of all bytes, as in a model's certificate.
    pub fn digest(&self) -> u64 {
        let mut digest = Fnv1a64::new();
        digest.update(&self.bytes);
        digest.finish()
    }

    /// Adds those of one more example.
    pub(super) fn push(&mut self, output: &[i8]) {
        self.bytes.extend_from_slice(output);
        self.ends.push(self.bytes.len());
    }
}

/// The raw outputs for the first `count` examples, on all threads. `step` numbers for the watcher begin at `done` of `total`.
///
/// # Errors
/// If the model does not take such examples, the table does not read its layout, or the user stops it.
pub fn outputs(
    model: &Model<'_>,
    kernels: &'static Kernels,
    feed: &dyn Feed,
    count: usize,
    watch: &dyn Watch,
    (done, total): (u64, u64),
) -> Result<Outputs, HostError> {
    feed.check(model)?;
    let finished = AtomicU64::new(done);
    let note = format!("{} on {}", layout_name(model.layout()), kernels.isa.name());
    let count = count.min(feed.len());
    let block = |first: usize| {
        if watch.stopped() {
            return Err(HostError::Interrupted);
        }
        let examples = first..(first + BLOCK).min(count);
        let number = examples.len() as u64;
        let outputs = with_session(model, kernels, |session| {
            let mut outputs = Outputs::default();
            for index in examples {
                feed.give(index, session)?;
                session.run();
                outputs.push(session.output(0));
            }
            Ok::<_, HostError>(outputs)
        })??;
        watch.step(finished.fetch_add(number, Ordering::Relaxed) + number, total, &note);
        Ok(outputs)
    };
    let blocks = (0..count.div_ceil(BLOCK)).into_par_iter().map(|number| block(number * BLOCK));
    let blocks: Vec<Outputs> = blocks.collect::<Result<_, _>>()?;
    let mut all = Outputs::default();
    for block in &blocks {
        (0..block.ends.len()).for_each(|i| all.push(&block.bytes[block.begin(i)..block.ends[i]]));
    }
    Ok(all)
}

/// The real numbers that raw outputs stand for.
pub fn logits(model: &Model<'_>, outputs: &[i8]) -> Vec<f32> {
    let Some(port) = model.output(0) else { return Vec::new() };
    match port.tensor.element {
        Element::Int8 => outputs.iter().map(|&q| port.scale * (f32::from(q) - f32::from(port.zero))).collect(),
        Element::Int16 | Element::Token => {
            let (pairs, _) = outputs.as_chunks::<2>();
            pairs.iter().map(|pair| port.scale * f32::from(i16::from_le_bytes(pair.map(i8::cast_unsigned)))).collect()
        }
    }
}

/// Token ids at random, for a model of texts.
pub(crate) fn random_ids(rng: &mut Rng, vocabulary: usize, length: usize) -> Vec<u16> {
    (0..length).map(|_| u16::try_from(rng.below(vocabulary.max(1))).unwrap_or(0)).collect()
}

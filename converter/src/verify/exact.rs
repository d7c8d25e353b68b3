//! The proof of equal bytes: every table of this CPU, and every layout, on the same examples.

use super::Feed;
use super::host::{self, HostError, Outputs, layout_name};
use super::record::{Exact, TableRun};
use super::relayout::relayout;
use crate::watch::Watch;
use limbeck_runtime::format::emit::EmitError;
use limbeck_runtime::{AlignedBytes, Isa, Kernels, Layout, Model};
use std::path::Path;

/// A model file to be proved.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Its name, for the record.
    pub file: &'a str,
    /// The file.
    pub model: Model<'a>,
    /// The names of its ops, where they are known.
    pub names: &'a [String],
}

impl Subject<'_> {
    /// An op for messages: its number, and its name or else what it is.
    pub(super) fn op_name(&self, op: usize) -> String {
        match (self.names.get(op), self.model.ops().nth(op).and_then(|view| view.kind())) {
            (Some(name), _) => format!("op {op} (`{name}`)"),
            (None, kind) => format!("op {op} ({})", kind.map_or("", |kind| kind.name())),
        }
    }
}

/// Why there is no proof.
#[derive(Debug, thiserror::Error)]
pub enum ExactError {
    /// Something did not run.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The file could not be written in another layout.
    #[error("cannot write the model in another layout")]
    Relayout(#[from] EmitError),
    /// There is nothing to run.
    #[error("there is no model to verify")]
    Nothing,
    /// Two tables differ.
    #[error(
        "{file}: table `{table}` in layout {layout} differs from `scalar`, first at example {example}, in {layer}, byte {byte}: \
         {found} instead of {expected}; this is a fault of the program, please report it"
    )]
    Differs {
        /// The model file.
        file: String,
        /// The table.
        table: &'static str,
        /// The layout that it ran.
        layout: String,
        /// The first example.
        example: usize,
        /// The first op.
        layer: String,
        /// The first byte of the op's output.
        byte: usize,
        /// What it is.
        found: i8,
        /// What it should be.
        expected: i8,
    },
}

/// Examples on which `scalar` reads a layout that is not its own: it computes by the bare definition there, byte by byte
/// through the layout's formula, some ten times slower.
const BY_DEFINITION: usize = 32;

/// One table on one layout.
struct Run {
    kernels: &'static Kernels,
    layout: Layout,
    n: usize,
}

/// Runs each subject on each table of this CPU (on scalar and `only`, if that is given) in the table's own layout over all
/// examples, and on scalar in every other layout over some, and demands equal bytes. Also gives those bytes.
///
/// # Errors
/// With the first example, op and byte that differ.
pub fn prove(
    subjects: &[Subject<'_>],
    only: Option<Isa>,
    feed: &dyn Feed,
    watch: &dyn Watch,
) -> Result<(Exact, Outputs), ExactError> {
    let runs = runs(only, feed.len());
    let total: usize = subjects.len() * runs.iter().map(|run| run.n).sum::<usize>();
    let mut done = 0;
    let mut tables = Vec::new();
    let mut reference: Option<Outputs> = None;
    for subject in subjects {
        // The first run is scalar in its own layout: the specification, and the reference of all others.
        for &Run { kernels, layout, n } in &runs {
            let bytes = in_layout(subject, layout)?;
            let model = bytes.as_ref().map_or(Ok(subject.model), |bytes| parsed(subject, bytes))?;
            let outputs = host::outputs(&model, kernels, feed, n, watch, (done, total as u64))?;
            done += n as u64;
            let (table, layout) = (kernels.isa.name(), layout_name(layout));
            tables.push(TableRun { file: subject.file.to_owned(), table: table.to_owned(), layout, n });
            match &reference {
                None => reference = Some(outputs),
                Some(expected) if expected.bytes.starts_with(&outputs.bytes) => {}
                Some(expected) => {
                    let bytes = in_layout(subject, Isa::Scalar.layout())?;
                    let good = bytes.as_ref().map_or(Ok(subject.model), |bytes| parsed(subject, bytes))?;
                    let same = |(a, b): &(&i8, &i8)| a == b;
                    let place = expected.bytes.iter().zip(&outputs.bytes).take_while(same).count();
                    let example = expected.example(place);
                    let byte = place - expected.begin(example);
                    return Err(locate(subject, [&good, &model], kernels, feed, (example, byte))?);
                }
            }
        }
    }
    let outputs = reference.ok_or(ExactError::Nothing)?;
    let digest = format!("{:016x}", outputs.digest());
    Ok((Exact { n: feed.len(), tables, digest }, outputs))
}

/// What is run, scalar in its own layout first.
fn runs(only: Option<Isa>, n: usize) -> Vec<Run> {
    let wanted = |kernels: &&'static Kernels| only.is_none_or(|isa| kernels.isa == isa || kernels.isa == Isa::Scalar);
    let mut runs: Vec<Run> =
        Kernels::all().filter(wanted).map(|kernels| Run { kernels, layout: kernels.isa.layout(), n }).collect();
    let mut layouts: Vec<Layout> = vec![Isa::Scalar.layout()];
    for layout in Isa::ALL.iter().map(|isa| isa.layout()).chain([Layout::PLAIN]) {
        if let (false, Some(kernels)) = (layouts.contains(&layout), Kernels::for_isa(Isa::Scalar)) {
            layouts.push(layout);
            runs.push(Run { kernels, layout, n: n.min(BY_DEFINITION) });
        }
    }
    runs
}

/// The subject in another layout; `None` if the file itself is in it.
fn in_layout(subject: &Subject<'_>, layout: Layout) -> Result<Option<AlignedBytes>, EmitError> {
    (subject.model.layout() != layout).then(|| relayout(&subject.model, layout)).transpose()
}

fn parsed<'b>(subject: &Subject<'_>, bytes: &'b [u8]) -> Result<Model<'b>, HostError> {
    host::parse(Path::new(subject.file), bytes)
}

/// Where the outputs of a table begin to differ: the first op, given the first example and the first byte of its output.
fn locate(
    subject: &Subject<'_>,
    [good, bad]: [&Model<'_>; 2],
    kernels: &'static Kernels,
    feed: &dyn Feed,
    (example, byte): (usize, usize),
) -> Result<ExactError, HostError> {
    let scalar = Kernels::for_isa(Isa::Scalar).unwrap_or(kernels);
    let [expected, found] = [layers(good, scalar, feed, example)?, layers(bad, kernels, feed, example)?];
    let differs = |(a, b): (&Vec<i8>, &Vec<i8>)| a.iter().zip(b).position(|(a, b)| a != b);
    let op = expected.iter().zip(&found).position(|pair| differs(pair).is_some());
    let (layer, byte, found, expected) = match op {
        Some(op) => {
            let byte = differs((&expected[op], &found[op])).unwrap_or(0);
            (subject.op_name(op), byte, found[op][byte], expected[op][byte])
        }
        // Another file of the same network than the reference's: its own scalar run is wrong all the way.
        None => ("the outputs of the file itself".to_owned(), byte, 0, 0),
    };
    let (file, layout) = (subject.file.to_owned(), layout_name(bad.layout()));
    Ok(ExactError::Differs { file, table: kernels.isa.name(), layout, example, layer, byte, found, expected })
}

/// What every op writes for one example.
fn layers(
    model: &Model<'_>,
    kernels: &'static Kernels,
    feed: &dyn Feed,
    example: usize,
) -> Result<Vec<Vec<i8>>, HostError> {
    host::with_session(model, kernels, |session| {
        feed.give(example, session)?;
        let mut layers = Vec::new();
        session.run_with(|step| layers.push(step.output.to_vec()));
        Ok(layers)
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalar_in_its_own_layout_comes_first_and_every_layout_is_read() {
        let runs = runs(None, 1000);
        assert_eq!((runs[0].kernels.isa, runs[0].layout, runs[0].n), (Isa::Scalar, Isa::Scalar.layout(), 1000));
        for isa in Isa::ALL {
            assert!(runs.iter().any(|run| run.layout == isa.layout()), "{}", isa.name());
        }
        assert_eq!(runs.iter().filter(|run| run.n == 1000).count(), Kernels::all().count());
    }
}

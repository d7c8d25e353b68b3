//! The proof of equal bytes: every table of this CPU, and every layout, on the same images.

use super::host::{self, HostError, layout_name};
use super::record::{Exact, TableRun};
use super::relayout::relayout;
use crate::data::Dataset;
use crate::watch::Watch;
use limbeck_runtime::format::emit::EmitError;
use limbeck_runtime::{AlignedBytes, Fnv1a64, Isa, Kernels, Layout, Model};
use std::borrow::Cow;
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
        "{file}: table `{table}` in layout {layout} differs from `scalar`, first at image {image}, in {layer}, byte {byte}: \
         {found} instead of {expected}; this is a fault of the program, please report it"
    )]
    Differs {
        /// The model file.
        file: String,
        /// The table.
        table: &'static str,
        /// The layout that it ran.
        layout: String,
        /// The first image.
        image: usize,
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

/// Images on which `scalar` reads a layout that is not its own: it computes by the bare definition there, byte by byte
/// through the layout's formula, some ten times slower.
const BY_DEFINITION: usize = 32;

/// One table on one layout.
struct Run {
    kernels: &'static Kernels,
    layout: Layout,
    images: usize,
}

/// Runs each subject on each table of this CPU (on scalar and `only`, if that is given) in the table's own layout over all
/// images, and on scalar in every other layout over some, and demands equal bytes. Also gives those bytes, image after
/// image.
///
/// # Errors
/// With the first image, op and byte that differ.
pub fn prove(
    subjects: &[Subject<'_>],
    only: Option<Isa>,
    images: &Dataset,
    watch: &dyn Watch,
) -> Result<(Exact, Vec<i8>), ExactError> {
    let runs = runs(only, images.len());
    let total: usize = subjects.len() * runs.iter().map(|run| run.images).sum::<usize>();
    let mut done = 0;
    let mut tables = Vec::new();
    let mut reference: Option<Vec<i8>> = None;
    for subject in subjects {
        // The first run is scalar in its own layout: the specification, and the reference of all others.
        for Run { kernels, layout, images: count } in &runs {
            let bytes = in_layout(subject, *layout)?;
            let model = bytes.as_ref().map_or(Ok(subject.model), |bytes| parsed(subject, bytes))?;
            let some = if *count < images.len() {
                Cow::Owned(images.subset(&(0..*count).collect::<Vec<_>>()))
            } else {
                Cow::Borrowed(images)
            };
            let outputs = host::outputs(&model, kernels, &some, watch, (done, total as u64))?;
            done += *count as u64;
            let (table, layout) = (kernels.isa.name(), layout_name(*layout));
            tables.push(TableRun { file: subject.file.to_owned(), table: table.to_owned(), layout, images: *count });
            match &reference {
                None => reference = Some(outputs),
                Some(expected) if expected[..outputs.len()] == outputs[..] => {}
                Some(expected) => {
                    let bytes = in_layout(subject, Isa::Scalar.layout())?;
                    let good = bytes.as_ref().map_or(Ok(subject.model), |bytes| parsed(subject, bytes))?;
                    let place = expected.iter().zip(&outputs).position(|(a, b)| a != b).unwrap_or(0);
                    return Err(locate(subject, &good, &model, kernels, images, place)?);
                }
            }
        }
    }
    let outputs = reference.ok_or(ExactError::Nothing)?;
    let digest = format!("{:016x}", digest(&outputs));
    Ok((Exact { images: images.len(), tables, digest }, outputs))
}

/// What is run, scalar in its own layout first.
fn runs(only: Option<Isa>, images: usize) -> Vec<Run> {
    let wanted = |kernels: &&'static Kernels| only.is_none_or(|isa| kernels.isa == isa || kernels.isa == Isa::Scalar);
    let mut runs: Vec<Run> =
        Kernels::all().filter(wanted).map(|kernels| Run { kernels, layout: kernels.isa.layout(), images }).collect();
    let mut layouts: Vec<Layout> = vec![Isa::Scalar.layout()];
    for layout in Isa::ALL.iter().map(|isa| isa.layout()).chain([Layout::PLAIN]) {
        if let (false, Some(kernels)) = (layouts.contains(&layout), Kernels::for_isa(Isa::Scalar)) {
            layouts.push(layout);
            runs.push(Run { kernels, layout, images: images.min(BY_DEFINITION) });
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

/// The digest of outputs one after another, as in a model's certificate.
pub fn digest(outputs: &[i8]) -> u64 {
    let mut digest = Fnv1a64::new();
    digest.update(outputs);
    digest.finish()
}

/// Where the outputs of a table begin to differ, given the first byte of all outputs: the image, and there the first op.
fn locate(
    subject: &Subject<'_>,
    good: &Model<'_>,
    bad: &Model<'_>,
    kernels: &'static Kernels,
    images: &Dataset,
    place: usize,
) -> Result<ExactError, HostError> {
    let (_, classes) = host::task(good)?;
    let image = place / classes;
    let scalar = Kernels::for_isa(Isa::Scalar).unwrap_or(kernels);
    let [expected, found] = [layers(good, scalar, images.image(image))?, layers(bad, kernels, images.image(image))?];
    let differs = |(a, b): (&Vec<i8>, &Vec<i8>)| a.iter().zip(b).position(|(a, b)| a != b);
    let op = expected.iter().zip(&found).position(|pair| differs(pair).is_some());
    let name = |op: usize| match (subject.names.get(op), good.ops().nth(op).and_then(|view| view.kind())) {
        (Some(name), _) => format!("op {op} (`{name}`)"),
        (None, kind) => format!("op {op} ({})", kind.map_or("", |kind| kind.name())),
    };
    let (layer, byte, found, expected) = match op {
        Some(op) => {
            let byte = differs((&expected[op], &found[op])).unwrap_or(0);
            (name(op), byte, found[op][byte], expected[op][byte])
        }
        // Another file of the same network than the reference's: its own scalar run is wrong all the way.
        None => ("the outputs of the file itself".to_owned(), place % classes, 0, 0),
    };
    let (file, layout) = (subject.file.to_owned(), layout_name(bad.layout()));
    Ok(ExactError::Differs { file, table: kernels.isa.name(), layout, image, layer, byte, found, expected })
}

/// What every op writes for one image.
fn layers(model: &Model<'_>, kernels: &'static Kernels, image: &[u8]) -> Result<Vec<Vec<i8>>, HostError> {
    host::with_session(model, kernels, |session| {
        session.set_pixels(0, image);
        let mut layers = Vec::new();
        session.run_with(|step| layers.push(step.output.to_vec()));
        layers
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalar_in_its_own_layout_comes_first_and_every_layout_is_read() {
        let runs = runs(None, 1000);
        assert_eq!((runs[0].kernels.isa, runs[0].layout, runs[0].images), (Isa::Scalar, Isa::Scalar.layout(), 1000));
        for isa in Isa::ALL {
            assert!(runs.iter().any(|run| run.layout == isa.layout()), "{}", isa.name());
        }
        assert_eq!(runs.iter().filter(|run| run.images == 1000).count(), Kernels::all().count());
    }
}

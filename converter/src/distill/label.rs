//! Asks a teacher, or several, about fixed views of every image, and stores the answers as they come.

use super::error::LabelError;
use super::labels::{Labels, Shard};
use super::settings::{Ensemble, LabelSettings};
use crate::artifact::{ArtifactError, Doing};
use crate::data::{Augment, Dataset, Look, Reader, hex};
use crate::teacher::Teacher;
use crate::train::{Control, Examples, Target, for_batches};
use sha2::{Digest, Sha256};
use std::path::Path;

/// Images of a file: what an interruption can cost at most.
const SHARD: usize = 5000;

/// The answers of `teachers` to `settings.views` views of every image, from the files in `folder` as far as they are
/// there. What the views are follows from `augment`, but for the squares that it covers. Teachers may give anything that is a
/// vector for each image, such as the features that their heads read.
///
/// # Errors
/// If a teacher cannot be executed or answers nonsense, a file cannot be read or written, `folder` holds answers to
/// something else, or the work is interrupted; what was stored then serves the next time.
pub fn label(
    teachers: &[Teacher],
    data: &Dataset,
    augment: &Augment,
    settings: &LabelSettings,
    folder: &Path,
    control: &Control<'_>,
) -> Result<Labels, LabelError> {
    if settings.views == 0 || teachers.is_empty() {
        return Err(LabelError::Settings("at least one view and one teacher are needed"));
    }
    let of = hash(teachers, data, augment, settings);
    let (images, classes) = (data.len(), width(teachers)?);
    let total = settings.views * images;
    let mut logits = Vec::with_capacity(total * classes);
    std::fs::create_dir_all(folder).map_err(|e| ArtifactError::new(folder, Doing::Write, e))?;
    let tell = |done: usize, view: usize| {
        control.watch.step(done as u64, total as u64, &format!("view {} of {}", view + 1, settings.views));
    };
    for view in 0..settings.views {
        for first in (0..images).step_by(SHARD) {
            let count = SHARD.min(images - first);
            let shard = Shard { folder, of: &of, view, first, count, classes, precision: settings.precision };
            let done = view * images + first;
            let rows = match shard.read()? {
                Some(rows) => rows,
                None => {
                    let mut report = |of_shard: usize| tell(done + of_shard, view);
                    let task = Task { data, augment, view, first, count };
                    let rows = match control.watch.stopped() {
                        true => None,
                        false => answers(teachers, &task, settings.ensemble, control, &mut report)?,
                    };
                    shard.write(&rows.ok_or(LabelError::Interrupted { done, total })?)?
                }
            };
            logits.extend(rows);
            tell(done + count, view);
        }
    }
    Ok(Labels { of, views: settings.views, images, classes, logits })
}

/// Everything that the answers depend on, but for how many views there are.
fn hash(teachers: &[Teacher], data: &Dataset, augment: &Augment, settings: &LabelSettings) -> String {
    let mut hasher = Sha256::new();
    for teacher in teachers {
        hasher.update(teacher.hash());
    }
    hasher.update(data.hash());
    let LabelSettings { precision, ensemble, .. } = settings;
    hasher.update(format!("{} {precision:?} {ensemble:?}", augment.describe()));
    hex(&hasher.finalize())
}

/// How many values each of the teachers gives for an image.
fn width(teachers: &[Teacher]) -> Result<usize, LabelError> {
    let of = |teacher: &Teacher| match teacher.graph.outputs.first().map(|&id| teacher.graph.shape(id)) {
        Some(&[_, width]) => Some(width),
        _ => None,
    };
    let first = teachers.first().and_then(of);
    let same = teachers.iter().all(|teacher| of(teacher) == first);
    first
        .filter(|_| same)
        .ok_or(LabelError::Settings("all teachers must give one vector of the same length for an image"))
}

/// A view of some images.
struct Task<'a> {
    data: &'a Dataset,
    augment: &'a Augment,
    view: usize,
    first: usize,
    count: usize,
}

/// A [`Task`] as one teacher sees it.
struct Views<'a> {
    task: &'a Task<'a>,
    look: Look<'a>,
}

impl Examples for Views<'_> {
    fn len(&self) -> usize {
        self.task.count
    }

    fn draw(&self, _epoch: usize, index: usize, input: &mut [f32]) -> Target<'_> {
        let Task { data, augment, view, first, .. } = *self.task;
        let image = first + index;
        let view = augment.view(view, image, data.len());
        self.look.input(&self.look.pixels(image, &view), input);
        Target::of_view(&data.labels, image, &view)
    }

    fn hash(&self) -> String {
        self.task.data.hash()
    }
}

/// The answers of all teachers as one; `None` if interrupted.
fn answers(
    teachers: &[Teacher],
    task: &Task<'_>,
    ensemble: Ensemble,
    control: &Control<'_>,
    report: &mut dyn FnMut(usize),
) -> Result<Option<Vec<f32>>, LabelError> {
    let classes = width(teachers)?;
    let mut sums = vec![0.0; task.count * classes];
    let share = 1.0 / teachers.len() as f32;
    for (number, teacher) in teachers.iter().enumerate() {
        let Reader::Pixels { normalize, size } = &teacher.reader else {
            return Err(LabelError::Settings("a teacher of texts cannot be asked about images"));
        };
        let views = Views { task, look: Look::new(task.data, normalize, *task.augment, *size) };
        let mut done = 0;
        for_batches(&teacher.graph, &views, control.threads, |rows, targets| {
            let sums = sums[done * classes..].chunks_exact_mut(classes);
            for (sums, row) in sums.zip(rows.chunks_exact(classes)) {
                ensemble.add(sums, row, share);
            }
            done += targets.len();
            report((number * task.count + done) / teachers.len());
            !control.watch.stopped()
        })?;
        if done < task.count {
            return Ok(None);
        }
    }
    ensemble.finish(&mut sums);
    Ok(Some(sums))
}

//! A teacher's knowledge handed to a student: the teacher answers once, to fixed views of every image, and the student
//! learns from the stored answers.

mod beside;
mod error;
mod examples;
mod label;
mod labels;
mod pretrain;
mod relations;
mod settings;
#[cfg(test)]
mod tests;
mod texts;

pub use beside::Beside;
pub use error::LabelError;
pub use examples::{Features, Labelled};
pub use label::label;
pub use labels::Labels;
pub use pretrain::pretrain;
pub use settings::{DistillSettings, Ensemble, LabelSettings, Precision};
pub use texts::{Taught, label_texts, label_views, teach_beside, teach_texts, teach_views};

use crate::data::{self, Dataset, Normalize};
use crate::graph::Graph;
use crate::train::{self, Control, Images, Loss, TrainError, TrainSettings, Trained};

/// Trains `student` on the images of `data` and the teacher's answers to them.
///
/// The student sees images in the size that it takes. With `settings.hold_out` images held out, it learns from the others and is watched on those.
///
/// # Errors
/// If no images can be held out, or the training fails or is interrupted.
pub fn distill(
    student: &Graph,
    data: &Dataset,
    labels: &Labels,
    settings: &TrainSettings,
    how: &DistillSettings,
    control: &Control<'_>,
) -> Result<Trained, TrainError> {
    if let Some(problem) = how.problem() {
        return Err(TrainError::Settings(problem));
    }
    let classes = student.outputs.first().and_then(|&id| student.shape(id).last().copied());
    if labels.images != data.len() || Some(labels.classes) != classes {
        return Err(TrainError::Settings(format!(
            "the teacher's outputs are for {} images and {} classes, but there are {} images, and `{}` has {} outputs",
            labels.images,
            labels.classes,
            data.len(),
            student.name,
            classes.unwrap_or(0)
        )));
    }
    let split = data::split(data, settings.hold_out, settings.seed)?;
    let normalize = Normalize::student();
    // The student's own size, whatever the teacher's is.
    let size = match student.inputs.first().map(|&id| student.shape(id)) {
        Some(&[_, height, width, _]) => Some([height, width]),
        _ => None,
    };
    let examples = Labelled::new(data, &split.train, labels, (&normalize, size), settings);
    let valid = Images::plain(data, &split.valid, &normalize).sized(size);
    let loss = Loss { smoothing: settings.label_smoothing, distill: Some(how.loss()), hidden: None };
    train::fit(student, &examples, (!split.valid.is_empty()).then_some(&valid as _), &loss, settings, control)
}

//! A teacher's answers on disk: a folder of small whole files, each for one view of some images.

use super::error::LabelError;
use super::settings::{Ensemble, Precision};
use crate::artifact::{ArtifactError, Doing, write_whole};
use crate::data::hex;
use crate::teacher::safetensors::floats;
use half::f16;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// A teacher's logits for some views of all images of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Labels {
    /// Hash of teacher, images and views, in hex.
    pub of: String,
    /// Number of views.
    pub views: usize,
    /// Number of images.
    pub images: usize,
    /// Number of classes.
    pub classes: usize,
    /// By view, image and class.
    pub logits: Vec<f32>,
}

impl Labels {
    /// The answers of several teachers to the same examples, as one; `None` if there are none, or they do not fit together.
    pub fn together(all: &[Labels], ensemble: Ensemble) -> Option<Labels> {
        let [first, others @ ..] = all else { return None };
        let shape = |labels: &Labels| (labels.views, labels.images, labels.classes);
        if others.is_empty() {
            return Some(first.clone());
        }
        if others.iter().any(|other| shape(other) != shape(first)) {
            return None;
        }
        let mut logits = vec![0.0; first.logits.len()];
        for labels in all {
            let rows = logits.chunks_exact_mut(first.classes).zip(labels.logits.chunks_exact(first.classes));
            rows.for_each(|(sums, row)| ensemble.add(sums, row, 1.0 / all.len() as f32));
        }
        ensemble.finish(&mut logits);
        let mut hasher = Sha256::new();
        hasher.update(format!("{ensemble:?}"));
        all.iter().for_each(|labels| hasher.update(&labels.of));
        Some(Labels { of: hex(&hasher.finalize()), logits, ..*first })
    }

    /// The logits for a view of an image.
    pub fn get(&self, view: usize, image: usize) -> &[f32] {
        &self.logits[(view * self.images + image) * self.classes..][..self.classes]
    }

    /// The logits for a view of all images, one row after another.
    pub fn view(&self, view: usize) -> &[f32] {
        let len = self.images * self.classes;
        &self.logits[view * len..][..len]
    }
}

/// One file: a view of `count` images from `first`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shard<'a> {
    pub(super) folder: &'a Path,
    /// Hash of teacher, images and views.
    pub(super) of: &'a str,
    pub(super) view: usize,
    pub(super) first: usize,
    pub(super) count: usize,
    pub(super) classes: usize,
    pub(super) precision: Precision,
}

/// Name of the tensor, of shape images by classes.
const LOGITS: &str = "logits";
/// Key of the hash in the header.
const OF: &str = "of";

impl Shard<'_> {
    fn path(&self) -> PathBuf {
        self.folder.join(format!("view{:03}-{:07}.safetensors", self.view, self.first))
    }

    /// Stores the logits, rounded to the precision; returns them so rounded.
    pub(super) fn write(&self, logits: &[f32]) -> Result<Vec<f32>, LabelError> {
        let path = self.path();
        let broken =
            |e: safetensors::SafeTensorError| ArtifactError::new(&path, Doing::Write, std::io::Error::other(e));
        let (dtype, bytes): (Dtype, Vec<u8>) = match self.precision {
            Precision::F16 => (Dtype::F16, logits.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect()),
            Precision::F32 => (Dtype::F32, logits.iter().flat_map(|v| v.to_le_bytes()).collect()),
        };
        let view = TensorView::new(dtype, vec![self.count, self.classes], &bytes).map_err(broken)?;
        let rounded = self.finite(floats(&view).unwrap_or_default())?;
        let metadata = HashMap::from([(OF.to_owned(), self.of.to_owned())]);
        let file = serialize([(LOGITS, view)], Some(metadata)).map_err(broken)?;
        write_whole(&path, &file)?;
        Ok(rounded)
    }

    /// The stored logits, if the file is there.
    pub(super) fn read(&self) -> Result<Option<Vec<f32>>, LabelError> {
        let path = self.path();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(ArtifactError::new(&path, Doing::Read, e).into()),
        };
        let damaged = |problem: &dyn ToString| LabelError::Damaged { path: path.clone(), problem: problem.to_string() };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(&e))?;
        if header.metadata().as_ref().and_then(|m| m.get(OF)).is_none_or(|found| found != self.of) {
            return Err(LabelError::Other { path });
        }
        let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(&e))?;
        let view = file.tensor(LOGITS).map_err(|e| damaged(&e))?;
        let values = floats(&view).ok_or_else(|| damaged(&format!("it holds {:?}", view.dtype())))?;
        if view.shape() != [self.count, self.classes] {
            return Err(damaged(&format!("shape {:?} instead of {:?}", view.shape(), [self.count, self.classes])));
        }
        self.finite(values).map(Some)
    }

    /// The values if all are finite.
    fn finite(&self, values: Vec<f32>) -> Result<Vec<f32>, LabelError> {
        match values.iter().position(|v| !v.is_finite()) {
            None => Ok(values),
            Some(i) => Err(LabelError::NotFinite {
                image: self.first + i / self.classes.max(1),
                view: self.view,
                value: values[i],
            }),
        }
    }
}

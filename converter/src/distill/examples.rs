//! Images with a teacher's answers: each epoch sees one of the stored views of an image, with exactly its answer.

use super::labels::Labels;
use crate::data::random::{Purpose, stream};
use crate::data::{Augment, Dataset, Normalize, Table, hex};
use crate::train::{Examples, Target, TrainSettings};
use rand::RngExt;
use sha2::{Digest, Sha256};

/// Some images of a data set, each in one of the views that the teacher has answered.
pub struct Labelled<'a> {
    data: &'a Dataset,
    indices: &'a [usize],
    labels: &'a Labels,
    table: Table,
    augment: Augment,
    seed: u64,
}

impl<'a> Labelled<'a> {
    /// The images of `indices`, normalized for the student. `labels` are for all of `data`, and were made with the flips
    /// and shifts of these settings.
    pub fn new(
        data: &'a Dataset,
        indices: &'a [usize],
        labels: &'a Labels,
        normalize: &Normalize,
        settings: &TrainSettings,
    ) -> Self {
        let table = normalize.table(data.shape[2]);
        Labelled { data, indices, labels, table, augment: settings.augment, seed: settings.seed }
    }
}

impl Examples for Labelled<'_> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn draw(&self, epoch: usize, index: usize, input: &mut [f32]) -> Target<'_> {
        let (image, shape) = (self.indices[index], self.data.shape);
        let mut rng = stream(self.seed, Purpose::View, epoch as u64, image as u64);
        let view = rng.random_range(0..self.labels.views as u64) as usize;
        let mut pixels = vec![0; self.data.image_len()];
        self.augment.view(view, image).apply(self.data.image(image), &mut pixels, shape, self.augment.fill);
        self.augment.cover(&mut pixels, shape, self.seed, epoch, image);
        self.table.apply(&pixels, input);
        let teacher = Some(self.labels.get(view, image));
        Target { label: self.data.labels[image], teacher, vector: None }
    }

    fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(&self.labels.of);
        for index in self.indices {
            hasher.update((*index as u64).to_le_bytes());
        }
        hasher.update(format!("{} {:?} {}", self.labels.views, self.augment, self.seed));
        hex(&hasher.finalize())
    }
}

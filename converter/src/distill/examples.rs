//! Images with what a teacher, or a frozen part of it, says of fixed views of them: each epoch sees one of the stored views.

use super::labels::Labels;
use crate::data::random::{Purpose, stream};
use crate::data::{Augment, Dataset, Look, Normalize, View, hex};
use crate::train::{Examples, Target, TrainSettings};
use rand::RngExt;
use sha2::{Digest, Sha256};

/// Some images of a data set, and views of them that were answered.
struct Answered<'a> {
    data: &'a Dataset,
    indices: &'a [usize],
    answers: &'a Labels,
    augment: Augment,
    seed: u64,
    /// Whether each image of the data set is one of `indices`.
    is_shown: Vec<bool>,
}

impl<'a> Answered<'a> {
    fn new(data: &'a Dataset, indices: &'a [usize], answers: &'a Labels, settings: &TrainSettings) -> Self {
        let mut is_shown = vec![false; data.len()];
        indices.iter().for_each(|&index| is_shown[index] = true);
        Answered { data, indices, answers, augment: settings.augment, seed: settings.seed, is_shown }
    }

    /// The image of this place, and which view of it an epoch sees. Views that an image outside of `indices` is mixed into are
    /// passed over: it may be held out.
    fn pick(&self, epoch: usize, index: usize) -> (usize, usize, View) {
        let (image, views) = (self.indices[index], self.answers.views.max(1));
        let mut rng = stream(self.seed, Purpose::View, epoch as u64, image as u64);
        let first = rng.random_range(0..views as u64) as usize;
        let seen = (0..views).map(|step| (first + step) % views).map(|view| (view, self.view(view, image)));
        let (number, view) = seen
            .into_iter()
            .find(|(_, view)| view.mix.is_none_or(|mix| self.is_shown[mix.with]))
            .unwrap_or((0, View::PLAIN));
        (image, number, view)
    }

    fn view(&self, view: usize, image: usize) -> View {
        self.augment.view(view, image, self.data.len())
    }

    fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(&self.answers.of);
        for index in self.indices {
            hasher.update((*index as u64).to_le_bytes());
        }
        hasher.update(format!("{} {:?} {}", self.answers.views, self.augment, self.seed));
        hex(&hasher.finalize())
    }
}

/// Some images of a data set, each in one of the views that the teacher has answered.
pub struct Labelled<'a> {
    answered: Answered<'a>,
    look: Look<'a>,
}

impl<'a> Labelled<'a> {
    /// The images of `indices`, normalized for the student and scaled to `size`, if that is given. `labels` are for all of `data`,
    /// and were made with the changes of these settings.
    pub fn new(
        data: &'a Dataset,
        indices: &'a [usize],
        labels: &'a Labels,
        (normalize, size): (&Normalize, Option<[usize; 2]>),
        settings: &TrainSettings,
    ) -> Self {
        let look = Look::new(data, normalize, settings.augment, size);
        Labelled { answered: Answered::new(data, indices, labels, settings), look }
    }
}

impl Examples for Labelled<'_> {
    fn len(&self) -> usize {
        self.answered.indices.len()
    }

    fn draw(&self, epoch: usize, index: usize, input: &mut [f32]) -> Target<'_> {
        let Answered { data, answers, augment, seed, .. } = &self.answered;
        let (image, number, view) = self.answered.pick(epoch, index);
        let mut pixels = self.look.pixels(image, &view);
        augment.cover(&mut pixels, self.look.shape(), *seed, epoch, image);
        self.look.input(&pixels, input);
        Target { teacher: Some(answers.get(number, image)), ..Target::of_view(&data.labels, image, &view) }
    }

    fn hash(&self) -> String {
        self.answered.hash()
    }
}

/// What the frozen part of a network makes of some images: the input of the head that learns behind it.
pub struct Features<'a>(Answered<'a>);

impl<'a> Features<'a> {
    /// The images of `indices`. `vectors` are for all of `data`, and were made with the changes of these settings.
    pub fn new(data: &'a Dataset, indices: &'a [usize], vectors: &'a Labels, settings: &TrainSettings) -> Self {
        Features(Answered::new(data, indices, vectors, settings))
    }

    /// The images of `indices` as they are: the first view of each.
    pub fn plain(data: &'a Dataset, indices: &'a [usize], vectors: &'a Labels) -> PlainFeatures<'a> {
        PlainFeatures { data, indices, vectors }
    }
}

impl Examples for Features<'_> {
    fn len(&self) -> usize {
        self.0.indices.len()
    }

    fn draw(&self, epoch: usize, index: usize, input: &mut [f32]) -> Target<'_> {
        let (image, number, view) = self.0.pick(epoch, index);
        input.copy_from_slice(self.0.answers.get(number, image));
        Target::of_view(&self.0.data.labels, image, &view)
    }

    fn hash(&self) -> String {
        self.0.hash()
    }
}

/// As [`Features`], of images without any change.
pub struct PlainFeatures<'a> {
    data: &'a Dataset,
    indices: &'a [usize],
    vectors: &'a Labels,
}

impl Examples for PlainFeatures<'_> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn draw(&self, _: usize, index: usize, input: &mut [f32]) -> Target<'_> {
        let image = self.indices[index];
        input.copy_from_slice(self.vectors.get(0, image));
        Target { label: self.data.labels[image], ..Target::default() }
    }

    fn hash(&self) -> String {
        self.vectors.of.clone()
    }
}

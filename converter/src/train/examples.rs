//! What a trainer learns from: inputs and targets, drawn anew for each epoch.

use crate::data::text::Tokenized;
use crate::data::{Augment, Dataset, Look, Mix, Normalize, View};
use sha2::{Digest, Sha256};

/// What is wanted of an example.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Target<'a> {
    /// The class.
    pub label: u32,
    /// The class of what was blended in, and its share, if something was.
    pub mixed: Option<(u32, f32)>,
    /// A teacher's logits for exactly this input, if there are some.
    pub teacher: Option<&'a [f32]>,
    /// A teacher's vector for exactly this input, if there is one.
    pub vector: Option<&'a [f32]>,
}

impl Target<'_> {
    /// The class of an image of these `labels` in some view.
    pub fn of_view(labels: &[u32], image: usize, view: &View) -> Self {
        let mixed = view.mix.map(|Mix { with, share }| (labels[with], share));
        Target { label: labels[image], mixed, ..Target::default() }
    }
}

/// Numbered examples that may look different in each epoch, always in the same way for the same epoch.
pub trait Examples: Sync {
    /// Number of examples.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes the input of example `index` as it looks in `epoch`, and says what is wanted of it.
    fn draw(&self, epoch: usize, index: usize, input: &mut [f32]) -> Target<'_>;

    /// A hash of all that the examples depend on, in hex.
    fn hash(&self) -> String;
}

/// Some images of a data set, changed at random.
pub struct Images<'a> {
    data: &'a Dataset,
    indices: &'a [usize],
    normalize: &'a Normalize,
    size: Option<[usize; 2]>,
    look: Look<'a>,
    augment: Augment,
    seed: u64,
}

impl<'a> Images<'a> {
    /// The images of `indices`, normalized, and changed by `augment` with random numbers from `seed`.
    pub fn new(data: &'a Dataset, indices: &'a [usize], normalize: &'a Normalize, augment: Augment, seed: u64) -> Self {
        let look = Look::new(data, normalize, augment, None);
        Images { data, indices, normalize, size: None, look, augment, seed }
    }

    /// The images of `indices` as they are.
    pub fn plain(data: &'a Dataset, indices: &'a [usize], normalize: &'a Normalize) -> Self {
        Self::new(data, indices, normalize, Augment::NONE, 0)
    }

    /// The same at another height and width, if one is given.
    #[must_use]
    pub fn sized(self, size: Option<[usize; 2]>) -> Self {
        Images { size, look: Look::new(self.data, self.normalize, self.augment, size), ..self }
    }
}

impl Examples for Images<'_> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn draw(&self, epoch: usize, index: usize, input: &mut [f32]) -> Target<'_> {
        let index = self.indices[index];
        let mut view = self.augment.draw(self.seed, epoch, index, self.indices.len());
        if let Some(mix) = &mut view.mix {
            mix.with = self.indices[mix.with];
        }
        let mut pixels = self.look.pixels(index, &view);
        self.augment.cover(&mut pixels, self.look.shape(), self.seed, epoch, index);
        self.look.input(&pixels, input);
        Target::of_view(&self.data.labels, index, &view)
    }

    fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.data.hash());
        for index in self.indices {
            hasher.update((*index as u64).to_le_bytes());
        }
        hasher.update(format!("{:?} {:?} {}", self.normalize, self.augment, self.seed));
        if let Some(size) = self.size {
            hasher.update(format!("{size:?}"));
        }
        crate::data::hex(&hasher.finalize())
    }
}

/// Some texts of a data set, with a teacher's answers if there are some.
pub struct TextExamples<'a> {
    data: &'a Tokenized,
    indices: &'a [usize],
    answers: Answers<'a>,
}

/// What a teacher says to the texts of a data set: a row for each, or nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answers<'a> {
    /// Rows of logits.
    pub logits: Option<&'a [f32]>,
    /// Rows of vectors.
    pub vectors: Option<&'a [f32]>,
}

impl<'a> Answers<'a> {
    /// The row of one of `texts` texts.
    fn row(rows: Option<&'a [f32]>, texts: usize, text: usize) -> Option<&'a [f32]> {
        let width = rows?.len() / texts.max(1);
        rows?.get(text * width..(text + 1) * width)
    }
}

impl<'a> TextExamples<'a> {
    /// The texts of `indices`; the network must have room for the longest of them.
    pub fn new(data: &'a Tokenized, indices: &'a [usize], answers: Answers<'a>) -> Self {
        TextExamples { data, indices, answers }
    }
}

impl Examples for TextExamples<'_> {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn draw(&self, _: usize, index: usize, input: &mut [f32]) -> Target<'_> {
        let index = self.indices[index];
        let ids = self.data.text(index);
        for (place, value) in input.iter_mut().enumerate() {
            *value = ids.get(place).map_or(-1.0, |&id| f32::from(id));
        }
        let row = |rows| Answers::row(rows, self.data.len(), index);
        let (teacher, vector) = (row(self.answers.logits), row(self.answers.vectors));
        Target { label: self.data.labels[index], mixed: None, teacher, vector }
    }

    fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        hasher.update(self.data.hash());
        for index in self.indices {
            hasher.update((*index as u64).to_le_bytes());
        }
        for rows in [self.answers.logits, self.answers.vectors] {
            rows.into_iter().flatten().for_each(|value| hasher.update(value.to_le_bytes()));
        }
        crate::data::hex(&hasher.finalize())
    }
}

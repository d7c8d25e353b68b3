//! Labelled images and texts: where they come from, how they are split, changed and turned into numbers.

mod augment;
mod cifar;
mod error;
mod folder;
mod kind;
mod look;
mod normalize;
pub mod random;
mod reader;
mod scale;
mod set;
mod shapes;
mod split;
pub mod text;

pub use augment::{Augment, Color, Crop, Fill, Mix, View};
pub use error::DataError;
pub use folder::load_image;
pub use kind::{Format, ImageFormat, Kind};
pub use look::Look;
pub use normalize::{Normalize, Table};
pub use reader::{Inputs, Reader};
pub use scale::{Area, scale};
pub use set::Set;
pub use shapes::generate;
pub(crate) use split::shuffle;
pub use split::{Split, split, split_labels};

use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::path::Path;

/// Images of one size with their classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Height, width and channels of every image.
    pub shape: [usize; 3],
    /// All images one after another, each row by row with its channels together.
    pub pixels: Vec<u8>,
    /// The class of each image, below the number of classes.
    pub labels: Vec<u32>,
    /// The name of each class.
    pub classes: Vec<String>,
}

/// Which part of a source is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The images to learn from.
    Train,
    /// The images to report on.
    Test,
}

impl Dataset {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Number of bytes of an image.
    pub fn image_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The bytes of an image.
    pub fn image(&self, index: usize) -> &[u8] {
        let len = self.image_len();
        &self.pixels[index * len..(index + 1) * len]
    }

    /// The images of these indices, in this order.
    pub fn subset(&self, indices: &[usize]) -> Dataset {
        let mut pixels = Vec::with_capacity(indices.len() * self.image_len());
        for &index in indices {
            pixels.extend_from_slice(self.image(index));
        }
        let labels = indices.iter().map(|&index| self.labels[index]).collect();
        Dataset { shape: self.shape, pixels, labels, classes: self.classes.clone() }
    }

    /// The images in this size (height, width), if they have another.
    pub fn sized(&self, size: Option<[usize; 2]>) -> Cow<'_, Dataset> {
        let [height, width, channels] = self.shape;
        let Some(size) = size.filter(|size| *size != [height, width]) else { return Cow::Borrowed(self) };
        let all = Area::whole([height, width]);
        let pixels = (0..self.len()).flat_map(|index| scale(self.image(index), self.shape, all, size)).collect();
        let shape = [size[0], size[1], channels];
        Cow::Owned(Dataset { shape, pixels, labels: self.labels.clone(), classes: self.classes.clone() })
    }

    /// A hash of all images and labels, in hex: names what was cached about them.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for &size in &self.shape {
            hasher.update((size as u64).to_le_bytes());
        }
        hasher.update(&self.pixels);
        for label in &self.labels {
            hasher.update(label.to_le_bytes());
        }
        hex(&hasher.finalize())
    }

    /// Reads a part of the images at `path`, a folder or a file.
    ///
    /// Without a `format` the layout is guessed from the names of the files. `size` (height, width) is what images of
    /// other sizes are scaled to; without it they are an error. Record files have their own size.
    ///
    /// # Errors
    /// If nothing, or nothing fit for learning, is there, with the file at fault.
    pub fn load(
        path: &Path,
        part: Part,
        format: Option<ImageFormat>,
        size: Option<[usize; 2]>,
    ) -> Result<Dataset, DataError> {
        let format = match format {
            Some(format) => format,
            None => guess(path)?,
        };
        let data = match format {
            ImageFormat::Cifar10 => cifar::load(path, part)?,
            ImageFormat::Folder => folder::load(path, part, size)?,
        };
        data.check(path, part)?;
        Ok(data)
    }

    /// Refuses what nothing can be learned from, or reported on.
    fn check(&self, path: &Path, part: Part) -> Result<(), DataError> {
        if self.is_empty() {
            return Err(DataError::Empty { path: path.to_owned() });
        }
        let first = self.labels[0];
        if part == Part::Train && self.labels.iter().all(|&label| label == first) {
            let class = self.classes.get(first as usize).cloned().unwrap_or_else(|| first.to_string());
            return Err(DataError::OneClass { path: path.to_owned(), class, images: self.len() });
        }
        Ok(())
    }
}

/// The layout of what lies at `path`.
fn guess(path: &Path) -> Result<ImageFormat, DataError> {
    if cifar::looks_like(path)? {
        Ok(ImageFormat::Cifar10)
    } else if path.is_dir() {
        Ok(ImageFormat::Folder)
    } else {
        Err(DataError::UnknownFormat { path: path.to_owned() })
    }
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

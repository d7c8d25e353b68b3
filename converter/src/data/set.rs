//! Labelled examples of either kind, as they are read.

use super::text::Texts;
use super::{DataError, Dataset, Format, Kind, Part};
use std::path::Path;

/// Labelled examples, as they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Set {
    /// Pictures of one size.
    Images(Dataset),
    /// Texts of any length.
    Texts(Texts),
}

impl Set {
    /// What lies at `path`, by the names of its files: texts are in files of their own, images in folders or record files.
    pub fn kind_at(path: &Path) -> Kind {
        // Lists of images often lie beside the folders that have them.
        if Texts::lie_at(path) && !path.join("train").is_dir() { Kind::Texts } else { Kind::Images }
    }

    /// Reads a part of what lies at `path`. `size` (height, width) is what images are scaled to.
    ///
    /// # Errors
    /// As [`Dataset::load`] and [`Texts::load`].
    pub fn load(path: &Path, part: Part, format: Option<Format>, size: Option<[usize; 2]>) -> Result<Set, DataError> {
        match (format, Set::kind_at(path)) {
            (Some(Format::Images(format)), _) => Dataset::load(path, part, Some(format), size).map(Set::Images),
            (Some(Format::Texts(format)), _) => Texts::load(path, part, Some(format)).map(Set::Texts),
            (None, Kind::Images) => Dataset::load(path, part, None, size).map(Set::Images),
            (None, Kind::Texts) => Texts::load(path, part, None).map(Set::Texts),
        }
    }

    /// What the examples are.
    pub fn kind(&self) -> Kind {
        match self {
            Set::Images(_) => Kind::Images,
            Set::Texts(_) => Kind::Texts,
        }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        self.labels().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels().is_empty()
    }

    /// The examples of these indices, in this order.
    #[must_use]
    pub fn subset(&self, indices: &[usize]) -> Set {
        match self {
            Set::Images(images) => Set::Images(images.subset(indices)),
            Set::Texts(texts) => Set::Texts(Texts {
                texts: indices.iter().map(|&index| texts.texts[index].clone()).collect(),
                labels: indices.iter().map(|&index| texts.labels[index]).collect(),
                classes: texts.classes.clone(),
            }),
        }
    }

    /// The class of each example.
    pub fn labels(&self) -> &[u32] {
        match self {
            Set::Images(images) => &images.labels,
            Set::Texts(texts) => &texts.labels,
        }
    }

    /// The name of each class.
    pub fn classes(&self) -> &[String] {
        match self {
            Set::Images(images) => &images.classes,
            Set::Texts(texts) => &texts.classes,
        }
    }
}

//! The kinds of data that there are, and the formats of each.

use super::text::TextFormat;
use serde::de::{Deserialize, Deserializer, Error};
use std::fmt;

/// What the examples of a data set are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Pictures of one size.
    Images,
    /// Texts of any length.
    Texts,
}

impl Kind {
    /// The word for several of them.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Images => "images",
            Kind::Texts => "texts",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a source is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Of images.
    Images(ImageFormat),
    /// Of texts.
    Texts(TextFormat),
}

/// How a source of images is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageFormat {
    /// Files of 3073-byte records, plain or `.xz`.
    Cifar10,
    /// One folder of images for each class.
    Folder,
}

/// The names of the formats, as recipes and options have them.
const NAMES: [&str; 6] = ["cifar10", "folder", "tsv", "csv", "jsonl", "parquet"];
/// In the order of their names.
const FORMATS: [Format; NAMES.len()] = [
    Format::Images(ImageFormat::Cifar10),
    Format::Images(ImageFormat::Folder),
    Format::Texts(TextFormat::Tsv),
    Format::Texts(TextFormat::Csv),
    Format::Texts(TextFormat::Jsonl),
    Format::Texts(TextFormat::Parquet),
];

impl Format {
    /// What it holds.
    pub fn kind(self) -> Kind {
        match self {
            Format::Images(_) => Kind::Images,
            Format::Texts(_) => Kind::Texts,
        }
    }
}

impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let place = NAMES.iter().position(|known| *known == name);
        place.map(|place| FORMATS[place]).ok_or_else(|| D::Error::unknown_variant(&name, &NAMES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_names() {
        let read = |name: &str| serde_json::from_value::<Format>(name.into());
        assert_eq!(read("folder").unwrap(), Format::Images(ImageFormat::Folder));
        assert_eq!(read("parquet").unwrap(), Format::Texts(TextFormat::Parquet));
        let error = read("tvs").unwrap_err().to_string();
        assert!(error.contains("`tvs`") && error.contains("`tsv`"), "{error}");
    }
}

//! What can be wrong with data, and what to do about it.

use super::Kind;
use limbeck_runtime::text::VocabularyRule;
use std::path::PathBuf;

/// Why examples could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The operating system said no.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// Neither record files nor a folder.
    #[error(
        "cannot tell what {} holds; give a folder with `data_batch_*.bin` and `test*.bin` (plain or `.xz`), a record file, \
         or a folder with one folder of png or jpeg images for each class, or name the format",
        path.display()
    )]
    UnknownFormat {
        /// The path.
        path: PathBuf,
    },
    /// A network for the other kind of data.
    #[error("the network takes {expected}, but the data are {found}")]
    Kind {
        /// What the network takes.
        expected: Kind,
        /// What the data are.
        found: Kind,
    },
    /// A vocabulary that no tokenizer can read.
    #[error("the vocabulary cannot be used: {0}")]
    Vocabulary(#[from] VocabularyRule),
    /// The wanted part is not there.
    #[error("{} has no {part} part: expected {expected}", path.display())]
    NoPart {
        /// The folder.
        path: PathBuf,
        /// `train` or `test`.
        part: &'static str,
        /// File or folder names that would hold it.
        expected: &'static str,
    },
    /// No image at all.
    #[error("{} holds no image", path.display())]
    Empty {
        /// The file or folder.
        path: PathBuf,
    },
    /// A line of a file of texts.
    #[error("{}:{line}: {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// No text at all.
    #[error("{} holds no text", path.display())]
    NoText {
        /// The file.
        path: PathBuf,
    },
    /// No folders in a folder of images.
    #[error("{} holds no folders: put the png or jpeg images into one folder for each class", path.display())]
    NoClasses {
        /// The folder.
        path: PathBuf,
    },
    /// An image of a kind that is not read.
    #[error("{} is of a kind that is not read: save it as png or jpeg, or take it away", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// One part for both purposes.
    #[error(
        "{} gives the same {kind} to learn from and to be judged on: it needs a part of each, such as folders \
         or files `train` and `test`",
        path.display()
    )]
    OnePart {
        /// The file or folder.
        path: PathBuf,
        /// What it holds.
        kind: Kind,
    },
    /// Nothing to tell apart.
    #[error("all {images} examples of {} are of one class, `{class}`: a classifier needs two or more", path.display())]
    OneClass {
        /// The file or folder.
        path: PathBuf,
        /// The class.
        class: String,
        /// How many images or texts.
        images: usize,
    },
    /// A record file does not end with a whole record.
    #[error(
        "{} is truncated: {bytes} bytes are {records} records of {record} bytes and {} more",
        path.display(), bytes % record
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its length, after decompression.
        bytes: usize,
        /// Bytes of a record.
        record: usize,
        /// Whole records.
        records: usize,
    },
    /// A record names a class that does not exist.
    #[error("record {record} of {} has label {label}, but there are {classes} classes (0 to {})", path.display(), classes - 1)]
    Label {
        /// The file.
        path: PathBuf,
        /// Counted from 0.
        record: usize,
        /// What the record says.
        label: u32,
        /// Number of classes.
        classes: usize,
    },
    /// Not an image, or a damaged one.
    #[error("cannot decode {}", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: image::ImageError,
    },
    /// A jpeg without its end.
    #[error("{} is cut off: fetch it again, or take it away", path.display())]
    Cut {
        /// The file.
        path: PathBuf,
    },
    /// Images of different sizes, and no size to scale them to.
    #[error(
        "{} is {}x{} (height x width), but {} is {}x{}; give a size to scale all images to (`data.size` of a recipe)",
        path.display(), found[0], found[1], first.display(), expected[0], expected[1]
    )]
    Size {
        /// The odd image.
        path: PathBuf,
        /// Its height and width.
        found: [usize; 2],
        /// The image that fixed the size.
        first: PathBuf,
        /// Height and width of that image.
        expected: [usize; 2],
    },
    /// A picture with see-through parts, whose colours depend on what is behind.
    #[error("{} has see-through pixels; draw it on a background first", path.display())]
    Transparent {
        /// The file.
        path: PathBuf,
    },
    /// The test part has other classes.
    #[error("class folder {} is not among the training classes: {}", path.display(), classes.join(", "))]
    UnknownClass {
        /// The folder.
        path: PathBuf,
        /// The training classes.
        classes: Vec<String>,
    },
    /// More images are to be held out than there are.
    #[error("cannot hold out {wanted} of {images} examples: at least one of each class must be left to learn from")]
    Split {
        /// Images to hold out.
        wanted: usize,
        /// Images there are.
        images: usize,
    },
}

//! How examples become what a network takes: each network has its own normalization, or its own vocabulary.

use super::text::{Texts, Tokenized};
use super::{DataError, Dataset, Kind, Normalize, Set, hex};
use crate::families::{Input, Task};
use crate::text::Vocabulary;
use limbeck_runtime::text::Tokenizer;
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::Arc;

/// How a network reads its inputs.
#[derive(Clone, Debug, PartialEq)]
pub enum Reader {
    /// Pixels, made numbers.
    Pixels {
        /// Which numbers.
        normalize: Normalize,
        /// Height and width that images are scaled to; as they are without it.
        size: Option<[usize; 2]>,
    },
    /// Text, cut into tokens.
    Text {
        /// What it is cut into.
        vocabulary: Arc<Vocabulary>,
        /// The longest text, in tokens, begin and end included; what is longer is cut off.
        tokens: usize,
    },
}

/// Labelled examples as a network takes them.
#[derive(Clone, Debug)]
pub enum Inputs<'a> {
    /// Pixels and how they become numbers.
    Images(Cow<'a, Dataset>, &'a Normalize),
    /// Token ids.
    Texts(Tokenized),
}

impl From<Normalize> for Reader {
    /// Of images as large as they are.
    fn from(normalize: Normalize) -> Self {
        Reader::Pixels { normalize, size: None }
    }
}

impl Reader {
    /// What it reads.
    pub fn kind(&self) -> Kind {
        match self {
            Reader::Pixels { .. } => Kind::Images,
            Reader::Text { .. } => Kind::Texts,
        }
    }

    /// The examples as the network takes them.
    ///
    /// # Errors
    /// If they are of the other kind.
    pub fn read<'a>(&'a self, set: &'a Set) -> Result<Inputs<'a>, DataError> {
        match (self, set) {
            (Reader::Pixels { normalize, size }, Set::Images(images)) => {
                Ok(Inputs::Images(images.sized(*size), normalize))
            }
            (Reader::Text { .. }, Set::Texts(texts)) => self.tokens_of(texts).map(Inputs::Texts),
            _ => Err(self.other_than(set.kind())),
        }
    }

    /// The texts as token ids.
    ///
    /// # Errors
    /// If the network takes images.
    pub fn tokens_of(&self, texts: &Texts) -> Result<Tokenized, DataError> {
        let Reader::Text { vocabulary, tokens } = self else { return Err(self.other_than(Kind::Texts)) };
        let section = vocabulary.section()?;
        Ok(Tokenized::new(texts, &Tokenizer::parse(&section)?, *tokens))
    }

    /// What a network sees and says that reads these examples.
    ///
    /// # Errors
    /// If they are of the other kind.
    pub fn task(&self, set: &Set) -> Result<Task, DataError> {
        let input = match (self, set) {
            (Reader::Pixels { size, .. }, Set::Images(images)) => {
                let [height, width, channels] = images.shape;
                let [height, width] = size.unwrap_or([height, width]);
                Input::Image([height, width, channels])
            }
            (Reader::Text { vocabulary, tokens }, Set::Texts(_)) => {
                Input::Text { vocabulary: vocabulary.size(), tokens: *tokens }
            }
            _ => return Err(self.other_than(set.kind())),
        };
        Ok(Task { input, classes: set.classes().len() })
    }

    fn other_than(&self, found: Kind) -> DataError {
        DataError::Kind { expected: self.kind(), found }
    }

    /// All that makes the numbers, in a few words or a hash: names what was made of it.
    ///
    /// # Errors
    /// If the vocabulary has no form in a model file.
    pub fn identity(&self) -> Result<String, DataError> {
        Ok(match self {
            Reader::Pixels { normalize, size: None } => format!("{normalize:?}"),
            Reader::Pixels { normalize, size: Some(size) } => format!("{normalize:?} {size:?}"),
            Reader::Text { vocabulary, tokens } => {
                format!("{} {tokens}", hex(&Sha256::digest(vocabulary.section()?)))
            }
        })
    }
}

impl Inputs<'_> {
    /// A hash of all examples and labels, in hex.
    pub fn hash(&self) -> String {
        match self {
            Inputs::Images(images, _) => images.hash(),
            Inputs::Texts(texts) => texts.hash(),
        }
    }

    /// Number of examples.
    pub fn len(&self) -> usize {
        match self {
            Inputs::Images(images, _) => images.len(),
            Inputs::Texts(texts) => texts.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

//! Vocabularies of tokenizers: read from a teacher's folder or learned, cut down to what a corpus needs, written into a model file.
//!
//! The tokenizer itself is the runtime's, on the host too: `Tokenizer::parse(&vocabulary.section()?)`.

mod error;
mod learn;
mod read;
mod trim;

pub use error::TextError;
pub use learn::learn;
pub use trim::Trimmed;

use limbeck_runtime::text::emit::{self, Words};
use limbeck_runtime::text::{Normalization, VocabularyRule};

/// What stands before a piece that continues a word.
const CONTINUES: &str = "##";

/// The pieces of a WordPiece tokenizer with their ids, and what else it needs to make ids of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    /// What is done to text before it is cut.
    pub normalization: Normalization,
    /// The text of each id as the teacher writes it, `##` included; nothing where no text gives the id.
    pieces: Vec<Option<String>>,
    /// Tokens that are taken from the text as it is.
    added: Vec<(String, u16)>,
    special: Special,
}

/// The ids that have a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Special {
    /// A word that cannot be made of pieces.
    pub unknown: u16,
    /// Before every text.
    pub begin: u16,
    /// Behind every text.
    pub end: u16,
    /// Fills a batch up; a run on a device has no use for it.
    pub padding: Option<u16>,
    /// In the place of a word that is to be guessed.
    pub mask: Option<u16>,
}

impl Special {
    /// All of them.
    fn ids(self) -> impl Iterator<Item = u16> {
        [self.unknown, self.begin, self.end].into_iter().chain(self.padding).chain(self.mask)
    }
}

impl Vocabulary {
    /// Number of ids, which are below it: the rows of an embedding table.
    pub fn size(&self) -> usize {
        self.pieces.len()
    }

    /// The text of an id, with `##` if it continues a word.
    pub fn piece(&self, id: u16) -> Option<&str> {
        self.pieces.get(usize::from(id))?.as_deref()
    }

    /// The ids that have a meaning.
    pub fn special(&self) -> Special {
        self.special
    }

    /// The vocabulary section of a model file, which is what a tokenizer reads.
    ///
    /// # Errors
    /// If a piece is longer than 255 bytes, or there are 65,536 ids or more.
    pub fn section(&self) -> Result<Vec<u8>, VocabularyRule> {
        let (mut initial, mut continuing) = (Vec::new(), Vec::new());
        for (id, piece) in (0..=u16::MAX).zip(&self.pieces) {
            match piece.as_deref().map(|piece| (piece, piece.strip_prefix(CONTINUES))) {
                // No text ends in a piece of nothing.
                None | Some(("" | CONTINUES, _)) => {}
                Some((_, Some(rest))) => continuing.push((rest, id)),
                Some((piece, None)) => initial.push((piece, id)),
            }
        }
        let added: Vec<_> = self.added.iter().map(|(token, id)| (token.as_str(), *id)).collect();
        let Special { unknown, begin, end, .. } = self.special;
        emit::section(&Words {
            normalization: self.normalization,
            size: u16::try_from(self.size()).map_err(|_| VocabularyRule::Length)?,
            unknown,
            begin,
            end,
            initial: &initial,
            continuing: &continuing,
            added: &added,
        })
    }
}

//! From text to token ids, as BERT does it: normalized, cut into words, words cut into pieces of a vocabulary, no allocator.
//!
//! The result is that of the crate `tokenizers` on the same vocabulary, for any text. [`Tokenizer::encode`] cannot fail: text
//! that is too long is cut off, and the [`Encoding`] says so.
//!
//! Bottom up: `unicode` knows characters, `normalize` makes words of text, `vocabulary` finds pieces, `word` puts the two
//! together.

#[cfg(any(test, all(feature = "encode", feature = "std")))]
pub mod emit;
mod normalize;
#[cfg(test)]
pub(crate) mod tests;
mod unicode;
mod vocabulary;
mod word;
#[cfg(any(test, all(feature = "encode", feature = "std")))]
mod words;

use core::str::Utf8Error;

pub use normalize::Normalization;
pub use vocabulary::VocabularyRule;
#[cfg(any(test, all(feature = "encode", feature = "std")))]
pub use words::words;

use normalize::Normalizer;
use vocabulary::Vocabulary;
use word::{Tokens, Word};

/// Tokens that stand round every text: begin and end.
const FRAME: usize = 2;

/// Makes token ids of text; borrows its vocabulary from a model file.
#[derive(Clone, Copy, Debug)]
pub struct Tokenizer<'m> {
    section: &'m [u8],
    vocabulary: Vocabulary<'m>,
}

/// What became of a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Encoding {
    /// Number of tokens, begin and end included.
    pub len: usize,
    /// Whether there were more than there was room for: the text counts only up to there.
    pub truncated: bool,
}

/// The bytes of a text that a token is made of; empty for begin and end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Span {
    /// The first.
    pub start: usize,
    /// Behind the last.
    pub end: usize,
}

impl<'m> Tokenizer<'m> {
    /// Checks the vocabulary section of a model file; [`Model::tokenizer`](crate::Model::tokenizer) has one already checked.
    pub fn parse(section: &'m [u8]) -> Result<Self, VocabularyRule> {
        Ok(Tokenizer { section, vocabulary: Vocabulary::parse(section)? })
    }

    /// The section that it reads.
    pub const fn section(&self) -> &'m [u8] {
        self.section
    }

    /// Every id is below this number.
    pub const fn size(&self) -> u16 {
        self.vocabulary.header.size
    }

    /// The id of words that the vocabulary cannot make.
    pub const fn unknown(&self) -> u16 {
        self.vocabulary.header.unknown
    }

    /// What is done to text before it is cut.
    pub const fn normalization(&self) -> Normalization {
        self.vocabulary.normalization
    }

    /// The tokens of a text, between begin and end: as many as there is room for, which should be 2 at least.
    pub fn encode(&self, text: &str, ids: &mut [u16]) -> Encoding {
        self.encode_spans(text, ids, &mut [])
    }

    /// The same, and which bytes of the text each token is made of, for as many as there is room for.
    pub fn encode_spans(&self, text: &str, ids: &mut [u16], spans: &mut [Span]) -> Encoding {
        let Some(room) = ids.len().checked_sub(FRAME) else {
            return Encoding { len: 0, truncated: true };
        };
        let mut tokens = Tokens::new(ids, spans, room);
        let mut place = 0;
        while let Some((start, end, id)) = self.vocabulary.next_added(text.as_bytes(), place) {
            self.piece(text, place, start, &mut tokens);
            tokens.push(id, Span { start, end });
            place = end;
            if tokens.overflow() {
                break;
            }
        }
        if !tokens.overflow() {
            self.piece(text, place, text.len(), &mut tokens);
        }
        tokens.finish(self.vocabulary.header.begin, self.vocabulary.header.end)
    }

    /// The tokens of bytes that should be UTF-8; the error says where they stop being that.
    pub fn encode_bytes(&self, text: &[u8], ids: &mut [u16]) -> Result<Encoding, Utf8Error> {
        Ok(self.encode(core::str::from_utf8(text)?, ids))
    }

    /// The tokens of a piece of a text without added tokens.
    fn piece(&self, text: &str, start: usize, end: usize, tokens: &mut Tokens<'_>) {
        let text = text.get(..end).unwrap_or("");
        let mut word = Word::new(&self.vocabulary, text.as_bytes(), tokens);
        Normalizer::new(text, start, self.vocabulary.normalization, &mut word).run();
    }
}

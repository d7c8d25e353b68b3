//! The words of a text, before a vocabulary cuts them into pieces: what a vocabulary is learned from.

use std::string::String;
use std::vec::Vec;

use super::Normalization;
use super::normalize::{Normalizer, Words};

/// The words that a tokenizer with this normalization looks up, in their order.
pub fn words(text: &str, normalization: Normalization) -> Vec<String> {
    let mut found = Found::default();
    Normalizer::new(text, 0, normalization, &mut found).run();
    found.words
}

#[derive(Default)]
struct Found {
    words: Vec<String>,
    word: String,
}

impl Words for Found {
    fn letter(&mut self, c: char, _: usize) {
        self.word.push(c);
    }

    fn end(&mut self) -> bool {
        if !self.word.is_empty() {
            self.words.push(core::mem::take(&mut self.word));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_normalized_and_punctuation_stands_alone() {
        let text = "  Ça va?\tIt's 東京,\u{200b} ok";
        assert_eq!(words(text, Normalization::UNCASED), ["ca", "va", "?", "it", "'", "s", "東", "京", ",", "ok"]);
        assert_eq!(words("Ça", Normalization::CASED), ["Ça"]);
        assert!(words(" \n", Normalization::CASED).is_empty());
    }
}

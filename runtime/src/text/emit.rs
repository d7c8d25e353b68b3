//! Writes the vocabulary section of a model file: the inverse of its check and search.

use std::vec::Vec;

use super::vocabulary::{BLOCK, Block, Header, ListRecord, begin};
use super::{Normalization, Tokenizer, VocabularyRule};
use crate::format::bytes::Field;

/// All that is in a vocabulary section.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// What is done to text before it is cut.
    pub normalization: Normalization,
    /// Every id is below this number.
    pub size: u16,
    /// The id of words that the vocabulary cannot make.
    pub unknown: u16,
    /// The id before every text.
    pub begin: u16,
    /// The id behind every text.
    pub end: u16,
    /// Pieces that begin a word, with their ids, in any order.
    pub initial: &'a [(&'a str, u16)],
    /// Pieces that continue a word, without the prefix that says so, with their ids, in any order.
    pub continuing: &'a [(&'a str, u16)],
    /// Tokens that are taken from the text as it is, with their ids.
    pub added: &'a [(&'a str, u16)],
}

/// The section, checked as a device would. The same words give the same bytes.
pub fn section(words: &Words<'_>) -> Result<Vec<u8>, VocabularyRule> {
    let count = |n: usize| u16::try_from(n).map_err(|_| VocabularyRule::Length);
    let mut records = [ListRecord { words: 0, reserved: 0, bytes: 0 }; 2];
    let mut body = Vec::new();
    for (list, record) in [words.initial, words.continuing].into_iter().zip(&mut records) {
        let mut list = list.to_vec();
        list.sort_unstable();
        let (blocks, text) = front_coded(list.iter().map(|&(word, _)| word))?;
        *record = ListRecord { words: count(list.len())?, reserved: 0, bytes: text.len() as u32 };
        body.extend(list.iter().flat_map(|(_, id)| id.to_le_bytes()));
        body.extend(blocks);
        body.extend(text);
    }
    for &(token, id) in words.added {
        body.extend(id.to_le_bytes());
        body.push(u8::try_from(token.len()).map_err(|_| VocabularyRule::Word)?);
        body.extend(token.as_bytes());
    }
    let Words { size, unknown, begin, end, .. } = *words;
    let (flags, added) = (words.normalization.bits(), count(words.added.len())?);
    let header = Header { flags, size, unknown, begin, end, added, lists: records };
    let mut section = vec![0; Header::BYTES];
    header.write(&mut section);
    section.extend(body);
    Tokenizer::parse(&section)?;
    Ok(section)
}

/// The records of blocks, and the text of words in ascending order.
fn front_coded<'a>(words: impl Iterator<Item = &'a str>) -> Result<(Vec<u8>, Vec<u8>), VocabularyRule> {
    let (mut blocks, mut text) = (Vec::new(), Vec::new());
    let mut before: &[u8] = &[];
    for (index, word) in words.map(str::as_bytes).enumerate() {
        if index.is_multiple_of(BLOCK) {
            let mut record = [0; Block::BYTES];
            Block { offset: text.len() as u32, begin: begin(word) }.write(&mut record);
            blocks.extend(record);
            before = &[];
        }
        let shared = before.iter().zip(word).take(15).take_while(|(a, b)| a == b).count();
        let more = &word[shared..];
        text.push((shared as u8) << 4 | more.len().min(15) as u8);
        if more.len() >= 15 {
            text.push(u8::try_from(more.len()).map_err(|_| VocabularyRule::Word)?);
        }
        text.extend(more);
        before = word;
    }
    Ok((blocks, text))
}

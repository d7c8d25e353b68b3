//! The words of a tokenizer as they lie in a model file, checked once and searched in place.
//!
//! ```text
//!  0 flags u16: 1 clean, 2 ideographs apart, 4 strip accents, 8 lower case     2 size u16: every id is below it
//!  4 ids u16 each: unknown word, begin of text, end of text                   10 added tokens u16
//! 12 two lists, words that begin a word and words that continue one, each: words u16, zero u16, bytes of text u32
//! 28 for each list: an id u16 for each word; for each 16 words the offset u32 of the first in the text and its first four
//!    bytes u32, the first of them highest; the text
//! .. added tokens, each: id u16, bytes u8, UTF-8
//!
//! text: the words in ascending order of their bytes, each: shared << 4 | more; if more is 15, a byte that says how many
//!       instead; so many more bytes. `shared` bytes are those of the word before, none for the first of 16.
//! ```
//!
//! On the 30,522 words of BERT this takes 5.9 bytes for each, its id included.

use core::cmp::Ordering;
use core::fmt;

use super::normalize::Normalization;
use crate::format::bytes::{Field, record, tail};

/// Words in a block.
pub(super) const BLOCK: usize = 16;
/// Longest word in bytes.
pub(super) const MAX_WORD: usize = 255;
/// Length of what stands before the lists.
pub(super) const HEADER_BYTES: usize = 28;

const _: () = assert!(Header::BYTES == HEADER_BYTES);

record! {
    /// What stands before the lists.
    pub(super) struct Header {
        flags: u16,
        size: u16,
        unknown: u16,
        begin: u16,
        end: u16,
        added: u16,
        lists: [ListRecord; 2],
    }
}

record! {
    /// Lengths of a list.
    pub(super) struct ListRecord {
        words: u16,
        reserved: u16,
        bytes: u32,
    }
}

record! {
    /// Where 16 words are, and how the first of them begins: most steps of a search need no more.
    pub(super) struct Block {
        offset: u32,
        begin: u32,
    }
}

/// A rule for vocabularies in a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum VocabularyRule {
    /// It is as long as its parts.
    Length,
    /// Unused bits are zero.
    Reserved,
    /// Ids are below the size.
    Id,
    /// A stored offset is that of its word.
    Offset,
    /// Words are UTF-8, not empty, and at most 255 bytes long.
    Word,
    /// Words ascend.
    Order,
}

impl VocabularyRule {
    /// This rule broken, unless `kept`.
    fn unless(self, kept: bool) -> Result<(), VocabularyRule> {
        if kept { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for VocabularyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            VocabularyRule::Length => "vocabulary is not as long as its parts",
            VocabularyRule::Reserved => "vocabulary uses a reserved bit",
            VocabularyRule::Id => "vocabulary has an id that is not below its size",
            VocabularyRule::Offset => "vocabulary has an offset that is not that of a word",
            VocabularyRule::Word => "vocabulary has a word that is empty, longer than 255 bytes, or not UTF-8",
            VocabularyRule::Order => "vocabulary has words out of order, or one of them twice",
        })
    }
}

impl core::error::Error for VocabularyRule {}

/// A checked vocabulary.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vocabulary<'a> {
    pub(super) header: Header,
    pub(super) normalization: Normalization,
    /// Words that begin a word, and words that continue one.
    lists: [List<'a>; 2],
    added: &'a [u8],
    /// One bit for each byte with which an added token begins.
    begins: [u32; 8],
}

/// Words in order.
#[derive(Clone, Copy, Debug)]
struct List<'a> {
    words: usize,
    ids: &'a [u8],
    blocks: &'a [u8],
    text: &'a [u8],
}

/// A token that is taken from the text as it is, before anything else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Added<'a> {
    pub(super) id: u16,
    pub(super) text: &'a [u8],
}

impl<'a> Vocabulary<'a> {
    /// Checks all of a section.
    pub(super) fn parse(section: &'a [u8]) -> Result<Self, VocabularyRule> {
        let (_, mut rest) = section.split_at_checked(HEADER_BYTES).ok_or(VocabularyRule::Length)?;
        let header = Header::read(section);
        let normalization = Normalization::from_bits(header.flags).ok_or(VocabularyRule::Reserved)?;
        for id in [header.unknown, header.begin, header.end] {
            VocabularyRule::Id.unless(id < header.size)?;
        }
        let [mut first, mut second] = [List::EMPTY; 2];
        for (list, record) in [&mut first, &mut second].into_iter().zip(header.lists) {
            VocabularyRule::Reserved.unless(record.reserved == 0)?;
            (*list, rest) = List::split(rest, record).ok_or(VocabularyRule::Length)?;
            list.check(header.size)?;
        }
        let mut begins = [0; 8];
        let mut added = AddedTokens(rest);
        for _ in 0..header.added {
            let Added { id, text } = added.next().ok_or(VocabularyRule::Length)?;
            VocabularyRule::Id.unless(id < header.size)?;
            let &begin = text.first().ok_or(VocabularyRule::Word)?;
            core::str::from_utf8(text).map_err(|_| VocabularyRule::Word)?;
            begins[usize::from(begin >> 5)] |= 1 << (begin & 31);
        }
        VocabularyRule::Length.unless(added.0.is_empty())?;
        Ok(Vocabulary { header, normalization, lists: [first, second], added: rest, begins })
    }

    /// The longest word that begins `text`: its length and its id.
    #[inline]
    pub(super) fn longest(&self, text: &[u8], continues: bool) -> Option<(usize, u16)> {
        let [first, second] = &self.lists;
        if continues { second.longest(text) } else { first.longest(text) }
    }

    /// The first added token in `text` from `from` on, the longest where several begin: where it is, and its id.
    pub(super) fn next_added(&self, text: &[u8], from: usize) -> Option<(usize, usize, u16)> {
        if self.added.is_empty() {
            return None;
        }
        let begins = |byte: u8| self.begins[usize::from(byte >> 5)] >> (byte & 31) & 1 == 1;
        let candidates = tail(text, from).iter().enumerate().filter(|&(_, &byte)| begins(byte));
        candidates.map(|(i, _)| from + i).find_map(|at| {
            let here = tail(text, at);
            let found = AddedTokens(self.added).filter(|token| here.starts_with(token.text));
            found.max_by_key(|token| token.text.len()).map(|token| (at, at + token.text.len(), token.id))
        })
    }
}

impl<'a> List<'a> {
    const EMPTY: List<'static> = List { words: 0, ids: &[], blocks: &[], text: &[] };

    fn split(section: &'a [u8], record: ListRecord) -> Option<(Self, &'a [u8])> {
        let words = usize::from(record.words);
        let (ids, rest) = section.split_at_checked(words * u16::BYTES)?;
        let (blocks, rest) = rest.split_at_checked(words.div_ceil(BLOCK) * Block::BYTES)?;
        let (text, rest) = rest.split_at_checked(record.bytes as usize)?;
        Some((List { words, ids, blocks, text }, rest))
    }

    /// Reads every word as a search would, and more strictly.
    fn check(&self, size: u16) -> Result<(), VocabularyRule> {
        let (mut word, mut len, mut at) = ([0; MAX_WORD], 0, 0);
        for index in 0..self.words {
            VocabularyRule::Id.unless(self.id(index) < size)?;
            let entry = Entry::read(self.text, at).ok_or(VocabularyRule::Length)?;
            if index.is_multiple_of(BLOCK) {
                let block = self.block(index / BLOCK);
                VocabularyRule::Offset.unless(block.offset as usize == at && block.begin == begin(entry.more))?;
            }
            at = entry.end;
            let shared = entry.shared;
            VocabularyRule::Offset.unless(shared <= len && (shared == 0 || !index.is_multiple_of(BLOCK)))?;
            let ascends = index == 0 || word.get(shared..len).is_some_and(|before| before < entry.more);
            VocabularyRule::Order.unless(ascends)?;
            len = shared + entry.more.len();
            word.get_mut(shared..len).ok_or(VocabularyRule::Word)?.copy_from_slice(entry.more);
            let text =
                core::str::from_utf8(tail(&word, 0).get(..len).unwrap_or(&[])).map_err(|_| VocabularyRule::Word)?;
            VocabularyRule::Word.unless(!text.is_empty())?;
        }
        VocabularyRule::Length.unless(at == self.text.len())
    }

    fn id(&self, index: usize) -> u16 {
        u16::read(tail(self.ids, u16::BYTES * index))
    }

    #[inline]
    fn block(&self, number: usize) -> Block {
        Block::read(tail(self.blocks, Block::BYTES * number))
    }

    /// A search for the last word that is not behind `text`: the longest beginning of `text` that is a word, if it is not
    /// that one, is at most as long as what the two have in common.
    fn longest(&self, text: &[u8]) -> Option<(usize, u16)> {
        let mut text = text;
        loop {
            let block = self.find(text)?;
            let (found, common) = self.search(block, text);
            if let Some((len, index)) = found {
                return Some((len, self.id(index)));
            }
            // No beginning of `text` is in this block, so one in an earlier block begins the first word of this one, too.
            text = text.get(..common).filter(|text| !text.is_empty())?;
        }
    }

    /// The last block whose first word is not behind `text`.
    #[inline]
    fn find(&self, text: &[u8]) -> Option<usize> {
        let wanted = begin(text);
        let (mut low, mut high) = (0, self.words.div_ceil(BLOCK));
        while low < high {
            let middle = low.midpoint(high);
            let block = self.block(middle);
            let not_behind = match block.begin.cmp(&wanted) {
                Ordering::Less => true,
                Ordering::Equal => Entry::read(self.text, block.offset as usize)?.more <= text,
                Ordering::Greater => false,
            };
            (low, high) = if not_behind { (middle + 1, high) } else { (low, middle) };
        }
        low.checked_sub(1)
    }

    /// The last word of a block that begins `text`: its length and its index; and how many bytes the first word of the block
    /// and `text` have in common.
    #[inline]
    fn search(&self, block: usize, text: &[u8]) -> (Option<(usize, usize)>, usize) {
        let (mut found, mut first, mut matched) = (None, None, 0);
        let mut at = self.block(block).offset as usize;
        for index in BLOCK * block..self.words.min(BLOCK * (block + 1)) {
            let Some(entry) = Entry::read(self.text, at) else { break };
            at = entry.end;
            // A word that shares more with its predecessor than that has with the text differs from the text as that does.
            if entry.shared > matched {
                continue;
            }
            let rest = tail(text, entry.shared);
            let same = entry.more.iter().zip(rest).take_while(|(a, b)| a == b).count();
            matched = entry.shared + same;
            first.get_or_insert(matched);
            match (entry.more.get(same), rest.get(same)) {
                (None, _) => found = Some((matched, index)),
                (Some(here), Some(there)) if here < there => {}
                _ => break,
            }
        }
        (found, first.unwrap_or(0))
    }
}

/// The first four bytes, zeros where there are none: they order texts as the texts themselves do, as far as they differ.
#[inline]
pub(super) fn begin(text: &[u8]) -> u32 {
    let mut four = [0; 4];
    four.iter_mut().zip(text).for_each(|(to, &byte)| *to = byte);
    u32::from_be_bytes(*text.first_chunk().unwrap_or(&four))
}

/// A word as it is written.
struct Entry<'a> {
    shared: usize,
    more: &'a [u8],
    end: usize,
}

impl<'a> Entry<'a> {
    #[inline]
    fn read(text: &'a [u8], at: usize) -> Option<Self> {
        let lead = *text.get(at)?;
        let (len, from) = match lead & 15 {
            15 => (*text.get(at + 1)?, at + 2),
            len => (len, at + 1),
        };
        let end = from + usize::from(len);
        Some(Entry { shared: usize::from(lead >> 4), more: text.get(from..end)?, end })
    }
}

/// The added tokens one after another.
struct AddedTokens<'a>(&'a [u8]);

impl<'a> Iterator for AddedTokens<'a> {
    type Item = Added<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let (head, rest) = self.0.split_at_checked(3)?;
        let (text, rest) = rest.split_at_checked(usize::from(u8::read(tail(head, 2))))?;
        self.0 = rest;
        Some(Added { id: u16::read(head), text })
    }
}

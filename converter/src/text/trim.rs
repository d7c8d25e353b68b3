//! Cuts a vocabulary down to what a corpus needs: fewer rows of an embedding table, the same tokens for the corpus.
//!
//! Kept are the special and added tokens, every piece that the corpus uses (or the most frequent ones, if there is a limit),
//! and every character that occurs in it, as a beginning and as a continuation. So:
//!
//! * without a limit, every text of the corpus has the same tokens as before, under new numbers: the pieces that are gone were
//!   not chosen there, and the longest of the others is still the longest;
//! * a word of characters that occur in the corpus is not unknown unless it was before, as characters are pieces; the only
//!   exception are characters that the vocabulary itself has not in both forms, and those are told.

use std::collections::BTreeSet;

use limbeck_runtime::text::{Span, Tokenizer};

use super::{CONTINUES, Special, TextError, Vocabulary};

/// A vocabulary that was cut down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trimmed {
    /// What is left, with new ids.
    pub vocabulary: Vocabulary,
    /// For each new id the old one, ascending: the rows of the embedding table that are left.
    pub kept: Vec<u16>,
    /// Characters of the corpus that the vocabulary has in one form only, or only within longer pieces: all pieces with them
    /// are kept, but a word with one of them may become unknown.
    pub incomplete: Vec<char>,
}

impl Trimmed {
    /// The new id of an old one.
    pub fn new_id(&self, old: u16) -> Option<u16> {
        self.kept.binary_search(&old).ok().and_then(|new| u16::try_from(new).ok())
    }
}

impl Vocabulary {
    /// Cuts the vocabulary down to what `corpus` needs, and to `limit` pieces at most.
    ///
    /// # Errors
    /// If the characters and special tokens alone are more than `limit`.
    pub fn trim<'t>(
        &self,
        corpus: impl IntoIterator<Item = &'t str>,
        limit: Option<usize>,
    ) -> Result<Trimmed, TextError> {
        let section = self.section()?;
        let tokenizer = Tokenizer::parse(&section)?;
        let mut uses = Uses { counts: vec![0; self.size()], ids: Vec::new(), spans: Vec::new() };
        for text in corpus {
            uses.count(&tokenizer, text);
        }
        let (needed, incomplete) = self.needed(&uses.counts);
        let limit = limit.unwrap_or(usize::MAX);
        if needed.len() > limit {
            return Err(TextError::Limit { limit, needed: needed.len() });
        }
        let counts = &uses.counts;
        let used = |&id: &u16| counts[usize::from(id)] > 0 && !needed.contains(&id);
        let mut others: Vec<u16> = self.ids().filter(used).collect();
        // The most frequent first; of equals the one that the teacher has put first.
        others.sort_by_key(|&id| std::cmp::Reverse(counts[usize::from(id)]));
        others.truncate(limit - needed.len());
        let kept: BTreeSet<u16> = needed.into_iter().chain(others).collect();
        Ok(self.with(kept.into_iter().collect(), incomplete))
    }

    fn ids(&self) -> impl Iterator<Item = u16> {
        (0..=u16::MAX).take(self.size())
    }

    /// What must stay: tokens with a meaning, and the characters of the pieces that are used.
    fn needed(&self, counts: &[u64]) -> (BTreeSet<u16>, Vec<char>) {
        let mut needed: BTreeSet<u16> = self.special.ids().chain(self.added.iter().map(|&(_, id)| id)).collect();
        let used = self.ids().filter(|&id| counts[usize::from(id)] > 0 && !needed.contains(&id));
        let alphabet: BTreeSet<char> =
            used.filter_map(|id| self.piece(id)).flat_map(|piece| split(piece).1.chars()).collect();
        let mut forms: [BTreeSet<char>; 2] = Default::default();
        for id in self.ids() {
            let Some((continues, text)) = self.piece(id).map(split) else { continue };
            let mut chars = text.chars();
            if let (Some(c), None) = (chars.next(), chars.next())
                && alphabet.contains(&c)
            {
                forms[usize::from(continues)].insert(c);
                needed.insert(id);
            }
        }
        let incomplete: Vec<char> =
            alphabet.iter().copied().filter(|c| !forms.iter().all(|form| form.contains(c))).collect();
        for id in self.ids() {
            let text = self.piece(id).map_or("", |piece| split(piece).1);
            if text.contains(&incomplete[..]) && text.chars().all(|c| alphabet.contains(&c)) {
                needed.insert(id);
            }
        }
        (needed, incomplete)
    }

    /// The vocabulary of these ids only, numbered anew.
    fn with(&self, kept: Vec<u16>, incomplete: Vec<char>) -> Trimmed {
        let new = |old: u16| kept.binary_search(&old).unwrap_or(0) as u16;
        let Special { unknown, begin, end, padding, mask } = self.special;
        let vocabulary = Vocabulary {
            normalization: self.normalization,
            pieces: kept.iter().map(|&id| self.piece(id).map(str::to_owned)).collect(),
            added: self.added.iter().map(|(token, id)| (token.clone(), new(*id))).collect(),
            special: Special {
                unknown: new(unknown),
                begin: new(begin),
                end: new(end),
                padding: padding.map(new),
                mask: mask.map(new),
            },
        };
        Trimmed { vocabulary, kept, incomplete }
    }
}

/// Whether a piece continues a word, and its text.
fn split(piece: &str) -> (bool, &str) {
    match piece.strip_prefix(CONTINUES) {
        Some(text) if !text.is_empty() => (true, text),
        _ => (false, piece),
    }
}

/// How often each id is used.
struct Uses {
    counts: Vec<u64>,
    ids: Vec<u16>,
    spans: Vec<Span>,
}

impl Uses {
    fn count(&mut self, tokenizer: &Tokenizer<'_>, text: &str) {
        // No token is made of less than a byte.
        self.ids.resize(text.len() + 2, 0);
        self.spans.resize(text.len() + 2, Span::default());
        let len = tokenizer.encode_spans(text, &mut self.ids, &mut self.spans).len;
        for at in 1..len - 1 {
            let id = self.ids[at];
            self.counts[usize::from(id)] += 1;
            if id == tokenizer.unknown() {
                self.characters(tokenizer, &text[self.spans[at].start..self.spans[at].end]);
            }
        }
    }

    /// The characters of a word that is unknown: other words with them may be known.
    fn characters(&mut self, tokenizer: &Tokenizer<'_>, word: &str) {
        let mut bytes = [0; 4];
        for c in word.chars() {
            let mut ids = [0; 8];
            let len = tokenizer.encode(c.encode_utf8(&mut bytes), &mut ids).len;
            for &id in &ids[1..len - 1] {
                self.counts[usize::from(id)] += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;

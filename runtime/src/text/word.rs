//! One word at a time: its characters as they come, then the pieces of the vocabulary that make it (WordPiece).

use super::normalize::Words;
use super::vocabulary::Vocabulary;
use super::{Encoding, Span};
use crate::format::bytes::tail;

/// Longer words are unknown.
const MAX_CHARS: usize = 100;

/// The tokens of a text under construction.
pub(super) struct Tokens<'o> {
    ids: &'o mut [u16],
    spans: &'o mut [Span],
    /// How many tokens are wanted besides begin and end.
    room: usize,
    /// How many there are, beyond the room too.
    len: usize,
}

impl<'o> Tokens<'o> {
    pub(super) fn new(ids: &'o mut [u16], spans: &'o mut [Span], room: usize) -> Self {
        Tokens { ids, spans, room, len: 0 }
    }

    /// Whether there are more tokens than are wanted.
    #[inline]
    pub(super) fn overflow(&self) -> bool {
        self.len > self.room
    }

    #[inline]
    pub(super) fn push(&mut self, id: u16, span: Span) {
        self.len += 1;
        // One of them, beyond the room, is in the place of the end, and is overwritten in the end.
        if let Some(to) = self.ids.get_mut(self.len) {
            *to = id;
        }
        if let Some(to) = self.spans.get_mut(self.len) {
            *to = span;
        }
    }

    /// Begin and end round what there is room for.
    pub(super) fn finish(self, begin: u16, end: u16) -> Encoding {
        let inner = self.len.min(self.room);
        for (at, id) in [(0, begin), (inner + 1, end)] {
            if let Some(to) = self.ids.get_mut(at) {
                *to = id;
            }
            if let Some(to) = self.spans.get_mut(at) {
                *to = Span::default();
            }
        }
        Encoding { len: inner + 2, truncated: self.overflow() }
    }
}

/// The word that is being read.
pub(super) struct Word<'v, 'o, 't> {
    vocabulary: &'v Vocabulary<'v>,
    /// The text, to tell how long the character at a place is.
    text: &'v [u8],
    tokens: &'t mut Tokens<'o>,
    bytes: [u8; 4 * MAX_CHARS],
    len: usize,
    /// Where each character comes from.
    places: [usize; MAX_CHARS],
    chars: usize,
    last: usize,
}

impl<'v, 'o, 't> Word<'v, 'o, 't> {
    pub(super) fn new(vocabulary: &'v Vocabulary<'v>, text: &'v [u8], tokens: &'t mut Tokens<'o>) -> Self {
        let (bytes, places) = ([0; 4 * MAX_CHARS], [0; MAX_CHARS]);
        Word { vocabulary, text, tokens, bytes, len: 0, places, chars: 0, last: 0 }
    }

    /// Cuts the word into pieces, or makes it unknown as a whole.
    fn cut(&mut self) {
        let before = self.tokens.len;
        if self.chars > MAX_CHARS || !self.pieces() {
            self.tokens.len = before;
            let first = self.places.first().copied().unwrap_or(0);
            let span = Span { start: first, end: self.end_of(self.last) };
            self.tokens.push(self.vocabulary.header.unknown, span);
        }
    }

    /// The pieces, each the longest that the vocabulary has; whether they make the whole word.
    fn pieces(&mut self) -> bool {
        let mut rest = self.bytes.get(..self.len).unwrap_or(&[]);
        let mut places = self.places.get(..self.chars).unwrap_or(&[]);
        let mut continues = false;
        while !rest.is_empty() {
            let Some((len, id)) = self.vocabulary.longest(rest, continues) else { return false };
            let (piece, after) = rest.split_at_checked(len).unwrap_or((rest, &[]));
            let chars = piece.iter().filter(|&&byte| byte & 0xc0 != 0x80).count();
            let (from, others) = places.split_at_checked(chars).unwrap_or((places, &[]));
            let [start, end] = [from.first(), from.last()].map(|place| place.copied().unwrap_or(0));
            let span = Span { start, end: self.end_of(end) };
            self.tokens.push(id, span);
            (rest, places, continues) = (after, others, true);
        }
        true
    }

    /// Where the character of the text that begins at `place` ends.
    fn end_of(&self, place: usize) -> usize {
        let more = tail(self.text, place + 1).iter().take_while(|&&byte| byte & 0xc0 == 0x80).count();
        place + 1 + more
    }
}

impl Words for Word<'_, '_, '_> {
    #[inline]
    fn letter(&mut self, c: char, place: usize) {
        if let Some(to) = self.places.get_mut(self.chars) {
            *to = place;
            if let Some(to) = self.bytes.get_mut(self.len..self.len + c.len_utf8()) {
                c.encode_utf8(to);
                self.len += c.len_utf8();
            }
        }
        self.chars = self.chars.saturating_add(1);
        self.last = place;
    }

    #[inline]
    fn end(&mut self) -> bool {
        if self.chars > 0 {
            self.cut();
            (self.len, self.chars) = (0, 0);
        }
        !self.tokens.overflow()
    }
}

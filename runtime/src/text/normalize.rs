//! From text to words, as BERT's normalizer and pre-tokenizer do it, in one pass and without a second copy of the text.
//!
//! The reference makes whole strings one after another: control characters removed, ideographs set apart, canonical
//! decomposition, marks removed, lower case, words split at spaces and punctuation. Here each character goes through all of
//! it at once. That is the same because no step looks at a neighbour, but for one: decomposition sorts combining characters.
//! Most of them are marks and are removed after it; the few that stay are put in order where they occur.

use super::unicode::{Class, class, combining, lower, strip};

/// What is done to text before it is cut into tokens: the options of a BERT normalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Normalization {
    /// Remove control characters.
    pub clean: bool,
    /// Make each ideograph a word.
    pub ideographs: bool,
    /// Decompose characters and remove marks.
    pub strip_accents: bool,
    /// Make capitals small.
    pub lowercase: bool,
}

impl Normalization {
    /// What an uncased model does.
    pub const UNCASED: Self = Normalization { clean: true, ideographs: true, strip_accents: true, lowercase: true };
    /// What a cased model does.
    pub const CASED: Self = Normalization { clean: true, ideographs: true, strip_accents: false, lowercase: false };

    pub(super) fn from_bits(bits: u16) -> Option<Self> {
        let bit = |n: u16| bits >> n & 1 == 1;
        if bits >> 4 != 0 {
            return None;
        }
        Some(Normalization { clean: bit(0), ideographs: bit(1), strip_accents: bit(2), lowercase: bit(3) })
    }

    #[cfg(any(test, all(feature = "encode", feature = "std")))]
    pub(super) const fn bits(self) -> u16 {
        self.clean as u16
            | (self.ideographs as u16) << 1
            | (self.strip_accents as u16) << 2
            | (self.lowercase as u16) << 3
    }
}

/// Where words go.
pub(super) trait Words {
    /// One more character of the word, made of the character at byte `place` of the text.
    fn letter(&mut self, c: char, place: usize);

    /// The end of a word, if there is one; whether more words are wanted.
    fn end(&mut self) -> bool;
}

/// The classes of the first 128 characters.
static ASCII: [Class; 128] = {
    let mut classes = [Class::Letter; 128];
    let mut i = 0;
    while i < 128 {
        let byte = i as u8;
        classes[i] = match byte {
            b'\t' | b'\n' | b'\r' | b' ' => Class::Space,
            b'\x0b' | b'\x0c' => Class::Break,
            b'A'..=b'Z' => Class::Upper,
            _ if byte.is_ascii_punctuation() => Class::Punctuation,
            _ if byte.is_ascii_control() => Class::Control,
            _ => Class::Letter,
        };
        i += 1;
    }
    classes
};

/// A piece of text on its way into words.
pub(super) struct Normalizer<'t, 'w, W> {
    /// The text up to the end of the piece, so that places count from the beginning of all.
    text: &'t str,
    /// Where the piece begins.
    start: usize,
    options: Normalization,
    words: &'w mut W,
}

impl<'t, 'w, W: Words> Normalizer<'t, 'w, W> {
    pub(super) fn new(text: &'t str, start: usize, options: Normalization, words: &'w mut W) -> Self {
        Normalizer { text, start, options, words }
    }

    /// Hands out all words.
    pub(super) fn run(mut self) {
        let mut place = self.start;
        while let Some(&byte) = self.text.as_bytes().get(place) {
            let (next, wanted) = if byte.is_ascii() {
                (place + 1, self.simple(ASCII[usize::from(byte & 127)], byte.into(), place))
            } else {
                let Some(c) = self.text.get(place..).and_then(|rest| rest.chars().next()) else { break };
                self.wide(c, place)
            };
            if !wanted {
                return;
            }
            place = next;
        }
        self.words.end();
    }

    /// A character that does not decompose; whether more are wanted.
    #[inline]
    fn simple(&mut self, class: Class, c: char, place: usize) -> bool {
        match class {
            Class::Control | Class::Break if self.options.clean => true,
            Class::Space | Class::Break => self.words.end(),
            Class::Punctuation | Class::ComposedPunctuation => self.apart(c, place),
            Class::Upper | Class::ComposedUpper if self.options.lowercase => {
                let (first, second) = lower(c);
                self.words.letter(first, place);
                if let Some(second) = second {
                    self.words.letter(second, place);
                }
                true
            }
            _ => {
                self.words.letter(c, place);
                true
            }
        }
    }

    /// A character that is a word of its own.
    fn apart(&mut self, c: char, place: usize) -> bool {
        let wanted = self.words.end();
        self.words.letter(c, place);
        self.words.end() && wanted
    }

    /// A character of any kind: where the next one is, and whether it is wanted.
    fn wide(&mut self, c: char, place: usize) -> (usize, bool) {
        let next = place + c.len_utf8();
        let class = class(c);
        let alone = self.options.ideographs && matches!(class, Class::Ideograph | Class::ComposedIdeograph);
        let wanted = !alone || self.words.end();
        let (next, more) = match class {
            Class::Mark if self.options.strip_accents => (next, true),
            Class::Floating if self.options.strip_accents => {
                let (lead, followers) = self.group(place);
                (self.sorted(lead, followers, &[]), true)
            }
            Class::Composed
            | Class::ComposedUpper
            | Class::ComposedPunctuation
            | Class::ComposedIdeograph
            | Class::Syllable
                if self.options.strip_accents =>
            {
                self.parts(strip(c), place, next)
            }
            _ => (next, self.simple(class, c, place)),
        };
        (next, wanted && more && (!alone || self.words.end()))
    }

    /// What a character decomposes into.
    fn parts(&mut self, parts: [Option<char>; 3], place: usize, next: usize) -> (usize, bool) {
        let mut wanted = true;
        for (i, part) in parts.into_iter().enumerate() {
            let Some(part) = part else { break };
            match class(part) {
                Class::Floating => return (self.sorted(place, next, parts.get(i..).unwrap_or(&[])), wanted),
                class => wanted &= self.simple(class, part, place),
            }
        }
        (next, wanted)
    }

    /// Characters with their places, without those that cleaning removes.
    fn cleaned(&self, from: usize, to: usize) -> impl DoubleEndedIterator<Item = (usize, char)> + Clone + use<'t, W> {
        let clean = self.options.clean;
        let removed = move |c| clean && matches!(class(c), Class::Control | Class::Break);
        let chars = self.text.get(from..to).unwrap_or("").char_indices();
        chars.filter(move |&(_, c)| !removed(c)).map(move |(at, c)| (from + at, c))
    }

    /// The group of combining characters in which the one at `place` is: what they follow, and where they begin.
    fn group(&self, place: usize) -> (usize, usize) {
        let mut begin = place;
        for (at, c) in self.cleaned(self.start, place).rev() {
            if combining(c) == 0 {
                return (at, at + c.len_utf8());
            }
            begin = at;
        }
        (begin, begin)
    }

    /// The combining characters from `begin` on, after `tail` of the character at `lead`, in canonical order: those that are no
    /// marks become letters. Gives where the next character is.
    ///
    /// The reference counts characters when it says where each came from, and does so after sorting: the n-th of the sorted
    /// ones that begins a decomposition is said to be made of the n-th of the text.
    fn sorted(&mut self, lead: usize, begin: usize, tail: &[Option<char>]) -> usize {
        let members = self
            .cleaned(begin, self.text.len())
            .map(|(at, c)| (at, c, combining(c)))
            .take_while(|&(.., order)| order != 0);
        let mut places = members.clone();
        let mut place = lead;
        let mut order = 0;
        loop {
            let mut next = None;
            let mut later = |other: u8| {
                if other > order && next.is_none_or(|next| other < next) {
                    next = Some(other);
                }
            };
            for &c in tail.iter().flatten() {
                later(combining(c));
                if combining(c) == order {
                    self.words.letter(c, place);
                }
            }
            for (_, c, other) in members.clone() {
                later(other);
                if other == order {
                    place = places.next().map_or(place, |(at, ..)| at);
                    if class(c) == Class::Floating {
                        self.words.letter(c, place);
                    }
                }
            }
            match next {
                Some(next) => order = next,
                None => break,
            }
        }
        members.last().map_or(begin, |(at, c, _)| at + c.len_utf8())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_classes_are_those_of_the_table() {
        for (byte, &expected) in ASCII.iter().enumerate() {
            assert_eq!(class(byte as u8 as char), expected, "{byte}");
        }
    }

    #[test]
    fn options_are_bits() {
        for bits in 0..16 {
            assert_eq!(Normalization::from_bits(bits).map(Normalization::bits), Some(bits));
        }
        assert_eq!(Normalization::from_bits(16), None);
    }
}

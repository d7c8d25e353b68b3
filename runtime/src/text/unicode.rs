//! What the tokenizer must know of characters: one table of 19 KB, made by `tests/unicode.rs` and compared there with its sources.
//!
//! The sources are what the crate `tokenizers` asks: categories of Unicode 8, decompositions and combining classes of
//! Unicode 9, lower case of the standard library. So the same text gives the same tokens, whatever compiler builds this.

/// What happens to a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Part of a word as it is.
    Letter,
    /// Removed by cleaning, else a letter: control and format characters, private use, U+0000, U+FFFD.
    Control,
    /// Removed by cleaning, else a space.
    Break,
    /// Ends a word.
    Space,
    /// A word of its own.
    Punctuation,
    /// Removed with accents, else a letter.
    Mark,
    /// A combining character that stays when accents go, and finds its place among others.
    Floating,
    /// Has a decomposition.
    Composed,
    /// Has a decomposition and a lower case.
    ComposedUpper,
    /// Has a decomposition; without it, a word of its own.
    ComposedPunctuation,
    /// Has a lower case.
    Upper,
    /// May be a word of its own.
    Ideograph,
    /// An ideograph with a decomposition.
    ComposedIdeograph,
    /// A hangul syllable.
    Syllable,
}

/// The classes by number, as in the table.
const CLASSES: [Class; 16] = {
    use Class::*;
    [
        Letter,
        Control,
        Break,
        Space,
        Punctuation,
        Mark,
        Floating,
        Composed,
        ComposedUpper,
        ComposedPunctuation,
        Upper,
        Ideograph,
        ComposedIdeograph,
        Syllable,
        Letter,
        Letter,
    ]
};

/// The table: ten lengths (u16), then ten parts, little-endian.
static TABLE: &[u8] = include_bytes!("unicode.bin");

const PARTS: usize = 10;
/// Bytes of a number in each part.
const WIDTHS: [usize; PARTS] = [1, 1, 1, 4, 2, 2, 4, 4, 2, 4];

const fn len(part: usize) -> usize {
    TABLE[2 * part] as usize | (TABLE[2 * part + 1] as usize) << 8
}

/// A part of the table as numbers, in a constant.
macro_rules! part {
    ($(#[$doc:meta])* $name:ident: $number:ty = $part:literal) => {
        $(#[$doc])*
        static $name: [$number; len($part)] = {
            let mut at = 2 * PARTS;
            let mut before = 0;
            while before != $part {
                at += WIDTHS[before] * len(before);
                before += 1;
            }
            let mut numbers = [0; len($part)];
            let mut i = 0;
            while i < numbers.len() {
                let mut byte = WIDTHS[$part];
                while byte > 0 {
                    byte -= 1;
                    numbers[i] |= (TABLE[at + WIDTHS[$part] * i + byte] as $number) << (8 * byte);
                }
                i += 1;
            }
            numbers
        };
    };
}

part! {
    /// For 2048 characters each: the number of a group.
    ROOTS: u8 = 0
}
part! {
    /// For 64 characters each of a group: the number of a block.
    GROUPS: u8 = 1
}
part! {
    /// The classes of a block, two in a byte, the first in the lower half.
    BLOCKS: u8 = 2
}
part! {
    /// Characters with a decomposition: the first ones of runs.
    COMPOSED: u32 = 3
}
part! {
    /// For each run the number of its first value, and at the end the number of values.
    FIRST_VALUE: u16 = 4
}
part! {
    /// What is left of a decomposition without marks: a character, or `LONG` and the number of a longer one.
    VALUES: u16 = 5
}
part! {
    /// Three characters each, 0 for none.
    LONGER: u32 = 6
}
part! {
    /// Runs of capitals: `first | count << 21 | (distance - 1) << 29`.
    CAPITALS: u32 = 7
}
part! {
    /// For each run of capitals what makes them small, in the lower 16 bits.
    TO_LOWER: u16 = 8
}
part! {
    /// Runs of combining characters: `first << 15 | (count - 1) << 8 | class`.
    COMBINING: u32 = 9
}

/// Values from here to the end of the private use area are numbers of longer decompositions.
const LONG: u16 = 0xe000;
const LONG_END: u16 = 0xf8ff;

/// The class of a character.
#[inline]
pub(super) fn class(c: char) -> Class {
    let c = c as usize;
    let byte = |table: &[u8], at: usize| table.get(at).map_or(0, |&byte| usize::from(byte));
    let group = byte(&ROOTS, c >> 11);
    let block = byte(&GROUPS, group << 5 | c >> 6 & 31);
    let pair = byte(&BLOCKS, block << 5 | c >> 1 & 31);
    CLASSES[pair >> (4 * (c & 1)) & 15]
}

/// The canonical decomposition of a character, fully taken apart and without marks; of others than syllables, the part that
/// is a floating combining character can only be at the end.
pub(super) fn strip(c: char) -> [Option<char>; 3] {
    if class(c) == Class::Syllable {
        return syllable(c as u32 - 0xac00).map(|jamo| if jamo == 0x11a7 { None } else { char::from_u32(jamo) });
    }
    let c = c as u32;
    let run = COMPOSED.partition_point(|&first| first <= c).wrapping_sub(1);
    let value = || {
        let first = usize::from(*FIRST_VALUE.get(run)?);
        VALUES.get(first + (c - COMPOSED.get(run)?) as usize).copied()
    };
    match value() {
        None => [char::from_u32(c), None, None],
        Some(number @ LONG..=LONG_END) => {
            let at = 3 * usize::from(number - LONG);
            core::array::from_fn(|i| LONGER.get(at + i).and_then(|&c| char::from_u32(c)).filter(|&c| c != '\0'))
        }
        Some(value) => [char::from_u32(value.into()), None, None],
    }
}

/// Leading consonant, vowel, and trailing consonant of a hangul syllable; U+11A7 stands for none (Unicode, section 3.12).
const fn syllable(index: u32) -> [u32; 3] {
    [0x1100 + index / 588, 0x1161 + index % 588 / 28, 0x11a7 + index % 28]
}

/// The lower case of a character; `İ`, alone of all, has two.
pub(super) fn lower(c: char) -> (char, Option<char>) {
    if c.is_ascii() {
        return (c.to_ascii_lowercase(), None);
    }
    if c == 'İ' {
        return ('i', Some('\u{307}'));
    }
    let c32 = c as u32;
    let run = CAPITALS.partition_point(|&run| run & 0x1f_ffff <= c32).wrapping_sub(1);
    let lower = || {
        let (run, delta) = (*CAPITALS.get(run)?, *TO_LOWER.get(run)?);
        let (offset, distance, count) = (c32 - (run & 0x1f_ffff), 1 + (run >> 29), run >> 21 & 255);
        let within = offset.is_multiple_of(distance) && offset / distance < count;
        within.then(|| char::from_u32(c32 & !0xffff | u32::from((c32 as u16).wrapping_add(delta))))?
    };
    (lower().unwrap_or(c), None)
}

/// The combining class of the first character of a decomposition; 0 for one that begins a group.
pub(super) fn combining(c: char) -> u8 {
    let c = c as u32;
    let run = COMBINING.partition_point(|&run| run >> 15 <= c).wrapping_sub(1);
    COMBINING.get(run).map_or(0, |&run| if c - (run >> 15) <= run >> 8 & 127 { run as u8 } else { 0 })
}

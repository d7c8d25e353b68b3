//! A small vocabulary by hand: what becomes of texts, and of damaged sections. Equality with the reference is in `tests/`.

use std::vec::Vec;

use super::emit::{Words, section};
use super::*;

const INITIAL: [&str; 24] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello", "he", "wor", "world", ",", "!", "中", "i", "a", "un", "it", "n", "ß",
    "☃", "한", "ᄒ", "strasse", "\u{302e}", "x", "e\u{301}",
];
const CONTINUING: [&str; 9] = ["ld", "l", "lo", "want", "ed", "s", "\u{302e}", "ᅡ", "ᆫ"];
const ADDED: [(&str, u16); 3] = [("[SEP]", 3), ("[MASK]", 33), ("[MASK]]", 34)];

/// A vocabulary section of 35 ids: `INITIAL`, then `CONTINUING`, then two more added tokens.
pub(crate) fn small(normalization: Normalization) -> Vec<u8> {
    let initial: Vec<_> = INITIAL.into_iter().zip(0..).collect();
    let continuing: Vec<_> = CONTINUING.into_iter().zip(24..).collect();
    let words = Words {
        normalization,
        size: 35,
        unknown: 1,
        begin: 2,
        end: 3,
        initial: &initial,
        continuing: &continuing,
        added: &ADDED,
    };
    section(&words).unwrap()
}

/// The tokens of a text as texts, with the bytes that they are made of.
fn tokens(normalization: Normalization, text: &str) -> Vec<(&'static str, &str)> {
    let section = small(normalization);
    let (mut ids, mut spans) = ([0; 64], [Span::default(); 64]);
    let done = Tokenizer::parse(&section).unwrap().encode_spans(text, &mut ids, &mut spans);
    assert!(!done.truncated && ids[0] == 2 && ids[done.len - 1] == 3);
    let name = |id: u16| match usize::from(id) {
        33 => "[MASK]",
        34 => "[MASK]]",
        id @ ..24 => INITIAL[id],
        id => CONTINUING[id - 24],
    };
    (1..done.len - 1).map(|i| (name(ids[i]), &text[spans[i].start..spans[i].end])).collect()
}

#[test]
fn texts_become_tokens() {
    let uncased = |text| tokens(Normalization::UNCASED, text);
    assert_eq!(uncased(""), []);
    assert_eq!(uncased(" \t\u{a0}\u{ad}"), []);
    assert_eq!(uncased("Hello, WORLD!"), [("hello", "Hello"), (",", ","), ("world", "WORLD"), ("!", "!")]);
    assert_eq!(uncased("unwanted"), [("un", "un"), ("want", "want"), ("ed", "ed")]);
    assert_eq!(uncased("Hélló"), [("hello", "Hélló")]);
    assert_eq!(uncased("worlds world\u{200d}s"), [("world", "world"), ("s", "s"), ("world", "world"), ("s", "s"),]);
    assert_eq!(uncased("a中a ☃️"), [("a", "a"), ("中", "中"), ("a", "a"), ("☃", "☃")]);
    assert_eq!(uncased("İt"), [("it", "İt")]);
    // A word is made wholly of pieces, or unknown.
    assert_eq!(uncased("hexl hello"), [("[UNK]", "hexl"), ("hello", "hello")]);
    assert_eq!(uncased("한"), [("ᄒ", "한"), ("ᅡ", "한"), ("ᆫ", "한")]);
    assert_eq!(uncased("[SEP][MASK]]a[mask]").first(), Some(&("[SEP]", "[SEP]")));
    assert_eq!(uncased("[MASK]]a").first(), Some(&("[MASK]]", "[MASK]]")));
}

#[test]
fn options_matter() {
    assert_eq!(tokens(Normalization::CASED, "Hello hello"), [("[UNK]", "Hello"), ("hello", "hello")]);
    assert_eq!(tokens(Normalization::CASED, "한"), [("한", "한")]);
    assert_eq!(tokens(Normalization::CASED, "e\u{301}"), [("e\u{301}", "e\u{301}")]);
    let keep = Normalization { clean: false, ideographs: false, ..Normalization::UNCASED };
    assert_eq!(tokens(keep, "a\u{ad}"), [("[UNK]", "a\u{ad}")]);
    assert_eq!(tokens(keep, "中中"), [("[UNK]", "中中")]);
    assert_eq!(tokens(keep, "a\u{85}a"), [("a", "a"), ("a", "a")]);
}

/// U+302E, of class 224, stays when marks go, and is sorted among them: before those of class 230, behind those of 220.
#[test]
fn combining_characters_are_sorted_before_marks_go() {
    let tone = "\u{302e}";
    let uncased = |text| tokens(Normalization::UNCASED, text);
    assert_eq!(uncased("x\u{302e}"), [("x", "x"), (tone, tone)]);
    // It is the first of two now, and so is said to be made of the first.
    assert_eq!(uncased("x\u{301}\u{302e}"), [("x", "x"), (tone, "\u{301}")]);
    assert_eq!(uncased("x\u{323}\u{302e}"), [("x", "x"), (tone, tone)]);
    assert_eq!(uncased("\u{301}\u{302e}x").first(), Some(&("[UNK]", "\u{301}\u{302e}x")));
    assert_eq!(uncased("x\u{301}\u{200d}\u{302e}\u{301} a").last(), Some(&("a", "a")));
}

#[test]
fn words_of_more_than_100_characters_are_unknown() {
    let section = small(Normalization::UNCASED);
    let tokenizer = Tokenizer::parse(&section).unwrap();
    for (letters, known) in [(99, true), (100, true), (101, false)] {
        let word = "he".to_owned() + &"l".repeat(letters - 2);
        let mut ids = [0; 128];
        let done = tokenizer.encode(&word, &mut ids);
        assert_eq!(done.len, if known { letters - 1 + 2 } else { 3 }, "{letters}");
        assert_eq!(ids[1] == 1, !known);
    }
}

#[test]
fn a_text_that_is_too_long_is_cut_off_aloud() {
    let section = small(Normalization::UNCASED);
    let tokenizer = Tokenizer::parse(&section).unwrap();
    let text = "hello world, unwanted [SEP] a";
    let mut all = [0; 32];
    let whole = tokenizer.encode(text, &mut all);
    assert_eq!(whole, Encoding { len: 10, truncated: false });
    for room in 0..16 {
        let (mut ids, mut spans) = ([0; 16], [Span::default(); 16]);
        let done = tokenizer.encode_spans(text, &mut ids[..room], &mut spans[..room]);
        assert_eq!(done.truncated, room < whole.len, "{room}");
        assert_eq!(done.len, if room < 2 { 0 } else { room.min(whole.len) });
        if let Some(inner) = done.len.checked_sub(1).filter(|&inner| inner > 0) {
            assert_eq!((&ids[..inner], ids[inner]), (&all[..inner], 3), "{room}");
            assert_eq!(spans[inner], Span::default());
        }
    }
    // An unknown word at the end counts as one token, though its pieces would not have fitted.
    let mut ids = [0; 3];
    assert_eq!(tokenizer.encode("unwanteded☃", &mut ids), Encoding { len: 3, truncated: false });
    assert_eq!(ids, [2, 1, 3]);
}

#[test]
fn bytes_that_are_no_text_are_an_error_with_a_place() {
    let section = small(Normalization::UNCASED);
    let tokenizer = Tokenizer::parse(&section).unwrap();
    let mut ids = [0; 8];
    assert_eq!(tokenizer.encode_bytes(b"hello \xff", &mut ids).unwrap_err().valid_up_to(), 6);
    assert_eq!(tokenizer.encode_bytes("hello".as_bytes(), &mut ids), Ok(tokenizer.encode("hello", &mut ids)));
}

#[test]
fn each_broken_section_has_its_rule() {
    let good = small(Normalization::UNCASED);
    let set = |at: usize, bytes: &[u8]| {
        let mut section = good.clone();
        section[at..at + bytes.len()].copy_from_slice(bytes);
        Tokenizer::parse(&section).unwrap_err()
    };
    let first = vocabulary::HEADER_BYTES;
    let (blocks, text) = (first + 2 * INITIAL.len(), first + 2 * INITIAL.len() + 16);
    assert_eq!(set(0, &[16]), VocabularyRule::Reserved);
    assert_eq!(set(2, &[3, 0]), VocabularyRule::Id);
    assert_eq!(set(4, &[35, 0]), VocabularyRule::Id);
    assert_eq!(set(10, &[4]), VocabularyRule::Length);
    assert_eq!(set(10, &[2]), VocabularyRule::Length);
    assert_eq!(set(12, &[255, 255]), VocabularyRule::Length);
    assert_eq!(set(14, &[1]), VocabularyRule::Reserved);
    assert_eq!(set(16, &[255, 255, 255, 255]), VocabularyRule::Length);
    assert_eq!(set(first, &[35, 0]), VocabularyRule::Id);
    assert_eq!(set(blocks, &[1]), VocabularyRule::Offset);
    assert_eq!(set(blocks + 7, b"~"), VocabularyRule::Offset);
    assert_eq!(set(blocks + 8, &[255, 255, 255, 127]), VocabularyRule::Offset);
    assert_eq!(set(text, &[0x11]), VocabularyRule::Offset, "shares with nothing");
    assert_eq!(set(text + 1, b"~"), VocabularyRule::Offset, "the block says another begin");
    assert_eq!(set(text + 3, b" "), VocabularyRule::Order);
    assert_eq!(set(text + 3, b"\xff"), VocabularyRule::Word);
    assert_eq!(set(good.len() - 1, b"\xff"), VocabularyRule::Word);
    for len in 0..good.len() {
        assert!(Tokenizer::parse(&good[..len]).is_err(), "{len}");
    }
    let twice = Words { initial: &[("a", 1), ("a", 2)], ..empty() };
    assert_eq!(section(&twice), Err(VocabularyRule::Order));
    assert_eq!(section(&Words { initial: &[("", 1)], ..empty() }), Err(VocabularyRule::Word));
    assert_eq!(section(&Words { initial: &[(&"a".repeat(256), 1)], ..empty() }), Err(VocabularyRule::Word));
    assert!(section(&Words { initial: &[(&"a".repeat(255), 1), ("a", 2)], ..empty() }).is_ok());
}

const fn empty() -> Words<'static> {
    Words {
        normalization: Normalization::CASED,
        size: 4,
        unknown: 1,
        begin: 2,
        end: 3,
        initial: &[],
        continuing: &[],
        added: &[],
    }
}

#[test]
fn hostile_sections_are_refused_or_give_ids_below_their_size() {
    const SECTIONS: u32 = if cfg!(miri) { 50 } else { 20_000 };
    let good = small(Normalization::UNCASED);
    let mut accepted = 0;
    for seed in 0..SECTIONS {
        let mut rng = crate::Rng::new(seed);
        let mut section = good.clone();
        for _ in 0..1 + rng.below(3) {
            let at = rng.below(section.len());
            let any = rng.word() as u8;
            section[at] = if rng.one_in(2) { any } else { rng.pick(&[0, 1, 2, 15, 16, 127, 128, 255]) };
        }
        let Ok(tokenizer) = Tokenizer::parse(&section) else { continue };
        accepted += 1;
        let (mut ids, mut spans) = ([0; 24], [Span::default(); 24]);
        let text = "Hello, unwanted wörld [MASK]] 한 中x\u{301}\u{302e} heloed";
        let done = tokenizer.encode_spans(text, &mut ids, &mut spans);
        assert!(ids[..done.len].iter().all(|&id| id < tokenizer.size()));
        assert!(spans[..done.len].iter().all(|span| text.get(span.start..span.end).is_some()));
    }
    assert!(accepted > SECTIONS / 50 && accepted < SECTIONS, "{accepted}");
}

/// Every search in a section of many random words gives what a plain one gives.
#[test]
fn searches_find_the_longest_word() {
    let mut rng = crate::Rng::new(3);
    let mut word = |most: usize| -> std::string::String {
        (0..1 + rng.below(most)).map(|_| rng.pick(&['a', 'b', 'é', 'c'])).collect()
    };
    for most in [2, 4, 9, 40] {
        let mut words: Vec<_> = (0..500).map(|_| word(most)).collect();
        words.sort();
        words.dedup();
        let pairs: Vec<_> = words.iter().map(std::string::String::as_str).zip(0..).collect();
        let section = section(&Words { size: 600, continuing: &pairs, ..empty() }).unwrap();
        let vocabulary = Vocabulary::parse(&section).unwrap();
        for _ in 0..2000 {
            let text = word(most + 2);
            let expected = pairs.iter().filter(|(word, _)| text.starts_with(word)).max_by_key(|(word, _)| word.len());
            let found = vocabulary.longest(text.as_bytes(), true);
            assert_eq!(found, expected.map(|(word, id)| (word.len(), *id)), "{text}");
            assert_eq!(vocabulary.longest(text.as_bytes(), false), None);
        }
    }
}

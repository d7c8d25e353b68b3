//! A vocabulary of a dozen pieces, cut down in several ways.

use limbeck_runtime::text::Normalization;

use super::*;

const PIECES: [&str; 20] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "d", "##a", "##b", "##c", "ab", "##ba", "cab", "##cd", "abc",
    "e", "!", "##e", "dd",
];

fn vocabulary() -> Vocabulary {
    Vocabulary {
        normalization: Normalization::UNCASED,
        pieces: PIECES.iter().map(|piece| Some((*piece).to_owned())).collect(),
        added: vec![("[SEP]".to_owned(), 3)],
        special: Special { unknown: 1, begin: 2, end: 3, padding: Some(0), mask: None },
    }
}

fn encode(vocabulary: &Vocabulary, text: &str) -> Vec<u16> {
    let section = vocabulary.section().unwrap();
    let mut ids = vec![0; text.len() + 2];
    let len = Tokenizer::parse(&section).unwrap().encode(text, &mut ids).len;
    ids.truncate(len);
    ids
}

fn names(trimmed: &Trimmed) -> Vec<&str> {
    (0..).map_while(|id| trimmed.vocabulary.piece(id)).collect()
}

#[test]
fn a_corpus_keeps_its_tokens() {
    let before = vocabulary();
    let corpus = ["abba ab", "cab", "[SEP] ab b"];
    let after = before.trim(corpus, None).unwrap();
    assert_eq!(
        names(&after),
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "##a", "##b", "##c", "ab", "##ba", "cab",]
    );
    assert_eq!(after.incomplete, [' '; 0]);
    for text in corpus {
        let old: Vec<u16> = encode(&after.vocabulary, text).iter().map(|&id| after.kept[usize::from(id)]).collect();
        assert_eq!(old, encode(&before, text), "{text}");
    }
    // Other words of the same characters are made of smaller pieces.
    assert_eq!(encode(&before, "abc"), [2, 15, 3]);
    assert_eq!(encode(&after.vocabulary, "abc"), [2, 10, 9, 3]);
    assert_eq!((after.new_id(13), after.new_id(15)), (Some(12), None));
}

#[test]
fn a_limit_keeps_the_most_frequent() {
    let corpus = ["cab", "ab ab", "abba", "cab cab"];
    let needed = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "##a", "##b", "##c"];
    let trim = |limit| vocabulary().trim(corpus, Some(limit));
    assert_eq!(names(&trim(10).unwrap()), needed);
    assert_eq!(names(&trim(11).unwrap()), [&needed[..], &["ab"]].concat());
    assert_eq!(names(&trim(12).unwrap()), [&needed[..], &["ab", "cab"]].concat());
    assert!(matches!(trim(9), Err(TextError::Limit { limit: 9, needed: 10 })));
}

#[test]
fn characters_without_both_forms_are_told_and_their_pieces_kept() {
    let after = vocabulary().trim(["d", "c"], None).unwrap();
    assert_eq!(after.incomplete, ['d']);
    assert_eq!(names(&after), ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "c", "d", "##c", "##cd", "dd"]);
}

#[test]
fn characters_of_unknown_words_count() {
    // `xe` is unknown because of `x`, but `e` alone was not.
    let after = vocabulary().trim(["xe!"], None).unwrap();
    assert_eq!(names(&after), ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "e", "!", "##e"]);
    assert_eq!(after.incomplete, ['!']);
}

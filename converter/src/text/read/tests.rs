//! Small folders of each kind, and one broken file for each error.

use std::fs;

use limbeck_runtime::text::Tokenizer;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const WORDS: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\n##s \nÉ\nhello\n";

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn tokenizer_json() -> Value {
    let vocab: serde_json::Map<String, Value> =
        WORDS.lines().enumerate().map(|(id, word)| (word.trim_end().to_owned(), id.into())).collect();
    let token = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true})
    };
    let frame = |id: &str| json!({"SpecialToken": {"id": id, "type_id": 0}});
    json!({
        "version": "1.0", "truncation": null, "padding": {"strategy": "BatchLongest"},
        "added_tokens": [token(0, "[PAD]"), token(1, "[UNK]"), token(2, "[CLS]"), token(3, "[SEP]"), token(4, "[MASK]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": false},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "pair": [], "special_tokens": {},
            "single": [frame("[CLS]"), {"Sequence": {"id": "A", "type_id": 0}}, frame("[SEP]")]},
        "decoder": {"type": "WordPiece"},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab},
    })
}

/// The error for `tokenizer.json` after a change.
fn json_error(pointer: &str, value: Value) -> String {
    let mut file = tokenizer_json();
    *file.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
    let folder = folder(&[("tokenizer.json", &file.to_string())]);
    Vocabulary::read(folder.path()).unwrap_err().to_string()
}

fn config_error(config: &str) -> String {
    let folder = folder(&[("vocab.txt", WORDS), ("tokenizer_config.json", config)]);
    Vocabulary::read(folder.path()).unwrap_err().to_string()
}

#[test]
fn both_forms_give_the_same() {
    let config = r#"{"do_lower_case": false, "tokenizer_class": "BertTokenizerFast", "model_max_length": 512,
        "mask_token": {"content": "[MASK]", "lstrip": false}}"#;
    let list = folder(&[("vocab.txt", WORDS), ("tokenizer_config.json", config)]);
    let list = Vocabulary::read(list.path()).unwrap();
    let json = folder(&[("tokenizer.json", &tokenizer_json().to_string()), ("tokenizer_config.json", config)]);
    let mut json = Vocabulary::read(json.path()).unwrap();
    json.added.sort();
    let mut sorted = list.clone();
    sorted.added.sort();
    assert_eq!(json, sorted);
    assert_eq!(list.normalization, Normalization::CASED);
    assert_eq!(list.special, Special { unknown: 1, begin: 2, end: 3, padding: Some(0), mask: Some(4) });
    assert_eq!((list.size(), list.piece(6), list.piece(5), list.piece(8)), (9, Some("##s"), None, Some("hello")));
    let section = list.section().unwrap();
    let mut ids = [0; 8];
    let done = Tokenizer::parse(&section).unwrap().encode("hellos É[MASK]é", &mut ids);
    assert_eq!(ids[..done.len], [2, 8, 6, 7, 4, 1, 3]);
}

#[test]
fn uncased_means_without_accents_unless_it_is_said() {
    for (config, expected) in [
        (r#"{"do_lower_case": true}"#, Normalization::UNCASED),
        (
            r#"{"do_lower_case": true, "strip_accents": false}"#,
            Normalization { strip_accents: false, ..Normalization::UNCASED },
        ),
        (
            r#"{"do_lower_case": false, "tokenize_chinese_chars": false}"#,
            Normalization { ideographs: false, ..Normalization::CASED },
        ),
    ] {
        let folder = folder(&[("vocab.txt", WORDS), ("tokenizer_config.json", config)]);
        assert_eq!(Vocabulary::read(folder.path()).unwrap().normalization, expected);
    }
}

#[test]
fn what_is_not_supported_is_named() {
    for (pointer, value, expected) in [
        ("/model/type", json!("BPE"), "unknown variant `BPE`, expected `WordPiece`"),
        ("/normalizer/type", json!("Lowercase"), "expected `BertNormalizer`"),
        (
            "/normalizer",
            json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true, "extra": 1}),
            "unknown field `extra`",
        ),
        ("/pre_tokenizer/type", json!("Whitespace"), "expected `BertPreTokenizer`"),
        (
            "/post_processor/single",
            json!([{"Sequence": {"id": "A", "type_id": 0}}]),
            "only [CLS] text [SEP] is supported",
        ),
        ("/post_processor/single/0/SpecialToken/id", json!("<s>"), "the begin token `<s>` is not in the vocabulary"),
        ("/model/continuing_subword_prefix", json!("@@"), "`continuing_subword_prefix` is @@, but only `##`"),
        ("/model/max_input_chars_per_word", json!(50), "`max_input_chars_per_word` is 50, but only 100"),
        ("/model/unk_token", json!("<unk>"), "the unknown token `<unk>` is not in the vocabulary"),
        ("/model/vocab/hello", json!(65535), "id 65535, but ids must be below 65535"),
        ("/added_tokens/4/lstrip", json!(true), "`added_tokens.[MASK].lstrip` is true, but only false"),
    ] {
        let error = json_error(pointer, value);
        assert!(error.contains(expected) && error.contains("tokenizer.json"), "{pointer}: {error}");
    }
    for (config, expected) in [
        ("{}", "does not say whether capitals matter"),
        ("{", "is not understood"),
        (r#"{"do_lower_case": 1}"#, "`do_lower_case` is 1, but only true or false"),
        (r#"{"do_lower_case": true, "do_basic_tokenize": false}"#, "`do_basic_tokenize` is false, but only true"),
        (r#"{"do_lower_case": true, "never_split": ["a"]}"#, "only an empty list"),
        (r#"{"do_lower_case": true, "tokenizer_class": "RobertaTokenizer"}"#, "only BertTokenizer"),
        (r#"{"do_lower_case": true, "word_shape": true}"#, "the key `word_shape` is not known"),
        (r#"{"do_lower_case": true, "cls_token": "<s>"}"#, "the begin token `<s>` is not in the vocabulary"),
    ] {
        let error = config_error(config);
        assert!(error.contains(expected), "{config}: {error}");
    }
}

#[test]
fn missing_and_contradicting_files_are_named() {
    let empty = folder(&[]);
    assert!(Vocabulary::read(empty.path()).unwrap_err().to_string().contains("has no tokenizer"));
    let alone = folder(&[("vocab.txt", WORDS)]);
    assert!(Vocabulary::read(alone.path()).unwrap_err().to_string().contains("does not say whether capitals matter"));
    let two = folder(&[
        ("tokenizer.json", &tokenizer_json().to_string()),
        ("tokenizer_config.json", r#"{"do_lower_case": true}"#),
    ]);
    let error = Vocabulary::read(two.path()).unwrap_err().to_string();
    assert!(error.contains("`do_lower_case` is true, but tokenizer.json says false"), "{error}");
    let many = "word\n".repeat(65_536);
    let large = folder(&[("vocab.txt", &many), ("tokenizer_config.json", r#"{"do_lower_case": true}"#)]);
    assert!(Vocabulary::read(large.path()).unwrap_err().to_string().contains("ids must be below 65535"));
    let long = format!("{WORDS}{}\n", "a".repeat(256));
    let long = folder(&[("vocab.txt", &long), ("tokenizer_config.json", r#"{"do_lower_case": true}"#)]);
    assert!(Vocabulary::read(long.path()).unwrap_err().to_string().contains("longer than 255 bytes"));
}

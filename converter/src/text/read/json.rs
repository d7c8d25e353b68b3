//! `tokenizer.json`: the whole tokenizer, as the crate `tokenizers` writes it.

use std::collections::BTreeMap;

use limbeck_runtime::text::Normalization;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Config, Pieces, Source, normalization};
use crate::text::{CONTINUES, Special, TextError, Vocabulary};

/// Longer words are unknown, here and in the runtime.
const MAX_CHARS: u64 = 100;

/// Lengths (`truncation`, `padding`) are the model's business, and nothing is ever made back into text (`decoder`).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code)]
struct File {
    #[serde(default)]
    version: IgnoredAny,
    #[serde(default)]
    truncation: IgnoredAny,
    #[serde(default)]
    padding: IgnoredAny,
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Normalizer,
    pre_tokenizer: PreTokenizer,
    post_processor: PostProcessor,
    #[serde(default)]
    decoder: IgnoredAny,
    model: Model,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddedToken {
    id: u64,
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    normalized: bool,
    #[serde(default)]
    #[allow(dead_code)]
    special: bool,
}

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
enum Normalizer {
    BertNormalizer { clean_text: bool, handle_chinese_chars: bool, strip_accents: Option<bool>, lowercase: bool },
}

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
enum PreTokenizer {
    BertPreTokenizer {},
}

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
enum PostProcessor {
    TemplateProcessing {
        single: Vec<Part>,
        #[allow(dead_code)]
        pair: IgnoredAny,
        #[allow(dead_code)]
        special_tokens: IgnoredAny,
    },
    BertProcessing {
        sep: (String, u64),
        cls: (String, u64),
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
enum Part {
    SpecialToken { id: String, type_id: u32 },
    Sequence { id: String, type_id: u32 },
}

#[derive(Deserialize)]
#[serde(tag = "type", deny_unknown_fields)]
enum Model {
    WordPiece {
        unk_token: String,
        continuing_subword_prefix: String,
        max_input_chars_per_word: u64,
        vocab: BTreeMap<String, u64>,
    },
}

pub(super) fn read(source: Source<'_>, config: Option<&Config>) -> Result<Vocabulary, TextError> {
    let file: File = serde_json::from_str(&source.read()?)
        .map_err(|error| TextError::Json { path: source.path(), source: error })?;
    let Model::WordPiece { unk_token, continuing_subword_prefix, max_input_chars_per_word, vocab } = file.model;
    let PreTokenizer::BertPreTokenizer {} = file.pre_tokenizer;
    if continuing_subword_prefix != CONTINUES {
        return Err(source.unsupported("continuing_subword_prefix", continuing_subword_prefix, "`##`"));
    }
    if max_input_chars_per_word != MAX_CHARS {
        return Err(source.unsupported("max_input_chars_per_word", max_input_chars_per_word, "100"));
    }
    let mut pieces = Pieces::default();
    for (text, id) in vocab {
        pieces.0.insert(text, source.id(id)?);
    }
    let unknown = source.special(&pieces, "unknown", &unk_token)?;
    let mut added = Vec::new();
    let mut size = 0;
    for token in file.added_tokens {
        for (flag, set) in [
            ("single_word", token.single_word),
            ("lstrip", token.lstrip),
            ("rstrip", token.rstrip),
            ("normalized", token.normalized),
        ] {
            if set {
                return Err(source.unsupported(&format!("added_tokens.{}.{flag}", token.content), true, "false"));
            }
        }
        let id = source.id(token.id)?;
        size = size.max(usize::from(id) + 1);
        added.push((token.content, id));
    }
    let named =
        |name: &str| pieces.id(name).or_else(|| added.iter().find(|(token, _)| token == name).map(|&(_, id)| id));
    let frame = |role, token: &str| {
        named(token).ok_or_else(|| TextError::Special { path: source.path(), role, token: token.to_owned() })
    };
    let (begin, end) = frame_names(&file.post_processor)
        .ok_or_else(|| source.unsupported("post_processor", "another template", "[CLS] text [SEP]"))?;
    let (begin, end) = (frame("begin", begin)?, frame("end", end)?);
    let default = Config::default();
    let config = config.unwrap_or(&default);
    let (padding, mask) = (named(config.padding()), named(config.mask()));
    let Normalizer::BertNormalizer { clean_text, handle_chinese_chars, strip_accents, lowercase } = file.normalizer;
    let normalization: Normalization = normalization(clean_text, handle_chinese_chars, strip_accents, lowercase);
    let special = Special { unknown, begin, end, padding, mask };
    Ok(Vocabulary { normalization, pieces: pieces.by_id(size), added, special })
}

/// The names of begin and end, if they are all that stands round a text.
fn frame_names(processor: &PostProcessor) -> Option<(&str, &str)> {
    match processor {
        PostProcessor::BertProcessing { cls, sep } => Some((&cls.0, &sep.0)),
        PostProcessor::TemplateProcessing { single, .. } => match single.as_slice() {
            [
                Part::SpecialToken { id: begin, type_id: 0 },
                Part::Sequence { id: text, type_id: 0 },
                Part::SpecialToken { id: end, type_id: 0 },
            ] if text == "A" => Some((begin, end)),
            _ => None,
        },
    }
}

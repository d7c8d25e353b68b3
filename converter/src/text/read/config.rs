//! `tokenizer_config.json`: names of the special tokens and, for a plain list of words, what is done to text.

use limbeck_runtime::text::Normalization;
use serde_json::{Map, Value};

use super::{Source, normalization};
use crate::text::TextError;

/// Keys that have no influence on the tokens of one text, or that only repeat what other keys say.
const WITHOUT_INFLUENCE: [&str; 28] = [
    "name_or_path",
    "model_max_length",
    "max_length",
    "max_len",
    "stride",
    "truncation_strategy",
    "truncation_side",
    "padding_side",
    "pad_to_multiple_of",
    "pad_token_type_id",
    "clean_up_tokenization_spaces",
    "special_tokens_map_file",
    "tokenizer_file",
    "full_tokenizer_file",
    "vocab_file",
    "processor_class",
    "auto_map",
    "use_fast",
    "model_input_names",
    "_commit_hash",
    "backend",
    "is_local",
    "local_files_only",
    "vocab_size",
    "model_type",
    "return_token_type_ids",
    "add_special_tokens",
    "from_slow",
];

/// Tokenizers that are BERT's.
const CLASSES: [&str; 6] = [
    "BertTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "MobileBertTokenizer",
    "LayoutLMTokenizer",
    "PreTrainedTokenizer",
];

/// What the file says of the things that matter.
#[derive(Debug, Default)]
pub(super) struct Config {
    names: [Option<String>; 5],
    lowercase: Option<bool>,
    strip_accents: Option<bool>,
    ideographs: Option<bool>,
    added: Map<String, Value>,
}

const NAMES: [(&str, &str); 5] = [
    ("unk_token", "[UNK]"),
    ("cls_token", "[CLS]"),
    ("sep_token", "[SEP]"),
    ("pad_token", "[PAD]"),
    ("mask_token", "[MASK]"),
];

impl Config {
    pub(super) fn read(source: Source<'_>) -> Result<Self, TextError> {
        let keys: Map<String, Value> = serde_json::from_str(&source.read()?)
            .map_err(|error| TextError::Json { path: source.path(), source: error })?;
        let mut config = Config::default();
        for (key, value) in keys {
            let yes_or_no = || match value {
                Value::Null => Ok(None),
                Value::Bool(value) => Ok(Some(value)),
                _ => Err(source.unsupported(&key, &value, "true or false")),
            };
            match key.as_str() {
                "do_lower_case" => config.lowercase = yes_or_no()?,
                "strip_accents" => config.strip_accents = yes_or_no()?,
                "tokenize_chinese_chars" => config.ideographs = yes_or_no()?,
                "do_basic_tokenize" if yes_or_no()? == Some(false) => {
                    return Err(source.unsupported(&key, false, "true"));
                }
                "do_basic_tokenize" => {}
                "never_split" | "additional_special_tokens" | "extra_special_tokens" => {
                    let empty = value.is_null()
                        || value.as_array().is_some_and(Vec::is_empty)
                        || value.as_object().is_some_and(Map::is_empty);
                    if !empty {
                        return Err(source.unsupported(&key, &value, "an empty list"));
                    }
                }
                "tokenizer_class" => {
                    let class = value.as_str().unwrap_or_default();
                    if !CLASSES.contains(&class.strip_suffix("Fast").unwrap_or(class)) {
                        return Err(source.unsupported(&key, &value, "BertTokenizer or one that is the same"));
                    }
                }
                "added_tokens_decoder" => match value {
                    Value::Object(added) => config.added = added,
                    _ => return Err(source.unsupported(&key, &value, "an object")),
                },
                key if WITHOUT_INFLUENCE.contains(&key) => {}
                _ => match NAMES.iter().position(|&(name, _)| name == key) {
                    Some(at) => config.names[at] = name(&value),
                    None => return Err(TextError::UnknownKey { path: source.path(), key }),
                },
            }
        }
        Ok(config)
    }

    fn name(&self, role: usize) -> &str {
        self.names[role].as_deref().unwrap_or(NAMES[role].1)
    }

    pub(super) fn unknown(&self) -> &str {
        self.name(0)
    }

    pub(super) fn begin(&self) -> &str {
        self.name(1)
    }

    pub(super) fn end(&self) -> &str {
        self.name(2)
    }

    pub(super) fn padding(&self) -> &str {
        self.name(3)
    }

    pub(super) fn mask(&self) -> &str {
        self.name(4)
    }

    /// What is done to text, if the file says whether capitals matter.
    pub(super) fn normalization(&self) -> Option<Normalization> {
        Some(normalization(true, self.ideographs.unwrap_or(true), self.strip_accents, self.lowercase?))
    }

    /// The added tokens that the file lists; their ids are those of the list of words.
    pub(super) fn added(&self, source: Source<'_>) -> Result<Vec<(String, u16)>, TextError> {
        let mut added = Vec::new();
        for (id, token) in &self.added {
            let key = format!("added_tokens_decoder.{id}");
            let Some(content) = name(token) else { return Err(source.unsupported(&key, token, "a token")) };
            for flag in ["single_word", "lstrip", "rstrip", "normalized"] {
                if token.get(flag).and_then(Value::as_bool).unwrap_or(false) {
                    return Err(source.unsupported(&format!("{key}.{flag}"), true, "false"));
                }
            }
            added.push((content, 0));
        }
        Ok(added)
    }

    /// A folder with both files must mean one thing.
    pub(super) fn agrees_with(&self, tokenizer: Normalization, source: Source<'_>) -> Result<(), TextError> {
        let lowercase = self.lowercase.unwrap_or(tokenizer.lowercase);
        for (key, config, tokenizer) in [
            ("do_lower_case", Some(lowercase), tokenizer.lowercase),
            ("strip_accents", self.strip_accents, tokenizer.strip_accents),
            ("tokenize_chinese_chars", self.ideographs, tokenizer.ideographs),
        ] {
            if let Some(config) = config.filter(|&config| config != tokenizer) {
                let (config, tokenizer) = (config.to_string(), tokenizer.to_string());
                return Err(TextError::Contradiction { path: source.path(), key, config, tokenizer });
            }
        }
        Ok(())
    }
}

/// The text of a token, written as such or as an object.
fn name(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}

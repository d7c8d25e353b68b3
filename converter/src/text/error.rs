//! What can be wrong with a tokenizer's files, and what to do about it.

use std::path::PathBuf;

use limbeck_runtime::text::VocabularyRule;

/// Why a tokenizer cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The operating system said no.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// Neither form of a vocabulary.
    #[error(
        "{} has no tokenizer: expected `tokenizer.json`, or `vocab.txt` with a `tokenizer_config.json`; copy them from where \
         the weights come from",
        folder.display()
    )]
    Missing {
        /// The folder.
        folder: PathBuf,
    },
    /// A word list does not say whether its model is cased.
    #[error(
        "{} does not say whether capitals matter: expected `\"do_lower_case\": true` (uncased) or `false` (cased)",
        path.display()
    )]
    Case {
        /// `tokenizer_config.json`.
        path: PathBuf,
    },
    /// Not JSON, or another tokenizer than BERT's.
    #[error(
        "{} is not understood: {source}; a BERT tokenizer is expected: BertNormalizer, BertPreTokenizer, WordPiece, and \
         [CLS] text [SEP]",
        path.display()
    )]
    Json {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: serde_json::Error,
    },
    /// A setting that is understood but not supported.
    #[error("{}: `{key}` is {found}, but only {supported} is supported", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The setting.
        key: String,
        /// Its value.
        found: String,
        /// What it may be.
        supported: &'static str,
    },
    /// A key that may or may not change tokens.
    #[error("{}: the key `{key}` is not known; remove it if it has no influence on tokens", path.display())]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// A token with a meaning is not in the vocabulary.
    #[error("{}: the {role} token `{token}` is not in the vocabulary", path.display())]
    Special {
        /// The file.
        path: PathBuf,
        /// What it means.
        role: &'static str,
        /// Its text.
        token: String,
    },
    /// Two files of a folder say different things.
    #[error("{} says that `{key}` is {config}, but tokenizer.json says {tokenizer}; correct the wrong one", path.display())]
    Contradiction {
        /// `tokenizer_config.json`.
        path: PathBuf,
        /// The setting.
        key: &'static str,
        /// What the configuration says.
        config: String,
        /// What the tokenizer says.
        tokenizer: String,
    },
    /// Ids on a device have 16 bits.
    #[error("{} has id {id}, but ids must be below 65535; trim the vocabulary with the tool that made it", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The id.
        id: u64,
    },
    /// The runtime would not take it.
    #[error("{} cannot be put into a model file: {rule}", path.display())]
    Rejected {
        /// The file.
        path: PathBuf,
        /// What it breaks.
        rule: VocabularyRule,
    },
    /// A vocabulary that was changed so that the runtime would not take it.
    #[error(transparent)]
    Rule(#[from] VocabularyRule),
    /// Fewer pieces than a text needs.
    #[error("a vocabulary of {limit} cannot hold the {needed} characters and special tokens that the corpus needs")]
    Limit {
        /// What was asked for.
        limit: usize,
        /// What is needed.
        needed: usize,
    },
}

//! Reads a tokenizer from the files of a Hugging Face folder: `tokenizer.json`, or `vocab.txt` with `tokenizer_config.json`.
//!
//! What is not known is an error: a setting that is passed over may change tokens, and then every answer.

mod config;
mod json;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use limbeck_runtime::text::Normalization;

use super::{Special, TextError, Vocabulary};
use config::Config;

/// Ids are below this: one is kept free, so that a count of them is a `u16`, too.
const MAX_IDS: u64 = u16::MAX as u64;

/// A file that is being read: every error names it.
#[derive(Clone, Copy, Debug)]
struct Source<'p>(&'p Path);

impl Source<'_> {
    fn read(self) -> Result<String, TextError> {
        fs::read_to_string(self.0).map_err(|source| TextError::Read { path: self.path(), source })
    }

    fn path(self) -> PathBuf {
        self.0.to_owned()
    }

    fn unsupported(self, key: &str, found: impl ToString, supported: &'static str) -> TextError {
        TextError::Unsupported { path: self.path(), key: key.to_owned(), found: found.to_string(), supported }
    }

    fn id(self, id: u64) -> Result<u16, TextError> {
        match u16::try_from(id) {
            Ok(id) if u64::from(id) < MAX_IDS => Ok(id),
            _ => Err(TextError::TooLarge { path: self.path(), id }),
        }
    }

    /// The id of a token that must be there.
    fn special(self, pieces: &Pieces, role: &'static str, token: &str) -> Result<u16, TextError> {
        pieces.id(token).ok_or_else(|| TextError::Special { path: self.path(), role, token: token.to_owned() })
    }
}

/// Texts and ids, each text once.
#[derive(Debug, Default)]
struct Pieces(BTreeMap<String, u16>);

impl Pieces {
    fn id(&self, text: &str) -> Option<u16> {
        self.0.get(text).copied()
    }

    /// The text of each id, for `size` ids at least.
    fn by_id(self, size: usize) -> Vec<Option<String>> {
        let most = self.0.values().max().map_or(0, |&id| usize::from(id) + 1);
        let mut pieces = vec![None; most.max(size)];
        for (text, id) in self.0 {
            pieces[usize::from(id)] = Some(text);
        }
        pieces
    }
}

impl Vocabulary {
    /// The tokenizer of a folder: from `tokenizer.json` where there is one, else from `vocab.txt` and
    /// `tokenizer_config.json`.
    ///
    /// # Errors
    /// If the files are missing or contradict each other, or ask for anything that is not BERT's tokenizer.
    pub fn read(folder: &Path) -> Result<Self, TextError> {
        let path = folder.join("tokenizer_config.json");
        let config = path.is_file().then(|| Config::read(Source(&path))).transpose()?;
        let [json, list] = ["tokenizer.json", "vocab.txt"].map(|name| folder.join(name));
        let vocabulary = if json.is_file() {
            let vocabulary = json::read(Source(&json), config.as_ref())?;
            if let Some(config) = &config {
                config.agrees_with(vocabulary.normalization, Source(&path))?;
            }
            vocabulary
        } else if list.is_file() {
            let config = config.ok_or_else(|| TextError::Case { path: path.clone() })?;
            Self::from_list(Source(&list), &config, Source(&path))?
        } else {
            return Err(TextError::Missing { folder: folder.to_owned() });
        };
        let checked = vocabulary.section().map(|_| ());
        checked.map_err(|rule| TextError::Rejected { path: if json.is_file() { json } else { list }, rule })?;
        Ok(vocabulary)
    }

    /// A list of words, one a line: its number is its id, and the last of several equal ones counts.
    fn from_list(list: Source<'_>, config: &Config, path: Source<'_>) -> Result<Self, TextError> {
        let text = list.read()?;
        let mut pieces = Pieces::default();
        let mut size = 0;
        for (id, word) in (0..).zip(text.lines()) {
            pieces.0.insert(word.trim_end().to_owned(), list.id(id)?);
            size = id as usize + 1;
        }
        let special = Special {
            unknown: list.special(&pieces, "unknown", config.unknown())?,
            begin: list.special(&pieces, "begin", config.begin())?,
            end: list.special(&pieces, "end", config.end())?,
            padding: pieces.id(config.padding()),
            mask: pieces.id(config.mask()),
        };
        let mut added = config.added(path)?;
        for (token, id) in &mut added {
            *id = list.special(&pieces, "added", token)?;
        }
        let names = [config.unknown(), config.begin(), config.end(), config.padding(), config.mask()];
        for name in names {
            if let Some(id) = pieces.id(name).filter(|_| added.iter().all(|(token, _)| token != name)) {
                added.push((name.to_owned(), id));
            }
        }
        let normalization = config.normalization().ok_or_else(|| TextError::Case { path: path.path() })?;
        Ok(Vocabulary { normalization, pieces: pieces.by_id(size), added, special })
    }
}

/// What `strip_accents` means when it is not said.
fn normalization(clean: bool, ideographs: bool, strip_accents: Option<bool>, lowercase: bool) -> Normalization {
    Normalization { clean, ideographs, strip_accents: strip_accents.unwrap_or(lowercase), lowercase }
}

#[cfg(test)]
mod tests;

//! From a recipe's text to typed values, with errors that name the line, the key and the nearest key that exists.

use serde::de::DeserializeOwned;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// Why a recipe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// The file cannot be read.
    #[error("cannot read the recipe {file}: {source}")]
    Unreadable {
        /// The recipe.
        file: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A key that recipes do not have.
    #[error("{file}:{line}: unknown key `{key}`{}; known here: {}", nearest(.key, .known), .known.join(", "))]
    UnknownKey {
        /// The recipe.
        file: String,
        /// Line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// The keys that may stand there.
        known: Vec<String>,
    },
    /// A value that does not make sense.
    #[error("{file}:{line}: {}{problem}", if .key.is_empty() { String::new() } else { format!("`{}`: ", .key) })]
    Wrong {
        /// The recipe.
        file: String,
        /// Line, from 1.
        line: usize,
        /// The key, dotted; empty where the text is not TOML at all.
        key: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

/// `; did you mean ..?` where a known key is near, else nothing.
pub(super) fn nearest(key: &str, known: &[String]) -> String {
    let near = known.iter().map(|k| (distance(key, k), k)).min();
    match near {
        Some((d, k)) if d <= 1 + key.len() / 3 => format!("; did you mean `{k}`?"),
        _ => String::new(),
    }
}

/// Levenshtein's: the least number of letters to insert, drop or replace.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The text, with the name that messages give it.
pub(super) struct Source {
    pub(super) file: String,
    pub(super) text: String,
}

impl Source {
    /// The text as typed values.
    pub(super) fn typed<T: DeserializeOwned>(&self) -> Result<T, RecipeError> {
        toml::from_str(&self.text).map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &toml::de::Error) -> RecipeError {
        let (file, line) = (self.file.clone(), error.span().map_or(1, |span| self.line(&span)));
        let mut quoted = error.message().split('`').skip(1).step_by(2).map(str::to_owned);
        if error.message().starts_with("unknown field") {
            let key = quoted.next().unwrap_or_default();
            return RecipeError::UnknownKey { file, line, key, known: quoted.collect() };
        }
        let key = error.span().map(|span| self.key_at(span.start)).unwrap_or_default();
        RecipeError::Wrong { file, line, key, problem: error.message().trim().replace('\n', ": ") }
    }

    /// An error of ours about the value of a key. A number in it is a place in a list, which the line tells readers.
    pub(super) fn wrong(&self, key: &[&str], problem: String) -> RecipeError {
        let line = self.span_of(key).map_or(1, |span| self.line(&span));
        let names: Vec<&str> = key.iter().copied().filter(|part| part.parse::<usize>().is_err()).collect();
        RecipeError::Wrong { file: self.file.clone(), line, key: names.join("."), problem }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        1 + self.text.bytes().take(span.start).filter(|&b| b == b'\n').count()
    }

    /// Whether a key of a section is there.
    pub(super) fn has(&self, section: &str, key: &str) -> bool {
        let Ok(root) = DeTable::parse(&self.text) else { return false };
        let table = root.get_ref().iter().find(|(name, _)| name.get_ref() == section);
        let Some(DeValue::Table(table)) = table.map(|(_, value)| value.get_ref()) else { return false };
        table.iter().any(|(name, _)| name.get_ref() == key)
    }

    /// Where a key's value stands, or else the longest part of it that exists.
    fn span_of(&self, key: &[&str]) -> Option<Range<usize>> {
        let root = DeTable::parse(&self.text).ok()?;
        let (first, rest) = key.split_first()?;
        let (name, mut value) = root.get_ref().iter().find(|(name, _)| name.get_ref() == first)?;
        let mut span = name.span();
        for part in rest {
            let (place, inner) = match value.get_ref() {
                DeValue::Table(table) => match table.iter().find(|(name, _)| name.get_ref() == part) {
                    Some((name, inner)) => (name.span(), inner),
                    None => break,
                },
                DeValue::Array(items) => match part.parse().ok().and_then(|index: usize| items.get(index)) {
                    Some(item) => (item.span(), item),
                    None => break,
                },
                _ => break,
            };
            (span, value) = (place, inner);
        }
        Some(span)
    }

    /// The dotted key whose value lies at a byte of the text; empty where there is none.
    fn key_at(&self, at: usize) -> String {
        let mut path = Vec::new();
        if let Ok(root) = DeTable::parse(&self.text) {
            descend(root.get_ref(), at, &mut path);
        }
        path.join(".")
    }

    /// Replaces `${NAME}`, takes the path relative to the recipe's folder, and checks that something is there.
    pub(super) fn resolve(
        &self,
        path: &mut PathBuf,
        folder: &Path,
        env: &dyn Fn(&str) -> Option<String>,
        key: &[&str],
    ) -> Result<(), RecipeError> {
        let typed = path.to_string_lossy().into_owned();
        let full = folder.join(self.expand(&typed, env, key)?);
        if !full.exists() {
            return Err(self.wrong(key, format!("there is no file or folder {}", full.display())));
        }
        *path = full;
        Ok(())
    }

    fn expand(&self, typed: &str, env: &dyn Fn(&str) -> Option<String>, key: &[&str]) -> Result<String, RecipeError> {
        let mut rest = typed;
        let mut out = String::new();
        while let Some(start) = rest.find("${") {
            let Some(len) = rest[start..].find('}') else {
                return Err(self.wrong(key, format!("`{typed}` has `${{` without `}}`")));
            };
            let name = &rest[start + 2..start + len];
            let Some(value) = env(name) else {
                return Err(self.wrong(key, format!("the variable {name} is not set: export {name}=FOLDER")));
            };
            out += &rest[..start];
            out += &value;
            rest = &rest[start + len + 1..];
        }
        Ok(out + rest)
    }
}

fn descend(table: &DeTable<'_>, at: usize, path: &mut Vec<String>) {
    // Tables written as [sections] do not enclose their keys' spans, so every branch is tried; spans never overlap.
    for (name, value) in table {
        path.push(name.get_ref().to_string());
        let depth = path.len();
        match value.get_ref() {
            DeValue::Table(inner) => descend(inner, at, path),
            DeValue::Array(items) => {
                for item in items.iter() {
                    if let DeValue::Table(inner) = item.get_ref() {
                        descend(inner, at, path);
                    }
                }
            }
            _ => {}
        }
        if path.len() > depth || value.span().contains(&at) || name.span().contains(&at) {
            return;
        }
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("epoch", "epochs"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }

    #[test]
    fn variables_are_replaced() {
        let source = Source { file: "r.toml".into(), text: "[data]\npath = \"x\"\n".into() };
        let env = |name: &str| (name == "A").then(|| "/data".to_owned());
        assert_eq!(source.expand("${A}/x${A}", &env, &["data", "path"]).unwrap(), "/data/x/data");
        let error = source.expand("${B}/x", &env, &["data", "path"]).unwrap_err().to_string();
        assert_eq!(error, "r.toml:2: `data.path`: the variable B is not set: export B=FOLDER");
        assert!(source.expand("${A/x", &env, &["data", "path"]).is_err());
    }

    #[test]
    fn keys_are_found_by_place() {
        let text = "name = 1\n[data]\nsize = 2\n[[teacher]]\nstd = 3\n[teacher.train]\nepochs = 4\n";
        let source = Source { file: String::new(), text: text.into() };
        for (value, key) in [("1", "name"), ("2", "data.size"), ("3", "teacher.std"), ("4", "teacher.train.epochs")] {
            assert_eq!(source.key_at(text.find(value).unwrap()), key);
        }
    }
}

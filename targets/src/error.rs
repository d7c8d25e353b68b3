//! What can be wrong with a target's name or its data.

use thiserror::Error;

use crate::Target;

/// An unknown target, or a data file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TargetError {
    /// No target has this name.
    #[error("no target is called {name:?}; {}", hint(near))]
    Unknown {
        /// The name asked for.
        name: String,
        /// Names that are alike, nearest first; all names if none is.
        near: Vec<String>,
    },
    /// A file is not TOML, or has a key too many or too few.
    #[error("{file}: {message}")]
    Syntax {
        /// Folder and name of the file.
        file: String,
        /// What the parser says, with line and key.
        message: String,
    },
    /// A key has a value that makes no sense.
    #[error("{file}: {field} {message}")]
    Value {
        /// Folder and name of the file.
        file: String,
        /// The key.
        field: String,
        /// What is wrong with it.
        message: String,
    },
}

impl TargetError {
    pub(crate) fn value(file: &str, field: &str, message: &str) -> Self {
        Self::Value { file: file.into(), field: field.into(), message: message.into() }
    }

    pub(crate) fn unknown(name: &str, targets: &[Target]) -> Self {
        let mut near: Vec<(usize, &str)> = targets
            .iter()
            .map(|t| (if t.name.contains(name) { 0 } else { distance(name, &t.name) }, t.name.as_str()))
            .filter(|(d, _)| *d <= name.len() / 3)
            .collect();
        near.sort();
        let near = match near.is_empty() {
            true => targets.iter().map(|t| t.name.clone()).collect(),
            false => near.into_iter().map(|(_, n)| n.to_owned()).collect(),
        };
        Self::Unknown { name: name.into(), near }
    }
}

fn hint(near: &[String]) -> String {
    match near {
        [one] => format!("did you mean {one}?"),
        _ => format!("there are {}", near.join(", ")),
    }
}

/// Edits (insert, delete, replace a byte) from one name to the other.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

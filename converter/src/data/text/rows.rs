//! Labels and texts out of the lines of a file.

use super::{TextFormat, parquet};
use crate::data::DataError;
use serde_json::Value;
use std::fs::File;
use std::path::Path;

/// A label with its text, which is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Line of the file, or row of a table, from 1.
    pub(super) line: usize,
    pub(super) label: String,
    pub(super) text: String,
}

/// What columns of labels and of texts are called.
pub(super) const LABEL: [&str; 4] = ["label", "labels", "class", "intent"];
pub(super) const TEXT: [&str; 3] = ["text", "sentence", "utterance"];

/// What is wrong with which line.
pub(super) type Problem = (usize, String);

/// All rows of a file.
pub(super) fn read(path: &Path, format: TextFormat) -> Result<Vec<Row>, DataError> {
    let unreadable = |source| DataError::Read { path: path.to_owned(), source };
    let rows = match format {
        TextFormat::Parquet => parquet::rows(File::open(path).map_err(unreadable)?),
        _ => lines(&std::fs::read(path).map_err(unreadable)?, format),
    };
    let checked = rows.and_then(|rows| match rows.iter().find(|row| row.text.trim().is_empty()) {
        Some(row) => Err((row.line, "has an empty text".to_owned())),
        None => Ok(rows),
    });
    checked.map_err(|(line, problem)| DataError::Row { path: path.to_owned(), line, problem })
}

/// All lines of a file that are not blank.
pub(super) fn plain(path: &Path) -> Result<Vec<String>, DataError> {
    let bytes = std::fs::read(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    let text = utf8(&bytes).map_err(|(line, problem)| DataError::Row { path: path.to_owned(), line, problem })?;
    Ok(text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect())
}

/// The text of a file, without a mark of its byte order.
fn utf8(bytes: &[u8]) -> Result<&str, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        (line, "is not UTF-8; convert the file".to_owned())
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// The rows of a file of lines.
fn lines(bytes: &[u8], format: TextFormat) -> Result<Vec<Row>, Problem> {
    let text = utf8(bytes)?;
    match format {
        TextFormat::Csv => columns(csv(text)?.into_iter()),
        TextFormat::Jsonl => json(text),
        TextFormat::Tsv | TextFormat::Parquet => {
            columns(text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).enumerate())
        }
    }
}

/// Rows of cells with the numbers of their lines, from 0: label and text, or what the first row says.
fn columns(rows: impl Iterator<Item = (usize, Vec<String>)>) -> Result<Vec<Row>, Problem> {
    let mut rows = rows.filter(|(_, cells)| cells.iter().any(|cell| !cell.is_empty())).peekable();
    let Some((first, cells)) = rows.peek() else { return Ok(Vec::new()) };
    let named = |names: &[&str]| cells.iter().position(|cell| names.contains(&cell.trim().to_lowercase().as_str()));
    let (label, text, width) = match (named(&LABEL), named(&TEXT)) {
        (Some(label), Some(text)) => (label, text, Some(cells.len())),
        // Further to the right it may be a text that happens to be a name of a column.
        (None, Some(0)) => return Err((first + 1, format!("has a column `{}`, but no column `label`", cells[0]))),
        _ => (0, 1, None),
    };
    if width.is_some() {
        rows.next();
    }
    rows.map(|(line, cells)| {
        if cells.len() != width.unwrap_or(2) {
            let expected = width.map_or("2, label and text".to_owned(), |width| width.to_string());
            return Err((line + 1, format!("has {} columns instead of {expected}", cells.len())));
        }
        Ok(Row { line: line + 1, label: cells[label].trim().to_owned(), text: cells[text].clone() })
    })
    .collect()
}

/// The rows of a CSV file (RFC 4180), each with the number of its first line, from 0.
fn csv(text: &str) -> Result<Vec<(usize, Vec<String>)>, Problem> {
    let mut rows = Vec::new();
    let (mut cells, mut line, mut begin) = (Vec::new(), 0, 0);
    let mut rest = text;
    while !rest.is_empty() {
        let (cell, behind) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (cell, behind) =
                    unquote(quoted).ok_or((line + 1, "begins a quote that does not end".to_owned()))?;
                line += cell.matches('\n').count();
                (cell, behind)
            }
            None => {
                let end = rest.find([',', '\n']).unwrap_or(rest.len());
                (rest[..end].trim_end_matches('\r').to_owned(), &rest[end..])
            }
        };
        cells.push(cell);
        let behind = behind.strip_prefix('\r').unwrap_or(behind);
        match behind.as_bytes().first() {
            Some(b',') => rest = &behind[1..],
            Some(b'\n') | None => {
                rows.push((begin, std::mem::take(&mut cells)));
                rest = behind.get(1..).unwrap_or_default();
                line += 1;
                begin = line;
            }
            Some(_) => return Err((line + 1, "goes on behind a quote".to_owned())),
        }
    }
    if !cells.is_empty() {
        // A comma was the last.
        cells.push(String::new());
        rows.push((begin, cells));
    }
    Ok(rows)
}

/// The text up to the end of a quote, with doubled quotes made single, and what is behind.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut cell = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('"')?;
        cell.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(behind) => rest = behind,
            None => return Some((cell, rest)),
        }
        cell.push('"');
    }
}

/// The rows of a file of objects.
fn json(text: &str) -> Result<Vec<Row>, Problem> {
    let mut rows = Vec::new();
    for (line, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let fail = |problem: String| (line + 1, problem);
        let value: Value = serde_json::from_str(text).map_err(|error| fail(format!("is not JSON ({error})")))?;
        let object = value.as_object().ok_or_else(|| fail("is not an object".to_owned()))?;
        let field = |names: &[&str]| {
            let found = names.iter().find_map(|name| object.get(*name));
            found.ok_or_else(|| fail(format!("has no `{}`", names[0])))
        };
        let label = match field(&LABEL)? {
            Value::String(label) => label.clone(),
            Value::Number(label) if label.is_u64() => label.to_string(),
            other => {
                return Err(fail(format!("has the label {other}, which is neither a name nor a number of a class")));
            }
        };
        let text = field(&TEXT)?;
        let text = text.as_str().ok_or_else(|| fail(format!("has the text {text}, which is not a string")))?;
        rows.push(Row { line: line + 1, label, text: text.to_owned() });
    }
    Ok(rows)
}

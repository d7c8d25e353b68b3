//! What a command answers: text for people or one JSON object on stdout, and errors on stderr.

use super::{Failure, INTERRUPTED};
use crate::pipeline::BuildError;
use crate::verify::exact::ExactError;
use crate::verify::host::HostError;
use serde_json::{Value, json};
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

/// Where answers go.
pub(super) struct Output {
    pub(super) json: bool,
}

impl Output {
    /// Prints the answer of a command: `value` as JSON, or else the text.
    pub(super) fn answer(&self, value: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let line = if self.json { value.to_string() } else { text() };
        print(&line).map_err(|e| format!("cannot write the answer to stdout: {e}").into())
    }

    /// Prints the answer of a command that has no text for people.
    pub(super) fn answer_json(&self, value: &Value) -> Result<(), Failure> {
        if self.json { self.answer(value, String::new) } else { Ok(()) }
    }

    /// Prints why a command failed, and gives its exit status.
    pub(super) fn failure(&self, error: &(dyn Error + Send + Sync + 'static)) -> ExitCode {
        let text = explain(error);
        let interrupted = matches!(error.downcast_ref(), Some(BuildError::Interrupted { .. }))
            || matches!(error.downcast_ref(), Some(HostError::Interrupted))
            || matches!(error.downcast_ref(), Some(ExactError::Host(HostError::Interrupted)));
        say(&format!("{}{text}", if interrupted { "" } else { "error: " }));
        if self.json && !error.is::<Answered>() {
            print_error(&text);
        }
        ExitCode::from(if interrupted { INTERRUPTED } else { 1 })
    }
}

/// Prints why the arguments are no command, or the help that they ask for, and gives the exit status.
pub(super) fn misuse(error: &clap::Error) -> ExitCode {
    // Without a terminal or a reader there is nobody to tell.
    let _ = error.print();
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let problem = text.split("\n\n").next().unwrap_or_default();
        print_error(problem.trim_start_matches("error: ").trim_end());
    }
    ExitCode::from(error.exit_code() as u8)
}

/// A line on stderr, whether somebody reads it or not.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A line on stdout.
fn print(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{}", line.trim_end()).and_then(|()| stdout.flush()) {
        // Whoever reads has seen enough, such as `head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// The JSON answer of a command that failed; that it did, its exit status says even where nobody reads this.
fn print_error(problem: &str) {
    let _ = print(&json!({ "error": problem }).to_string());
}

/// A failure whose JSON answer has been printed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Answered(pub(super) String);

/// An error with its causes, each said once.
fn explain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text += ": ";
            text += &said;
        }
        cause = error.source();
    }
    text
}

/// Lines of cells under a heading, columns aligned: those of numbers to the right.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let column = |index: usize| rows.iter().filter_map(move |row| row.get(index));
    let widths: Vec<usize> = heading
        .iter()
        .enumerate()
        .map(|(index, name)| column(index).map(|cell| cell.chars().count()).fold(name.chars().count(), usize::max))
        .collect();
    let starts_number = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit() || "-+".contains(c));
    let numeric: Vec<bool> = (0..heading.len()).map(|index| column(index).all(starts_number)).collect();
    let line = |cells: &[String]| {
        let padded = cells.iter().zip(&widths).zip(&numeric).map(|((cell, &width), &numeric)| {
            if numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        format!("  {}\n", padded.collect::<Vec<_>>().join("  ").trim_end())
    };
    let heading: Vec<String> = heading.iter().map(|&cell| cell.to_owned()).collect();
    let rule: Vec<String> = widths.iter().map(|&width| "─".repeat(width)).collect();
    [heading, rule].iter().chain(rows).map(|cells| line(cells)).collect()
}

/// A number of bytes for people.
pub(super) fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{:.1} KB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["a".to_owned(), "7".to_owned()], vec!["long".to_owned(), "1234".to_owned()]];
        assert_eq!(table(&["name", "bytes"], &rows), "  name  bytes\n  ────  ─────\n  a         7\n  long   1234\n");
    }

    #[test]
    fn causes_are_said_once() {
        let inner = io::Error::other("inner");
        let outer = crate::artifact::ArtifactError::new("f".as_ref(), crate::artifact::Doing::Read, inner);
        assert_eq!(explain(&outer), "cannot read f: inner");
    }
}

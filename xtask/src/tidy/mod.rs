//! Checks the rules that ARCHITECTURE.md states, as far as a program can.

mod files;
mod source;
mod structure;

use crate::{Result, root};

pub(crate) fn run() -> Result {
    let files = files::read(&root())?;
    let mut problems = Vec::new();
    for file in &files {
        source::check(file, &mut problems);
    }
    structure::check(&root(), &files, &mut problems)?;
    if problems.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n{} broken rules", problems.join("\n"), problems.len()).into())
}

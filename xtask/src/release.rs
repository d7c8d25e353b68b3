//! Checks that what is in the repository can be released.

use std::fs;
use std::process::Command;

use crate::process::output;
use crate::{Result, licenses, root, tidy};

pub(crate) fn run() -> Result {
    let mut problems = Vec::new();
    let mut check = |what: &str, done: Result| {
        if let Err(error) = done {
            problems.push(format!("{what}: {error}"));
        }
    };
    check("tidy", tidy::run());
    check("licences", licenses::run());
    check("changelog", changelog());
    check("git", clean());
    if problems.is_empty() {
        println!("release: ready");
        return Ok(());
    }
    Err(problems.join("\n").into())
}

/// The changelog has a section for the version that the workspace has.
fn changelog() -> Result {
    let manifest: toml::Table = fs::read_to_string(root().join("Cargo.toml"))?.parse()?;
    let version = manifest.get("workspace").and_then(|w| w.get("package")?.get("version")?.as_str());
    let heading = format!("## {}", version.ok_or("Cargo.toml: workspace.package.version is missing")?);
    let text = fs::read_to_string(root().join("CHANGELOG.md"))?;
    if text.lines().any(|l| l.starts_with(&heading)) {
        Ok(())
    } else {
        Err(format!("has no section `{heading}`").into())
    }
}

fn clean() -> Result {
    let status = output(Command::new("git").current_dir(root()).args(["status", "--porcelain"]))?;
    if status.is_empty() { Ok(()) } else { Err(format!("there are changes:\n{status}").into()) }
}

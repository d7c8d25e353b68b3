//! Checks the licence of every dependency against the list in deny.toml, without cargo-deny.

use std::collections::BTreeSet;
use std::process::Command;

use crate::process::output;
use crate::{Result, root};

pub(crate) fn run() -> Result {
    let policy: toml::Table = std::fs::read_to_string(root().join("deny.toml"))?.parse()?;
    let allowed: BTreeSet<String> = policy
        .get("licenses")
        .and_then(|l| l.get("allow")?.as_array())
        .ok_or("deny.toml: licenses.allow is missing")?
        .iter()
        .filter_map(|v| v.as_str().map(str::to_owned))
        .collect();
    let mut bad = BTreeSet::new();
    for manifest in ["Cargo.toml", "firmware/Cargo.toml"] {
        let mut cargo = Command::new("cargo");
        cargo.args(["metadata", "--format-version", "1", "--manifest-path"]).arg(root().join(manifest));
        let metadata: serde_json::Value = serde_json::from_str(&output(&mut cargo)?)?;
        for package in metadata["packages"].as_array().into_iter().flatten() {
            let license = package["license"].as_str().unwrap_or("none stated");
            if !satisfied(license, &allowed) {
                bad.insert(format!("{} {}: {license}", package["name"], package["version"]));
            }
        }
    }
    if bad.is_empty() { Ok(()) } else { Err(bad.into_iter().collect::<Vec<_>>().join("\n").into()) }
}

/// Whether an SPDX expression can be met with the allowed licences; `/` is an old way to write OR.
fn satisfied(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any_of(&mut words, allowed);
    met && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words, allowed: &BTreeSet<String>) -> bool {
    let mut met = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all_of(words, allowed);
    }
    met
}

fn all_of(words: &mut Words, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words, allowed: &BTreeSet<String>) -> bool {
    match words.next() {
        Some("(") => {
            let met = any_of(words, allowed);
            words.next_if_eq(&")").is_some() && met
        }
        Some(license) => match words.next_if_eq(&"WITH").and_then(|_| words.next()) {
            Some(exception) => allowed.contains(&format!("{license} WITH {exception}")),
            None => allowed.contains(license),
        },
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_or_not() {
        let allowed = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Zlib"].map(str::to_owned).into();
        for (expression, met) in [
            ("MIT", true),
            ("MIT OR GPL-3.0", true),
            ("MIT/GPL-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR GPL-3.0) AND Zlib", true),
            ("GPL-3.0 OR (Zlib AND MIT)", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("MIT WITH LLVM-exception", false),
            ("(MIT", false),
            ("none stated", false),
        ] {
            assert_eq!(satisfied(expression, &allowed), met, "{expression}");
        }
    }
}

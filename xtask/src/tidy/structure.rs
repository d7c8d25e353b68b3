//! Rules between files: twins of operators, dependency edges, documents in step with the tree.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use limbeck_targets::Target;

use super::files::File;
use crate::Result;
use crate::process::output;

/// Which of our crates a crate may depend on.
const EDGES: [(&str, &[&str]); 6] = [
    ("limbeck-runtime", &[]),
    ("limbeck-targets", &[]),
    ("limbeck", &["limbeck-runtime", "limbeck-targets"]),
    ("xtask", &["limbeck-targets"]),
    ("limbeck-tests", &["limbeck", "limbeck-runtime", "limbeck-targets"]),
    ("limbeck-benches", &["limbeck", "limbeck-runtime", "limbeck-targets"]),
];

/// The firmware's dependencies; `limbeck-targets` is for its build script alone.
const FIRMWARE: [&str; 2] = ["limbeck-runtime", "limbeck-targets"];

pub(crate) fn check(root: &Path, files: &[File], problems: &mut Vec<String>) -> Result {
    twins(files, problems);
    edges(root, problems)?;
    documents(files, problems);
    boards(files, problems);
    Ok(())
}

/// Where each operator has a file.
const HALVES: [&str; 3] = ["runtime/src/ops", "converter/src/ops", "converter/src/verify/gpu/ops"];

/// Each line of `for_each_op!` names a file that the runtime, the converter and its GPU half have.
fn twins(files: &[File], problems: &mut Vec<String>) {
    const LIST: &str = "runtime/src/ops/mod.rs";
    let Some(list) = files.iter().find(|f| f.path == LIST) else { return problems.push(format!("{LIST} is missing")) };
    let ops: Vec<_> = list.text.lines().filter_map(op_file).collect();
    if ops.is_empty() {
        problems.push(format!("{LIST}: no line of for_each_op! was understood"));
    }
    for op in ops {
        for half in HALVES {
            let path = format!("{half}/{op}.rs");
            if !files.iter().any(|f| f.path == path) {
                problems.push(format!("{path} is missing: for_each_op! names {op}"));
            }
        }
    }
}

/// The file name in a line such as `MaxPool max_pool 7 [MaxPool];`.
fn op_file(line: &str) -> Option<&str> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [_, file, number, parameters, ..] = words.as_slice() else { return None };
    (number.parse::<u32>().is_ok() && parameters.starts_with('[')).then_some(*file)
}

fn edges(root: &Path, problems: &mut Vec<String>) -> Result {
    let allowed: BTreeMap<_, _> = EDGES.into_iter().collect();
    for manifest in ["Cargo.toml", "firmware/Cargo.toml"] {
        let mut cargo = Command::new("cargo");
        cargo.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]).arg(root.join(manifest));
        let metadata: serde_json::Value = serde_json::from_str(&output(&mut cargo)?)?;
        for package in metadata["packages"].as_array().into_iter().flatten() {
            let name = package["name"].as_str().unwrap_or_default();
            let ours = |d: &&serde_json::Value| d["path"].is_string();
            for dependency in package["dependencies"].as_array().into_iter().flatten().filter(ours) {
                let to = dependency["name"].as_str().unwrap_or_default();
                let good = match allowed.get(name) {
                    Some(allowed) => allowed.contains(&to),
                    None => FIRMWARE.contains(&to) && (to != "limbeck-targets" || dependency["kind"] == "build"),
                };
                if !good {
                    problems.push(format!("{name} may not depend on {to}"));
                }
            }
        }
    }
    Ok(())
}

/// The map of the project names every folder at the top.
fn documents(files: &[File], problems: &mut Vec<String>) {
    let map = files.iter().find(|f| f.path == "ARCHITECTURE.md").map_or("", |f| f.text.as_str());
    let mut folders: Vec<_> = files.iter().filter_map(|f| f.path.split_once('/').map(|(top, _)| top)).collect();
    folders.dedup();
    for folder in folders.into_iter().filter(|f| !f.starts_with('.')) {
        if !map.contains(&format!("`{folder}/`")) {
            problems.push(format!("ARCHITECTURE.md does not mention `{folder}/`"));
        }
    }
}

/// Every board is a feature of the firmware.
fn boards(files: &[File], problems: &mut Vec<String>) {
    let manifest = files.iter().find(|f| f.path == "firmware/Cargo.toml").map_or("", |f| f.text.as_str());
    for (board, _) in Target::boards() {
        if !manifest
            .lines()
            .any(|l| l.strip_prefix(board.name.as_str()).is_some_and(|l| l.trim_start().starts_with('=')))
        {
            problems.push(format!("firmware/Cargo.toml has no feature {}", board.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_list_of_ops_are_understood() {
        assert_eq!(op_file("            MaxPool max_pool 7 [MaxPool];"), Some("max_pool"));
        assert_eq!(op_file("            /// Largest value under a window."), None);
    }

    #[test]
    fn a_missing_half_and_a_missing_folder_are_found() {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let files = [
            file("ARCHITECTURE.md", "`runtime/`"),
            file("converter/src/ops/mod.rs", ""),
            file("runtime/src/ops/add.rs", ""),
            file("runtime/src/ops/mod.rs", "Add add 4 [Add];"),
        ];
        let mut problems = Vec::new();
        twins(&files, &mut problems);
        documents(&files, &mut problems);
        let expected = [
            "converter/src/ops/add.rs is missing: for_each_op! names add",
            "converter/src/verify/gpu/ops/add.rs is missing: for_each_op! names add",
            "ARCHITECTURE.md does not mention `converter/`",
        ];
        assert_eq!(problems, expected);
    }
}

//! A Python environment in `target/venv` with the onnx package, whose node tests measure the importer.

use std::path::PathBuf;
use std::process::Command;

use super::apt;
use crate::process::{output, succeeds};
use crate::{Result, root};

/// Later wheels do not ship the tests any more.
const ONNX: &str = "onnx==1.22.0";

pub(crate) fn install() -> Result {
    if node_tests().is_some() {
        return Ok(());
    }
    let folder = folder();
    println!("setup: installing {ONNX} in target/venv");
    let create = || output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
    if create().is_err() {
        if apt::is_here() {
            apt::install(&["python3-venv"])?;
        }
        create()?;
    }
    output(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check", ONNX]))?;
    node_tests().map(|_| ()).ok_or_else(|| format!("{ONNX} has no node tests").into())
}

/// Where the node tests are.
pub(crate) fn node_tests() -> Option<PathBuf> {
    let lib = folder().join("lib");
    let mut pythons = std::fs::read_dir(lib).ok()?.flatten().map(|e| e.path());
    let tests = pythons.find_map(|p| Some(p.join("site-packages/onnx/backend/test/data/node")).filter(|t| t.is_dir()));
    tests.filter(|_| succeeds(Command::new(folder().join("bin/python")).arg("--version")))
}

/// Beside the build outputs of the repository, even where those of cargo go elsewhere: tests look for it there.
fn folder() -> PathBuf {
    root().join("target/venv")
}

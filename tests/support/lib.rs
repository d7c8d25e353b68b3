//! Shared helpers of the integration tests.

use std::io::Write;
use std::path::PathBuf;

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The folder that `LIMBECK_DATA` names; `None`, said aloud, if it names none: such a test is skipped.
pub fn data_folder() -> Option<PathBuf> {
    let folder = std::env::var_os("LIMBECK_DATA").map(PathBuf::from).filter(|folder| folder.is_dir());
    if folder.is_none() {
        skipped("set LIMBECK_DATA to the folder of data sets and networks to run this test");
    }
    folder
}

/// Says that a test is skipped where it is seen: the macros for printing are silent in a test that passes.
pub fn skipped(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}

pub mod board;
pub mod network;

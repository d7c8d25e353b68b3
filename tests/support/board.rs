//! Models on emulated boards.

use limbeck::verify::relayout::relayout;
use limbeck_runtime::{Isa, Model};
use limbeck_targets::Target;
use serde_json::Value;
use std::process::Command;

use crate::root;

/// Whether boards can be emulated here.
pub fn has_emulator() -> bool {
    Command::new("qemu-system-arm").arg("--version").output().is_ok_and(|done| done.status.success())
}

/// What `classify --digest` prints on an emulated board for a file of inputs, as JSON. `kind` is the option that takes the file. The board's table
/// has the model in its own layout.
///
/// # Panics
/// If the program fails.
pub fn emulated(board: &str, model: &Model<'_>, kind: &str, inputs: &[u8]) -> Value {
    let layout = Isa::by_name(Target::find(board).unwrap().isa()).unwrap().layout();
    let folder = tempfile::tempdir().unwrap();
    let [file, input] = ["model.lmb", "inputs"].map(|name| folder.path().join(name));
    std::fs::write(&file, &relayout(model, layout).unwrap()[..]).unwrap();
    std::fs::write(&input, inputs).unwrap();
    let mut xtask = Command::new(env!("CARGO"));
    xtask.current_dir(root()).args(["xtask", "emu", "--json", "--digest", "--board", board]);
    let done = xtask.arg("--model").arg(file).arg(kind).arg(input).output().unwrap();
    assert!(done.status.success(), "{board}: {}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

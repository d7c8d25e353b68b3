//! Builds programs and tests for hosts other than this one, and says how they are run here.

use std::path::PathBuf;
use std::process::Command;

use crate::process::output;
use crate::setup::{AARCH64, AARCH64_EMULATOR, AARCH64_LINKER};
use crate::{Result, root, target_dir};

/// Where the C library of 64-bit Arm lies.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// Where builds for other hosts go.
pub(crate) fn build_dir() -> PathBuf {
    target_dir().join("hosts")
}

/// A cargo command for the package in that folder on another host, with that CPU where one is emulated.
pub(crate) fn cargo(subcommand: &str, folder: &str, triple: &str, cpu: &str) -> Command {
    let mut command = Command::new("rustup");
    command
        .args(["run", "cross", "cargo", subcommand])
        .arg("--manifest-path")
        .arg(root().join(folder).join("Cargo.toml"))
        .args(["--target", triple, "--target-dir"])
        .arg(build_dir());
    for variable in ["RUSTUP_TOOLCHAIN", "RUSTC", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO", "CARGO_BUILD_TARGET"]
    {
        command.env_remove(variable);
    }
    if triple == AARCH64 {
        let variable = |name: &str| format!("CARGO_TARGET_{}_{name}", AARCH64.to_uppercase().replace('-', "_"));
        command
            .env(variable("LINKER"), AARCH64_LINKER)
            .env(variable("RUNNER"), format!("{AARCH64_EMULATOR} -cpu {cpu} -L {LIBRARIES}"));
    }
    command
}

/// Runs a build with `--message-format json-render-diagnostics` and gives what it made of the target called `name`.
pub(crate) fn built(command: &mut Command, name: &str) -> Result<PathBuf> {
    for line in output(command.args(["--message-format", "json-render-diagnostics"]))?.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if message["target"]["name"] == name {
            let mut files = message["filenames"].as_array().into_iter().flatten().filter_map(|file| file.as_str());
            let module = files.find(|file| file.ends_with(".wasm"));
            if let Some(path) = message["executable"].as_str().or(module) {
                return Ok(path.into());
            }
        }
    }
    Err(format!("the build made no {name}").into())
}

/// A command that runs a program of 64-bit Arm Linux on that CPU, with these options of the emulator.
pub(crate) fn emulate(cpu: &str, options: &[&str]) -> Command {
    let mut command = Command::new(AARCH64_EMULATOR);
    command.args(["-cpu", cpu, "-L", LIBRARIES]).args(options);
    command
}

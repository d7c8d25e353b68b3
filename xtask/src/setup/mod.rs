//! Installs what is missing to build and test everything; what is there already is left alone.

mod apt;
pub(crate) mod cross;
mod venv;

use crate::Result;
use crate::process::succeeds;
use std::process::Command;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only say what is missing; the exit code tells too.
    #[arg(long)]
    check: bool,
    /// Another folder for the cross toolchain's libraries, for trying things out.
    #[arg(long, hide = true)]
    home: Option<std::path::PathBuf>,
    /// Another name for the cross toolchain, for trying things out.
    #[arg(long, hide = true, default_value = cross::NAME)]
    toolchain: String,
}

pub(crate) fn run(args: &Args) -> Result {
    let cross = cross::Cross::new(&args.toolchain, args.home.clone());
    if args.check {
        let missing = missing(&cross);
        for (what, why) in &missing {
            println!("missing: {what} ({why})");
        }
        return if missing.is_empty() { Ok(()) } else { Err("run `cargo xtask setup`".into()) };
    }
    cross.install()?;
    install_emulator()?;
    // The tests that need it skip without it, aloud.
    venv::install().unwrap_or_else(|error| eprintln!("setup: no Python packages: {error}"));
    println!("setup: ready");
    Ok(())
}

/// Sets up what the tests need, quickly where all is there.
pub(crate) fn ensure() -> Result {
    let nothing = Args { check: false, home: None, toolchain: cross::NAME.into() };
    if missing(&cross::Cross::new(cross::NAME, None)).is_empty() { Ok(()) } else { run(&nothing) }
}

/// The folder of the onnx package's node tests, if it is installed.
pub(crate) fn node_tests() -> Option<std::path::PathBuf> {
    venv::node_tests()
}

fn missing(cross: &cross::Cross) -> Vec<(&'static str, &'static str)> {
    let mut missing = Vec::new();
    if !cross.is_ready() {
        missing.push(("the toolchain `cross`", "builds firmware"));
    }
    if !has_emulator() {
        missing.push((EMULATOR, "runs firmware"));
    }
    if venv::node_tests().is_none() {
        missing.push(("onnx in target/venv", "its node tests measure the importer"));
    }
    missing
}

const EMULATOR: &str = "qemu-system-arm";

fn has_emulator() -> bool {
    succeeds(Command::new(EMULATOR).arg("--version"))
}

fn install_emulator() -> Result {
    if has_emulator() {
        return Ok(());
    }
    if apt::is_here() {
        apt::install(&[EMULATOR])?;
    }
    if has_emulator() {
        return Ok(());
    }
    Err(format!("{EMULATOR} is missing: install QEMU's Arm system emulator (brew install qemu, dnf install qemu-system-arm, pacman -S qemu-system-arm)").into())
}

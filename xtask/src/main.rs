//! Every chore of the repository as a subcommand: `cargo xtask help`.

mod bench;
mod emu;
mod firmware;
mod host;
mod licenses;
mod process;
mod release;
mod setup;
mod test;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What a chore comes to; the error is for the person who started it.
type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Chores of the Limbeck repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what is missing to build and test everything: cross toolchain, emulators, a browser, Python packages.
    Setup(setup::Args),
    /// Run every test tier, or the ones named; the last line is `N passed, N failed`.
    Test(test::Args),
    /// Build firmware, or build it and run it in an emulator.
    #[command(subcommand)]
    Fw(firmware::Task),
    /// Run a model on images or texts on an emulated board.
    Emu(emu::Args),
    /// Measure, and keep the numbers.
    #[command(subcommand)]
    Bench(bench::Task),
    /// Check the rules of ARCHITECTURE.md.
    Tidy,
    /// Check the licences of all dependencies against deny.toml.
    Licenses,
    /// Check that the repository is ready for a release.
    Release,
}

fn main() -> ExitCode {
    let done = match Args::parse().task {
        Task::Setup(args) => setup::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Fw(task) => firmware::run(&task),
        Task::Emu(args) => emu::run(&args),
        Task::Bench(task) => bench::run(&task),
        Task::Tidy => tidy::run(),
        Task::Licenses => licenses::run(),
        Task::Release => release::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The repository.
fn root() -> PathBuf {
    let crate_folder = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&crate_folder).join("..").components().fold(PathBuf::new(), |mut path, part| {
        match part {
            std::path::Component::ParentDir => _ = path.pop(),
            part => path.push(part),
        }
        path
    })
}

/// Where builds and scratch files go.
fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

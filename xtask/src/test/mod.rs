//! Runs the test tiers, goes on after a failure, and reports all of them at the end.

mod hosts;
mod snapshot;

use std::process::Command;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::firmware::Board;
use crate::process::{output, run_limited, shown, tail};
use crate::{Result, bench, licenses, root, setup, tidy};

/// Longest run of a single cargo command.
const LIMIT: Duration = Duration::from_secs(60 * 60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tier {
    /// Formatting, rules of the repository, licences.
    Style,
    /// Clippy on everything, warnings denied.
    Clippy,
    /// Documentation, warnings denied.
    Doc,
    /// Unit and integration tests of the workspace.
    Workspace,
    /// Firmware for every board.
    Build,
    /// Firmware in the emulator.
    Emulator,
    /// Kernels of other hosts: 64-bit Arm in an emulator, WebAssembly in Node.
    Hosts,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Tiers to run; all if none is named.
    tiers: Vec<Tier>,
    /// Take the machine as it is.
    #[arg(long)]
    no_setup: bool,
}

pub(crate) fn run(args: &Args) -> Result {
    if !args.no_setup {
        setup::ensure()?;
    }
    let mut report = Report::default();
    for &tier in Tier::value_variants() {
        if args.tiers.is_empty() || args.tiers.contains(&tier) {
            run_tier(tier, &mut report);
        }
    }
    report.end()
}

fn run_tier(tier: Tier, report: &mut Report) {
    match tier {
        Tier::Style => {
            report.command("format", cargo(&["fmt", "--all", "--check"]));
            report.command("format of the firmware", {
                let mut command = cargo(&["fmt", "--check", "--manifest-path"]);
                command.arg(root().join("firmware/Cargo.toml"));
                command
            });
            report.step("tidy", tidy::run);
            report.step("licences", licenses::run);
        }
        Tier::Clippy => {
            let workspace = ["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
            report.command("clippy", cargo(&workspace));
            for name in ["qemu-m3", "qemu-m4", "qemu-m55"] {
                report.step(&format!("clippy of firmware and kernels for {name}"), || {
                    let board = Board::find(name)?;
                    // The kernels of a board are a dependency of its firmware, for which clippy denies nothing: so they come first.
                    let isa = format!(
                        "contract,{}",
                        if board.target.isa() == "scalar" {
                            "defmt".into()
                        } else {
                            format!("isa-{}", board.target.isa())
                        }
                    );
                    output(board.cargo_in("clippy", "runtime").args([
                        "--features",
                        &isa,
                        "--release",
                        "--quiet",
                        "--",
                        "-D",
                        "warnings",
                    ]))?;
                    output(board.cargo("clippy").args(["--release", "--bins", "--quiet", "--", "-D", "warnings"]))?;
                    Ok(())
                });
            }
        }
        Tier::Doc => {
            let mut command = cargo(&["doc", "--workspace", "--no-deps", "--quiet"]);
            command.env("RUSTDOCFLAGS", "-D warnings");
            report.command("doc", command);
        }
        Tier::Workspace => report.cargo_tests(cargo(&["test", "--workspace", "--no-fail-fast"])),
        Tier::Build => {
            for board in Board::all() {
                report.step(&format!("firmware for {}", board.target.name), || board.build(None).map(|_| ()));
            }
        }
        Tier::Emulator => {
            for board in Board::all().filter(|b| b.device.emulator.is_some()) {
                snapshot::run(board, report);
            }
            for board in bench::emulated() {
                report.step(&format!("instructions on {}", board.target.name), || {
                    println!("       {}", bench::check(board)?);
                    Ok(())
                });
            }
        }
        Tier::Hosts => hosts::run(report),
    }
}

fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root()).args(args);
    if let Some(folder) = setup::node_tests() {
        command.env("LIMBECK_ONNX_NODE_TESTS", folder);
    }
    command
}

/// What passed, and what did not.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    failures: Vec<(String, String)>,
}

impl Report {
    /// Runs one check and prints how it went.
    pub(crate) fn step(&mut self, name: &str, check: impl FnOnce() -> Result) {
        let start = Instant::now();
        let done = check();
        let word = if done.is_ok() { "ok" } else { "FAILED" };
        println!("{word:6} {name} ({:.1} s)", start.elapsed().as_secs_f32());
        match done {
            Ok(()) => self.passed += 1,
            Err(error) => self.failures.push((name.to_owned(), error.to_string())),
        }
    }

    /// Runs a command that must end well.
    fn command(&mut self, name: &str, mut command: Command) {
        self.step(name, || {
            let done = run_limited(&mut command, LIMIT)?;
            match done.success() {
                true => Ok(()),
                false => Err(format!("{}\n{}", shown(&command), tail(&done.text(), 60)).into()),
            }
        });
    }

    /// Runs `cargo test` and counts the single tests.
    fn cargo_tests(&mut self, mut command: Command) {
        let start = Instant::now();
        let done = match run_limited(&mut command, LIMIT) {
            Ok(done) => done,
            Err(error) => return self.failures.push(("cargo test".into(), error.to_string())),
        };
        let text = done.text();
        let (passed, mut failed) = count(&text);
        if !done.success() && failed.is_empty() {
            failed.push(("cargo test".into(), tail(&text, 60)));
        }
        let (word, seconds) = (if failed.is_empty() { "ok" } else { "FAILED" }, start.elapsed().as_secs_f32());
        println!("{word:6} cargo test: {passed} passed, {} failed ({seconds:.1} s)", failed.len());
        self.passed += passed;
        self.failures.extend(failed);
    }

    /// Prints the failures and the count; an error if anything failed.
    fn end(self) -> Result {
        for (name, text) in &self.failures {
            println!("\n---- {name}\n{text}");
        }
        println!("\n{} passed, {} failed", self.passed, self.failures.len());
        if self.failures.is_empty() { Ok(()) } else { Err("some tests failed".into()) }
    }
}

/// Number of passed tests in the output of `cargo test`, and name and output of each failed one.
fn count(text: &str) -> (usize, Vec<(String, String)>) {
    let passed = text
        .lines()
        .filter_map(|l| l.strip_prefix("test result: ")?.split_once(". ")?.1.split(' ').next()?.parse::<usize>().ok());
    let mut failed = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("test ").and_then(|l| l.strip_suffix(" ... FAILED")) {
            let output = text.split_once(&format!("---- {name} stdout ----\n")).map_or("", |(_, after)| after);
            let output =
                output.split("\n---- ").next().unwrap_or_default().split("\nfailures:\n").next().unwrap_or_default();
            failed.push((name.to_owned(), tail(output, 40)));
        }
    }
    (passed.sum(), failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_output_is_counted() {
        let text = "test a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\nleft: 1\n\n\nfailures:\n    b\n\n\
            test result: FAILED. 1 passed; 1 failed; 0 ignored\n\ntest result: ok. 7 passed; 0 failed\n";
        assert_eq!(count(text), (8, vec![("b".to_owned(), "left: 1".to_owned())]));
    }

    #[test]
    fn a_report_with_a_failure_is_an_error() {
        let mut report = Report::default();
        report.step("good", || Ok(()));
        assert!(report.failures.is_empty());
        report.step("bad", || Err("it broke".into()));
        assert_eq!((report.passed, report.failures.len()), (1, 1));
        assert!(report.end().is_err());
    }
}

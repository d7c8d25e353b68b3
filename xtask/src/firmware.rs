//! Builds the firmware for a board, and runs it where the board has an emulator.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Subcommand;
use limbeck_targets::{Device, Target};

use crate::process::{Finished, output, run_limited};
use crate::{Result, root, target_dir};

/// Longest run of a program in an emulator.
pub(crate) const LIMIT: Duration = Duration::from_secs(600);

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Build all programs.
    Build {
        /// The board; all boards if none is named.
        #[arg(long)]
        board: Option<String>,
        /// Model for `classify`: a file, or random-resnet8 (that is the default) or random-bert.
        #[arg(long)]
        model: Option<PathBuf>,
    },
    /// Build a program and run it in the board's emulator.
    Run {
        /// The board.
        #[arg(long, default_value = "qemu-m4")]
        board: String,
        /// Model for `classify`: a file, or random-resnet8 (that is the default) or random-bert.
        #[arg(long)]
        model: Option<PathBuf>,
        /// Write the log frames to this file; `defmt-print -e IMAGE stdin` makes text of them.
        #[arg(long)]
        log: Option<PathBuf>,
        /// The program: classify, selftest, bench, profile or one of firmware/qemu.
        program: String,
        /// Its arguments.
        #[arg(last = true)]
        args: Vec<String>,
    },
}

pub(crate) fn run(task: &Task) -> Result {
    match task {
        Task::Build { board, model } => {
            for board in Board::all().filter(|b| board.as_ref().is_none_or(|name| *name == b.target.name)) {
                for image in board.build(model.as_deref())? {
                    println!("{}", image.path.display());
                }
            }
            board.as_ref().map_or(Ok(()), |name| Board::find(name).map(|_| ()))
        }
        Task::Run { board, model, log, program, args } => {
            let board = Board::find(board)?;
            let image = board.image(program, model.as_deref())?;
            let done = board.emulate(&image, args, LIMIT)?;
            print!("{}", String::from_utf8_lossy(&done.stderr));
            if let Some(log) = log {
                fs::write(log, &done.stdout)?;
                println!("log frames in {}; the image is {}", log.display(), image.path.display());
            }
            if done.success() { Ok(()) } else { Err(ended(program, &done).into()) }
        }
    }
}

/// How a program in the emulator ended, in words.
pub(crate) fn ended(program: &str, done: &Finished) -> String {
    match done.status {
        None => format!("{program} did not end in time"),
        Some(status) => format!("{program} failed: {status}"),
    }
}

/// A board to build for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Board {
    /// Its target.
    pub(crate) target: &'static Target,
    /// Its device data.
    pub(crate) device: &'static Device,
}

/// A linked program.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Name of the program.
    pub(crate) program: String,
    /// The ELF file.
    pub(crate) path: PathBuf,
}

impl Board {
    pub(crate) fn all() -> impl Iterator<Item = Board> {
        Target::boards().map(|(target, device)| Board { target, device })
    }

    pub(crate) fn find(name: &str) -> Result<Board> {
        let target = Target::find(name)?;
        let device = target.device.as_ref().ok_or_else(|| format!("{name} is a host, not a board"))?;
        Ok(Board { target, device })
    }

    /// Builds every program that the board can run.
    pub(crate) fn build(self, model: Option<&Path>) -> Result<Vec<Image>> {
        let name = &self.target.name;
        let build_dir = target_dir().join("firmware");
        fs::create_dir_all(&build_dir)?;
        // Boards of one platform overwrite each other's programs, so building and copying go together.
        let lock = File::create(build_dir.join("xtask.lock"))?;
        lock.lock()?;
        let mut command = self.cargo("build");
        command.args(["--release", "--bins", "--message-format", "json-render-diagnostics"]);
        if let Some(model) = model {
            // What is no file is a name, which the build script knows or refuses.
            command.env("LIMBECK_MODEL", fs::canonicalize(model).unwrap_or_else(|_| model.to_owned()));
        }
        let images_dir = build_dir.join("images").join(name);
        fs::create_dir_all(&images_dir)?;
        let mut images = Vec::new();
        for line in output(&mut command)?.lines() {
            let message: serde_json::Value = serde_json::from_str(line)?;
            if let (Some(elf), Some(program)) = (message["executable"].as_str(), message["target"]["name"].as_str()) {
                let path = images_dir.join(program);
                fs::copy(elf, &path)?;
                images.push(Image { program: program.to_owned(), path });
            }
        }
        Ok(images)
    }

    /// Builds, and gives one of the programs.
    pub(crate) fn image(self, program: &str, model: Option<&Path>) -> Result<Image> {
        let images = self.build(model)?;
        let names: Vec<_> = images.iter().map(|i| i.program.as_str()).collect();
        let unknown = format!("{} has no program {program}; there are {}", self.target.name, names.join(", "));
        images.iter().find(|i| i.program == program).cloned().ok_or_else(|| unknown.into())
    }

    /// Runs a program in the board's emulator, for no longer than `limit`. Its text is the standard error, its log frames are
    /// the standard output.
    pub(crate) fn emulate<A: AsRef<std::ffi::OsStr>>(
        self,
        image: &Image,
        args: &[A],
        limit: Duration,
    ) -> Result<Finished> {
        let name = &self.target.name;
        let Some(emulator) = &self.device.emulator else {
            let probe = self.device.probe.as_deref().unwrap_or("?");
            return Err(format!(
                "{name} has no emulator; on a board: probe-rs run --chip {probe} {}",
                image.path.display()
            )
            .into());
        };
        run_limited(&mut emulator.command(&image.path, args), limit)
            .map_err(|e| format!("{e}; `cargo xtask setup` installs {}", emulator.program).into())
    }

    /// A cargo command for the firmware on this board.
    pub(crate) fn cargo(self, subcommand: &str) -> Command {
        let mut command = self.cargo_in(subcommand, "firmware");
        command.args(["--features", &self.target.name]);
        command
    }

    /// A cargo command for the package in that folder, on this board.
    pub(crate) fn cargo_in(self, subcommand: &str, folder: &str) -> Command {
        let mut command = Command::new("rustup");
        command
            .args(["run", "cross", "cargo", subcommand])
            .arg("--manifest-path")
            .arg(root().join(folder).join("Cargo.toml"))
            .args(["--target", &self.target.triple])
            .arg("--target-dir")
            .arg(target_dir().join("firmware"))
            .env("CARGO_ENCODED_RUSTFLAGS", format!("-Ctarget-cpu={}", self.device.cpu))
            .env("DEFMT_LOG", "info")
            .env_remove("LIMBECK_MODEL");
        for variable in ["RUSTUP_TOOLCHAIN", "RUSTC", "RUSTFLAGS", "CARGO", "CARGO_BUILD_TARGET"] {
            command.env_remove(variable);
        }
        command
    }
}

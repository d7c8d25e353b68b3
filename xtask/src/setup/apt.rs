//! Debian packages: which there are, and how to get them.

use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::process::{output, succeeds};

/// Whether this is a Debian, or something made from it.
pub(crate) fn is_here() -> bool {
    Path::new("/etc/debian_version").exists() && succeeds(Command::new("apt-get").arg("--version"))
}

pub(crate) fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    output(query.args(["-W", "-f", "${db:Status-Status}", package])).is_ok_and(|status| status == "installed")
}

/// Whether the index knows a package.
pub(crate) fn is_known(package: &str) -> bool {
    succeeds(Command::new("apt-cache").args(["show", package]))
}

/// Fetches the index. One of several mirrors in the middle of an update is no reason to stop.
pub(crate) fn refresh() {
    if let Err(error) = output(as_root("apt-get").arg("update")) {
        eprintln!("setup: going on with the index as it is: {error}");
    }
}

/// Installs those that are missing.
pub(crate) fn install(packages: &[&str]) -> Result {
    let missing: Vec<_> = packages.iter().filter(|p| !is_installed(p)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("setup: installing {}", missing.iter().map(|p| **p).collect::<Vec<_>>().join(" "));
    let install = || output(as_root("apt-get").args(["install", "-y", "--no-install-recommends"]).args(&missing));
    if install().is_ok() {
        return Ok(());
    }
    refresh();
    install().map(|_| ())
}

fn as_root(program: &str) -> Command {
    let root = output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0");
    let mut command = Command::new(if root { program } else { "sudo" });
    if !root {
        command.arg(program);
    }
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

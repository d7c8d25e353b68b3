//! Installs what is missing to build and test everything; what is there already is left alone.

mod apt;
pub(crate) mod cross;
mod venv;

use crate::Result;
use crate::process::succeeds;
use std::process::Command;

/// A host whose programs run in an emulator here.
pub(crate) const AARCH64: &str = "aarch64-unknown-linux-gnu";
/// A host whose programs run here or nowhere.
pub(crate) const X86_64: &str = "x86_64-unknown-linux-gnu";
/// A host whose modules run in Node.
pub(crate) const WASM32: &str = "wasm32-unknown-unknown";

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
    let cross = cross::Cross::boards(&args.toolchain, args.home.clone());
    let hosts = cross::Cross::hosts(&args.toolchain, args.home.clone());
    if args.check {
        let missing = missing(&cross, &hosts);
        for (what, why) in &missing {
            println!("missing: {what} ({why})");
        }
        return if missing.is_empty() { Ok(()) } else { Err("run `cargo xtask setup`".into()) };
    }
    cross.install()?;
    install_emulator()?;
    // The tests that need these skip without them, aloud.
    hosts.install().unwrap_or_else(|error| eprintln!("setup: no libraries for other hosts: {error}"));
    install_hosts().unwrap_or_else(|error| eprintln!("setup: nothing to run programs of other hosts: {error}"));
    install_browser().unwrap_or_else(|error| eprintln!("setup: no browser: {error}"));
    install_vulkan().unwrap_or_else(|error| eprintln!("setup: no software GPU: {error}"));
    venv::install().unwrap_or_else(|error| eprintln!("setup: no Python packages: {error}"));
    println!("setup: ready");
    Ok(())
}

/// Sets up what the tests need, quickly where all is there.
pub(crate) fn ensure() -> Result {
    let nothing = Args { check: false, home: None, toolchain: cross::NAME.into() };
    let is_all_there =
        missing(&cross::Cross::boards(cross::NAME, None), &cross::Cross::hosts(cross::NAME, None)).is_empty();
    if is_all_there { Ok(()) } else { run(&nothing) }
}

/// The folder of the onnx package's node tests, if it is installed.
pub(crate) fn node_tests() -> Option<std::path::PathBuf> {
    venv::node_tests()
}

/// Why tests for 64-bit Arm cannot be built or run here.
pub(crate) fn lacks_aarch64() -> Option<&'static str> {
    if !cross::Cross::hosts(cross::NAME, None).is_ready() {
        Some("the toolchain `cross` lacks the libraries of other hosts")
    } else if !starts(AARCH64_LINKER) {
        Some("there is no aarch64-linux-gnu-gcc")
    } else if !starts(AARCH64_EMULATOR) {
        Some("there is no qemu-aarch64")
    } else {
        None
    }
}

/// Why tests for WebAssembly cannot be built or run here.
pub(crate) fn lacks_wasm32() -> Option<&'static str> {
    if !cross::Cross::hosts(cross::NAME, None).is_ready() {
        Some("the toolchain `cross` lacks the libraries of other hosts")
    } else if !starts(NODE) {
        Some("there is no node")
    } else {
        None
    }
}

/// Why instructions of x86-64 cannot be counted here.
pub(crate) fn lacks_callgrind() -> Option<&'static str> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        Some("this is no x86-64 Linux")
    } else if !cross::Cross::boards(cross::NAME, None).is_ready() {
        Some("there is no toolchain `cross`")
    } else if !starts(VALGRIND) {
        Some("there is no valgrind")
    } else {
        None
    }
}

fn missing(cross: &cross::Cross, hosts: &cross::Cross) -> Vec<(&'static str, &'static str)> {
    let mut missing = Vec::new();
    if !cross.is_ready() {
        missing.push(("the toolchain `cross`", "builds firmware"));
    }
    if !has_emulator() {
        missing.push((EMULATOR, "runs firmware"));
    }
    if !hosts.is_ready() {
        missing.push(("libraries of other hosts", "build kernels for 64-bit Arm and WebAssembly"));
    }
    for (program, package) in HOST_PROGRAMS {
        if !starts(program) {
            missing.push((package, "builds, runs or counts kernels for hosts"));
        }
    }
    if !has_browser() {
        missing.push((BROWSERS[0], "opens reports"));
    }
    if !has_vulkan() {
        missing.push((VULKAN[0], "runs models on a GPU of software"));
    }
    if venv::node_tests().is_none() {
        missing.push(("onnx in target/venv", "its node tests measure the importer"));
    }
    missing
}

const EMULATOR: &str = "qemu-system-arm";
/// Runs programs of 64-bit Arm Linux.
pub(crate) const AARCH64_EMULATOR: &str = "qemu-aarch64";
/// Links them.
pub(crate) const AARCH64_LINKER: &str = "aarch64-linux-gnu-gcc";
/// Runs WebAssembly.
pub(crate) const NODE: &str = "node";

/// Counts instructions of this machine's programs.
pub(crate) const VALGRIND: &str = "valgrind";

/// What builds or runs programs of other hosts or counts their instructions, with the packages that have it.
const HOST_PROGRAMS: [(&str, &str); 4] = [
    (AARCH64_EMULATOR, "qemu-user"),
    (AARCH64_LINKER, "gcc-aarch64-linux-gnu"),
    (NODE, "nodejs"),
    (VALGRIND, VALGRIND),
];

/// Names under which the browser that opens reports may be installed; the first is also Debian's package.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

fn has_browser() -> bool {
    BROWSERS.into_iter().any(starts)
}

fn install_browser() -> Result {
    if has_browser() {
        return Ok(());
    }
    if !apt::is_here() {
        return Err("install Chromium".into());
    }
    // Pages without any font have no size.
    apt::install(&[BROWSERS[0], "fonts-dejavu-core"])
}

/// A Vulkan driver that needs no GPU, and what programs find it with.
const VULKAN: [&str; 2] = ["mesa-vulkan-drivers", "libvulkan1"];

/// Elsewhere than on Debian whoever has a driver has it, and tests say aloud if there is none.
fn has_vulkan() -> bool {
    !apt::is_here() || VULKAN.iter().all(|package| apt::is_installed(package))
}

fn install_vulkan() -> Result {
    if has_vulkan() { Ok(()) } else { apt::install(&VULKAN) }
}

fn starts(program: &str) -> bool {
    succeeds(Command::new(program).arg("--version"))
}

fn has_emulator() -> bool {
    starts(EMULATOR)
}

fn install_hosts() -> Result {
    let missing: Vec<_> = HOST_PROGRAMS.iter().filter(|(program, _)| !starts(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    if !apt::is_here() {
        return Err(format!("install {}", packages.join(", ")).into());
    }
    // The C library that programs are linked with is only recommended by the linker's package.
    packages.push("libc6-dev-arm64-cross");
    apt::install(&packages)
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

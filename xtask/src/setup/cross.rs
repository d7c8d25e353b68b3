//! The toolchain `cross`: a compiler with libraries for every board, and for hosts whose kernels are tested here.
//!
//! On Debian it is put together from packages: Debian's compiler, and the libraries of each platform, built once from Debian's
//! library sources. Elsewhere it is the active toolchain after `rustup target add`.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use limbeck_targets::Target;

use super::apt;
use crate::process::{output, succeeds};
use crate::{Result, target_dir};

/// Name of the toolchain.
pub(crate) const NAME: &str = "cross";

/// Changes when the libraries must be built anew.
const RECIPE: u32 = 1;
const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
const RUSTLIB: &str = "/usr/lib/rustlib";

/// The libraries that a platform's programs need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Library {
    /// core, alloc and compiler-builtins.
    Core,
    /// The standard library too, and the one of tests.
    Std,
}

impl Library {
    /// Cargo's arguments to build it.
    const fn arguments(self) -> &'static [&'static str] {
        match self {
            Library::Core => &["-Zbuild-std=core,alloc", "-Zbuild-std-features=compiler-builtins-mem"],
            Library::Std => &["-Zbuild-std=std,panic_unwind,test"],
        }
    }

    /// Whether it is in this folder.
    fn is_in(self, folder: &Path) -> bool {
        let first = if self == Library::Core { "libcore-" } else { "libtest-" };
        let named = |name: &str| name.starts_with(first) && name.ends_with(".rlib");
        fs::read_dir(folder)
            .is_ok_and(|mut files| files.any(|f| f.is_ok_and(|f| f.file_name().to_str().is_some_and(named))))
    }
}

/// The toolchain with the libraries of some platforms.
#[derive(Debug)]
pub(crate) struct Cross {
    name: String,
    home: Option<PathBuf>,
    platforms: Vec<(&'static str, Library)>,
}

impl Cross {
    /// For every board.
    pub(crate) fn boards(name: &str, home: Option<PathBuf>) -> Self {
        let triples: BTreeSet<_> = Target::boards().map(|(target, _)| target.triple.as_str()).collect();
        let platforms = triples.into_iter().map(|triple| (triple, Library::Core)).collect();
        Cross { name: name.into(), home, platforms }
    }

    /// For 64-bit Arm Linux, whose tests an emulator runs, and for WebAssembly, whose modules need no standard library.
    pub(crate) fn hosts(name: &str, home: Option<PathBuf>) -> Self {
        let platforms = vec![(super::AARCH64, Library::Std), (super::WASM32, Library::Core)];
        Cross { name: name.into(), home, platforms }
    }

    /// Whether the toolchain is there with clippy and all these libraries.
    pub(crate) fn is_ready(&self) -> bool {
        let clippy = succeeds(&mut rustup(&["run", &self.name, "cargo", "clippy", "--version"]));
        clippy
            && self.platforms.iter().all(|(triple, library)| {
                let mut command = rustup(&["run", &self.name, "rustc", "--print", "target-libdir", "--target", triple]);
                output(&mut command).is_ok_and(|folder| library.is_in(Path::new(folder.trim())))
            })
    }

    fn triples(&self) -> impl Iterator<Item = &'static str> {
        self.platforms.iter().map(|(triple, _)| *triple)
    }

    pub(crate) fn install(&self) -> Result {
        if self.is_ready() {
            return Ok(());
        }
        if apt::is_here() {
            match self.through_debian() {
                Ok(()) => return Ok(()),
                Err(error) => eprintln!("setup: not from Debian's packages: {error}"),
            }
        }
        self.through_rustup()
    }

    /// The active toolchain, with more libraries, under another name.
    fn through_rustup(&self) -> Result {
        println!("setup: rustup target add {}", self.triples().collect::<Vec<_>>().join(" "));
        output(rustup(&["target", "add", "--toolchain", "stable"]).args(self.triples()))?;
        let sysroot = output(&mut rustup(&["run", "stable", "rustc", "--print", "sysroot"]))?;
        self.link(Path::new(sysroot.trim()))
    }

    fn through_debian(&self) -> Result {
        // Bookworm has a current compiler under another name; later releases have it under its own.
        if !apt::is_installed("rustc-web") {
            apt::refresh();
        }
        if apt::is_known("rustc-web") {
            apt::install(&["rustc-web", "cargo-web", "rust-web-src", "rust-web-clippy"])?;
        } else {
            apt::install(&["rustc", "cargo", "rust-src", "rust-clippy"])?;
        }
        let linker = linker()?;
        let version = output(Command::new(RUSTC).arg("-vV"))?;
        let field = |key: &str| version.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default().trim().to_owned();
        let (host, release) = (field("host:"), field("release:"));
        let minor: u32 = release.split('.').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
        let needed = env!("CARGO_PKG_RUST_VERSION");
        if minor < needed.split('.').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0) {
            return Err(format!("{RUSTC} is {release}, and {needed} is needed").into());
        }
        let sysroot = self.home().join(format!("{release}-{RECIPE}"));
        compose(&sysroot, &host, &linker)?;
        for library in [Library::Core, Library::Std] {
            let platforms = self.platforms.iter().filter(|(_, needed)| *needed == library);
            build(&sysroot, library, &platforms.map(|(triple, _)| *triple).collect::<Vec<_>>())?;
        }
        self.link(&sysroot)
    }

    fn link(&self, sysroot: &Path) -> Result {
        let linked = output(&mut rustup(&["run", &self.name, "rustc", "--print", "sysroot"]));
        if !linked.is_ok_and(|linked| Path::new(linked.trim()) == sysroot) {
            output(rustup(&["toolchain", "link", &self.name]).arg(sysroot))?;
            // Cargo tells compilers apart by their version only, not by the core library that they come with.
            let built = target_dir().join("firmware");
            if built.exists() {
                fs::remove_dir_all(built)?;
            }
        }
        if self.is_ready() { Ok(()) } else { Err(format!("the toolchain `{}` lacks libraries", self.name).into()) }
    }

    fn home(&self) -> PathBuf {
        let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let data = || var("XDG_DATA_HOME").or_else(|| Some(var("HOME")?.join(".local/share")));
        self.home.clone().or_else(|| data().map(|d| d.join("limbeck-cross"))).unwrap_or_else(|| "target/cross".into())
    }
}

fn rustup(args: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(args).env_remove("RUSTUP_TOOLCHAIN");
    command
}

/// rust-lld: rustup's own where there is one, else Debian's lld.
fn linker() -> Result<PathBuf> {
    let sysroot = output(&mut rustup(&["run", "stable", "rustc", "--print", "sysroot"]))?;
    let rustlib = Path::new(sysroot.trim()).join("lib/rustlib");
    let shipped = fs::read_dir(rustlib)?.flatten().map(|e| e.path().join("bin/rust-lld")).find(|p| p.is_file());
    if let Some(linker) = shipped {
        return Ok(linker);
    }
    apt::install(&["lld-19"])?;
    Ok("/usr/bin/lld-19".into())
}

/// A sysroot of links: Debian's programs and host library, and a linker. Debian's compiler finds its sysroot from where it lies
/// itself, so wrappers tell it.
fn compose(sysroot: &Path, host: &str, linker: &Path) -> Result {
    let [bin, rustlib] = [sysroot.join("bin"), sysroot.join("lib/rustlib")];
    fs::create_dir_all(&bin)?;
    fs::create_dir_all(rustlib.join(host).join("bin"))?;
    let own = sysroot.display();
    for tool in ["rustc", "rustdoc"] {
        let body = format!(
            "case \" $* \" in *\" --sysroot\"[\\ =]*) exec /usr/bin/{tool} \"$@\";; esac\nexec /usr/bin/{tool} --sysroot \"{own}\" \"$@\""
        );
        script(&bin.join(tool), &body)?;
    }
    for tool in ["cargo-clippy", "clippy-driver"] {
        script(&bin.join(tool), &format!("SYSROOT=\"{own}\" exec /usr/bin/{tool} \"$@\""))?;
    }
    link(Path::new(CARGO), &bin.join("cargo"))?;
    let debian = Path::new(RUSTLIB);
    link(&debian.join(host).join("lib"), &rustlib.join(host).join("lib"))?;
    link(&debian.join("src"), &rustlib.join("src"))?;
    link(linker, &rustlib.join(host).join("bin/rust-lld"))
}

/// Writes a script in one step: the toolchain may be in use.
fn script(path: &Path, body: &str) -> Result {
    let new = path.with_extension("new");
    fs::write(&new, format!("#!/bin/sh\n{body}\n"))?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755))?;
    Ok(fs::rename(new, path)?)
}

/// Makes a link, or replaces it in one step.
fn link(to: &Path, at: &Path) -> Result {
    let new = at.with_extension("new");
    if new.symlink_metadata().is_ok() {
        fs::remove_file(&new)?;
    }
    symlink(to, &new)?;
    Ok(fs::rename(new, at)?)
}

/// Builds a library for those platforms that lack it.
fn build(sysroot: &Path, library: Library, triples: &[&str]) -> Result {
    let libraries = |triple: &str| sysroot.join("lib/rustlib").join(triple).join("lib");
    let missing: Vec<_> = triples.iter().copied().filter(|t| !library.is_in(&libraries(t))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let name = if library == Library::Core { "core" } else { "standard" };
    println!("setup: building the {name} library for {}", missing.join(" "));
    let work = tempfile::tempdir_in(sysroot)?;
    fs::create_dir(work.path().join("src"))?;
    fs::write(work.path().join("src/lib.rs"), "#![no_std]\n")?;
    let manifest = "[package]\nname = \"seed\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[workspace]\n";
    fs::write(work.path().join("Cargo.toml"), manifest)?;
    let mut cargo = Command::new(CARGO);
    for variable in ["CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "CARGO_BUILD_TARGET", "RUSTUP_TOOLCHAIN", "CARGO"] {
        cargo.env_remove(variable);
    }
    cargo
        .current_dir(work.path())
        .args(["build", "--release"])
        .args(library.arguments())
        .args(missing.iter().flat_map(|triple| ["--target", triple]))
        .env("RUSTC", RUSTC)
        .env("CARGO_TARGET_DIR", work.path().join("target"))
        // Building the library is what this is for; bitcode lets programs link with `lto = true`.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", format!("-Cembed-bitcode=yes --remap-path-prefix={RUSTLIB}/src/rust=rust"));
    output(&mut cargo)?;
    for triple in missing {
        let [built, whole] = [work.path().join("target").join(triple).join("release/deps"), libraries(triple)];
        // Complete or not there at all: the folder gets its name when all files are in it.
        let folder = whole.with_extension("partial");
        fs::create_dir_all(&folder)?;
        for file in fs::read_dir(built)?.flatten() {
            let name = file.file_name();
            let text = name.to_string_lossy();
            if text.ends_with(".rlib") && !text.starts_with("libseed") {
                fs::copy(file.path(), folder.join(name))?;
            }
        }
        if whole.exists() {
            fs::remove_dir_all(&whole)?;
        }
        fs::rename(folder, whole)?;
    }
    if succeeds(Command::new(sysroot.join("bin/rustc")).arg("-V")) {
        Ok(())
    } else {
        Err("the composed compiler does not run".into())
    }
}

//! Gathers the data files, so that adding a target is adding a file.

use std::fmt::Write as _;
use std::{env, fs, io, path::Path};

fn main() -> io::Result<()> {
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let mut code = String::new();
    for folder in ["cores", "chips", "boards", "hosts"] {
        println!("cargo:rerun-if-changed={folder}");
        let mut names = Vec::new();
        for entry in fs::read_dir(Path::new(&root).join(folder))? {
            let name = entry?.file_name().into_string().map_err(|n| io::Error::other(format!("{n:?} is not UTF-8")))?;
            if let Some(stem) = name.strip_suffix(".toml") {
                names.push(stem.to_owned());
            }
        }
        names.sort();
        let _ = writeln!(code, "pub(crate) const {}: &[(&str, &str)] = &[", folder.to_uppercase());
        for name in names {
            let text = fs::read_to_string(Path::new(&root).join(folder).join(format!("{name}.toml")))?;
            let _ = writeln!(code, "    ({name:?}, {text:?}),");
        }
        code.push_str("];\n");
    }
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("files.rs"), code)
}

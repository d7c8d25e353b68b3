//! Writes the linker's memory map and the board's constants from the target data, and finds the model for `classify`.

mod model;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use limbeck_runtime::Isa;
use limbeck_targets::{Device, Target, ticks_per_instruction};

fn main() -> io::Result<()> {
    for file in ["build.rs", "model"] {
        println!("cargo:rerun-if-changed={file}");
    }
    let (target, device) = board()?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("memory.x"), memory_map(device))?;
    fs::write(Path::new(&out).join("board.rs"), constants(target, device))?;
    println!("cargo:rustc-env=LIMBECK_MODEL_FILE={}", model_file(target, Path::new(&out))?.display());
    println!("cargo:rustc-link-search={out}");
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rustc-link-arg-bins=-Tdefmt.x");
    Ok(())
}

/// The one board whose feature is on.
fn board() -> io::Result<(&'static Target, &'static Device)> {
    let feature = |t: &Target| format!("CARGO_FEATURE_{}", t.name.to_uppercase().replace('-', "_"));
    let chosen: Vec<_> = Target::boards().filter(|(t, _)| env::var_os(feature(t)).is_some()).collect();
    let names: Vec<_> = Target::boards().map(|(t, _)| t.name.as_str()).collect();
    let &[(target, device)] = chosen.as_slice() else {
        let error = format!("{} boards are chosen; give one feature of {}", chosen.len(), names.join(", "));
        return Err(io::Error::other(error));
    };
    if env::var("TARGET").is_ok_and(|t| t != target.triple) {
        return Err(io::Error::other(format!("{} is built with --target {}", target.name, target.triple)));
    }
    Ok((target, device))
}

/// The model that the variable `LIMBECK_MODEL` names, a file or one that is made here.
fn model_file(target: &Target, out: &Path) -> io::Result<PathBuf> {
    println!("cargo:rerun-if-env-changed=LIMBECK_MODEL");
    let named = env::var_os("LIMBECK_MODEL");
    let built_in = model::MODELS.iter().find(|(name, _)| named.as_ref().is_none_or(|named| named == name));
    let Some((_, build)) = built_in else {
        let path = PathBuf::from(named.unwrap_or_default());
        println!("cargo:rerun-if-changed={}", path.display());
        let names = model::MODELS.map(|(name, _)| name).join(", ");
        let unknown = || io::Error::other(format!("{} is neither a file nor one of {names}", path.display()));
        return path.is_file().then_some(path.clone()).ok_or_else(unknown);
    };
    let isa =
        Isa::by_name(target.isa()).ok_or_else(|| io::Error::other(format!("no table is called {}", target.isa())))?;
    let path = out.join("model.lmb");
    fs::write(&path, &*build(isa).map_err(|error| io::Error::other(error.to_string()))?)?;
    Ok(path)
}

fn memory_map(device: &Device) -> String {
    let mut map = String::from("MEMORY {\n");
    for (use_, regions) in [("FLASH", &device.flash), ("RAM", &device.ram)] {
        for (i, region) in regions.iter().enumerate() {
            let name = if i == 0 { use_.to_owned() } else { region.name.to_uppercase() };
            let _ = writeln!(map, "  {name} : ORIGIN = {:#010x}, LENGTH = {:#x}", region.origin, region.length);
        }
    }
    map.push_str("}\n");
    if let Some(region) = device.flash.get(1) {
        // Code stays in the first region, which may be small and fast.
        let _ = writeln!(
            map,
            "SECTIONS {{ .constants : ALIGN(16) {{ *(.rodata .rodata.*) }} > {} }} INSERT AFTER .text;",
            region.name.to_uppercase()
        );
    }
    map
}

fn constants(target: &Target, device: &Device) -> String {
    let mut code = format!("/// Name of the board.\npub const NAME: &str = {:?};\n", target.name);
    let _ = writeln!(code, "/// Core clock in Hz.\npub const CLOCK_HZ: u32 = {};", device.clock_hz);
    if let Some(emulator) = &device.emulator {
        let (ticks, instructions) = ticks_per_instruction(emulator);
        let _ = writeln!(code, "const TICKS_PER_INSTRUCTION: (u64, u64) = ({ticks}, {instructions});");
    }
    code
}

//! Reads the data files and joins board, chip and core into targets.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::schema::{BoardFile, ChipFile, CoreFile, HostFile};
use crate::{Device, Target, TargetError};

mod files {
    include!(concat!(env!("OUT_DIR"), "/files.rs"));
}

pub(crate) fn all() -> Result<Vec<Target>, TargetError> {
    let cores: BTreeMap<_, CoreFile> = parse("cores", files::CORES)?.into_iter().collect();
    let chips: BTreeMap<_, ChipFile> = parse("chips", files::CHIPS)?.into_iter().collect();
    for (name, core) in &cores {
        core.check(&path("cores", name))?;
    }
    for (name, chip) in &chips {
        let file = path("chips", name);
        chip.check(&file)?;
        known(&file, "core", &chip.core, &cores)?;
    }
    let mut targets = Vec::new();
    for (name, board) in parse::<BoardFile>("boards", files::BOARDS)? {
        let file = path("boards", name);
        board.check(&file)?;
        let chip = known(&file, "chip", &board.chip, &chips)?;
        let core = known(&file, "chip", &chip.core, &cores)?;
        targets.push(join(name, &board, chip, core));
    }
    for (name, host) in parse::<HostFile>("hosts", files::HOSTS)? {
        host.check(&path("hosts", name))?;
        let HostFile { about, triple, isas, layout } = host;
        targets.push(Target { name: name.to_owned(), about, triple, isas, layout, device: None });
    }
    Ok(targets)
}

fn join(name: &str, board: &BoardFile, chip: &ChipFile, core: &CoreFile) -> Target {
    Target {
        name: name.to_owned(),
        about: board.about.clone(),
        triple: core.triple.clone(),
        isas: core.isas.clone(),
        layout: core.layout.clone(),
        device: Some(Device {
            chip: board.chip.clone(),
            core: chip.core.clone(),
            cpu: core.cpu.clone(),
            clock_hz: board.clock_hz,
            flash: chip.flash.clone(),
            ram: chip.ram.clone(),
            stack_bytes: core.stack_bytes,
            firmware_flash_bytes: core.firmware_flash_bytes,
            firmware_ram_bytes: core.firmware_ram_bytes,
            cycles_per_instruction: core.cycles_per_instruction,
            cost: core.cost.clone(),
            probe: board.probe.clone(),
            emulator: board.emulator.clone(),
        }),
    }
}

fn path(folder: &str, name: &str) -> String {
    format!("targets/{folder}/{name}.toml")
}

/// Parses every file of a folder.
fn parse<T: DeserializeOwned>(
    folder: &str,
    files: &'static [(&'static str, &'static str)],
) -> Result<Vec<(&'static str, T)>, TargetError> {
    let one = |&(name, text): &(&'static str, &str)| match toml::from_str(text) {
        Ok(value) => Ok((name, value)),
        Err(error) => Err(TargetError::Syntax { file: path(folder, name), message: error.to_string() }),
    };
    files.iter().map(one).collect()
}

/// What `field` of `file` refers to.
fn known<'a, T>(file: &str, field: &str, name: &str, all: &'a BTreeMap<&str, T>) -> Result<&'a T, TargetError> {
    all.get(name).ok_or_else(|| {
        let names: Vec<_> = all.keys().copied().collect();
        TargetError::value(file, field, &format!("{name:?} is not one of {}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_data_is_an_error_that_names_file_and_field() {
        let board = "about = \"x\"\nchip = \"y\"\nclock_hz = 0\nprobe = \"z\"\n";
        let parsed = parse::<BoardFile>("boards", &[("b", "about = \"x\"\nchip = \"y\"\nclock = 1\n")]);
        let text = parsed.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(text.contains("targets/boards/b.toml") && text.contains("clock"), "{text}");
        let file: BoardFile = toml::from_str(board).expect("keys are right");
        let error = file.check("targets/boards/b.toml").map_err(|e| e.to_string());
        assert_eq!(error, Err("targets/boards/b.toml: clock_hz must be more than 0".into()));
        let chips = BTreeMap::from([("a", 1)]);
        let error = known("f", "chip", "y", &chips).map_err(|e| e.to_string());
        assert_eq!(error, Err("f: chip \"y\" is not one of a".into()));
    }
}

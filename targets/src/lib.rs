//! Cores, chips, boards and hosts as data: what the converter plans for, the firmware is linked for and the tests run on.
//!
//! A *target* is either a board or a host; both are found by name with [`Target::find`]. The data files are part of the
//! program, so an installed `limbeck` knows every target. To add a board, add `boards/NAME.toml` (and a chip file where
//! the chip is new); nothing here needs to change.

mod emulator;
mod error;
mod load;
mod schema;

use std::collections::BTreeMap;
use std::sync::LazyLock;

pub use emulator::{COUNT_SHIFT, ticks_per_instruction};
pub use error::TargetError;
pub use schema::{Emulator, OpCost, Region};

/// A platform that a model file can be made for.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Name of the data file without its ending, for example `qemu-m4`.
    pub name: String,
    /// One line for people.
    pub about: String,
    /// Rust's name of the platform.
    pub triple: String,
    /// Kernel tables that it may have, best first; the last is `scalar`.
    pub isas: Vec<String>,
    /// Weight layout that its best table reads.
    pub layout: String,
    /// Present where memory is fixed and known: on boards, not on hosts.
    pub device: Option<Device>,
}

/// The board behind a target: all that a budget, a linker and an emulator need.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Name of the chip's data file.
    pub chip: String,
    /// Name of the core's data file.
    pub core: String,
    /// Argument of the compiler's `target-cpu`.
    pub cpu: String,
    /// Core clock in Hz.
    pub clock_hz: u32,
    /// Flash; the first region holds the program, the second the model if there is one.
    pub flash: Vec<Region>,
    /// RAM; the first region holds arena, statics and stack.
    pub ram: Vec<Region>,
    /// Stack that is set aside, in bytes.
    pub stack_bytes: u32,
    /// Flash that the firmware takes without any model, in bytes; with the tokenizer, which programs for images leave out.
    pub firmware_flash_bytes: u32,
    /// Static RAM that the firmware takes without any arena, in bytes; with the buffers for a text and its tokens.
    pub firmware_ram_bytes: u32,
    /// Mean clock cycles per executed instruction.
    pub cycles_per_instruction: f64,
    /// Instructions by kind of op; `other` stands for every kind not listed.
    pub cost: BTreeMap<String, OpCost>,
    /// The chip's name for a debug probe.
    pub probe: Option<String>,
    /// How to emulate it.
    pub emulator: Option<Emulator>,
}

/// How much work one call of an op does, the terms of [`OpCost`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Multiply-accumulates.
    pub macs: u64,
    /// Output elements.
    pub outputs: u64,
    /// Input elements gathered: output pixels times taps times input channels.
    pub gathered: u64,
}

static TARGETS: LazyLock<Vec<Target>> = LazyLock::new(|| match load::all() {
    Ok(targets) => targets,
    // The files are compiled in and a test loads them all, so this is a fault of the program itself.
    Err(error) => panic!("built-in target data: {error}"),
});

impl Target {
    /// Every target: boards, then hosts, each by name.
    pub fn all() -> &'static [Target] {
        &TARGETS
    }

    /// The target of that name.
    ///
    /// # Errors
    /// [`TargetError::Unknown`] names the targets whose names are near.
    pub fn find(name: &str) -> Result<&'static Target, TargetError> {
        Self::all().iter().find(|t| t.name == name).ok_or_else(|| TargetError::unknown(name, Self::all()))
    }

    /// All boards, with their devices.
    pub fn boards() -> impl Iterator<Item = (&'static Target, &'static Device)> {
        Self::all().iter().filter_map(|t| t.device.as_ref().map(|d| (t, d)))
    }

    /// The host that this program runs on, if there is a file for it.
    pub fn this_host() -> Option<&'static Target> {
        let name = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
        Self::all().iter().find(|t| t.name == name)
    }

    /// The best kernel table that the target may have.
    pub fn isa(&self) -> &str {
        self.isas.first().map_or("scalar", String::as_str)
    }
}

impl Device {
    /// Where constants lie, and so the model: the second region of flash, or the only one.
    pub fn constants(&self) -> Option<&Region> {
        self.flash.get(1).or(self.flash.first())
    }

    /// Flash left for a model file, in bytes.
    pub fn model_flash_bytes(&self) -> u32 {
        self.constants().map_or(0, |r| r.length).saturating_sub(self.firmware_flash_bytes)
    }

    /// RAM left for an arena, in bytes.
    pub fn arena_bytes(&self) -> u32 {
        let ram = self.ram.first().map_or(0, |r| r.length);
        ram.saturating_sub(self.firmware_ram_bytes).saturating_sub(self.stack_bytes)
    }

    /// Predicted instructions of one call of `op`, a name from the list of ops such as `conv2d`.
    pub fn instructions(&self, op: &str, work: Work) -> f64 {
        let cost = self.cost.get(op).or_else(|| self.cost.get("other")).copied().unwrap_or_default();
        cost.mac * work.macs as f64 + cost.output * work.outputs as f64 + cost.gather * work.gathered as f64 + cost.call
    }

    /// Predicted milliseconds for that many instructions.
    pub fn milliseconds(&self, instructions: f64) -> f64 {
        instructions * self.cycles_per_instruction * 1e3 / f64::from(self.clock_hz)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_loads_and_names_are_unique() {
        let targets = load::all().expect("built-in data");
        let mut names: Vec<_> = targets.iter().map(|t| &t.name).collect();
        names.dedup();
        assert_eq!(names.len(), targets.len());
        assert!(Target::boards().count() >= 8);
    }

    #[test]
    fn find_suggests_near_names() {
        assert_eq!(Target::find("qemu-m4").map(|t| t.isa()), Ok("dsp"));
        let error = Target::find("qemu-m44").expect_err("no such board");
        assert!(error.to_string().contains("qemu-m4"), "{error}");
        let error = Target::find("nucleo").expect_err("a part of a name");
        assert!(error.to_string().contains("stm32f446re-nucleo"), "{error}");
    }

    #[test]
    fn memory_left_is_what_firmware_and_stack_leave() {
        let device = Target::find("stm32f446re-nucleo").ok().and_then(|t| t.device.as_ref()).expect("a board");
        assert_eq!(device.model_flash_bytes(), 512 * 1024 - device.firmware_flash_bytes);
        assert_eq!(device.arena_bytes(), 128 * 1024 - device.firmware_ram_bytes - device.stack_bytes);
        let device = Target::find("qemu-m55").ok().and_then(|t| t.device.as_ref()).expect("a board");
        assert_eq!(device.constants().map(|region| region.name.as_str()), Some("qspi"));
        assert_eq!(device.model_flash_bytes(), 8 * 1024 * 1024 - device.firmware_flash_bytes);
    }

    #[test]
    fn cost_is_linear_and_unlisted_ops_count_as_other() {
        let device = Target::find("qemu-m4").ok().and_then(|t| t.device.as_ref()).expect("a board");
        let work = Work { macs: 1000, outputs: 10, gathered: 100 };
        let conv = device.cost["conv2d"];
        let expected = 1000.0 * conv.mac + 10.0 * conv.output + 100.0 * conv.gather + conv.call;
        assert!((device.instructions("conv2d", work) - expected).abs() < 1e-9);
        assert_eq!(device.instructions("no-such-op", work), device.instructions("other", work));
    }
}

//! What the data files may say: one struct per kind of file, every key checked.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::TargetError;

/// `cores/NAME.toml`: what the compiler and the planner must know of a processor.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CoreFile {
    pub(crate) triple: String,
    pub(crate) cpu: String,
    pub(crate) isas: Vec<String>,
    pub(crate) layout: String,
    pub(crate) cycles_per_instruction: f64,
    pub(crate) firmware_flash_bytes: u32,
    pub(crate) firmware_ram_bytes: u32,
    pub(crate) stack_bytes: u32,
    pub(crate) cost: BTreeMap<String, OpCost>,
}

/// `chips/NAME.toml`: a core with memory. The first region of each list is the one that the linker uses; where there is a second
/// one of flash, constants lie there, the model among them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChipFile {
    pub(crate) core: String,
    pub(crate) flash: Vec<Region>,
    pub(crate) ram: Vec<Region>,
}

/// `boards/NAME.toml`: a chip with a clock, and a way to run programs on it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BoardFile {
    pub(crate) about: String,
    pub(crate) chip: String,
    pub(crate) clock_hz: u32,
    pub(crate) probe: Option<String>,
    pub(crate) emulator: Option<Emulator>,
}

/// `hosts/NAME.toml`: a platform with an operating system (or a browser) that loads the model file at run time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HostFile {
    pub(crate) about: String,
    pub(crate) triple: String,
    pub(crate) isas: Vec<String>,
    pub(crate) layout: String,
}

/// A run of memory.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Name used by the chip's manual.
    pub name: String,
    /// First address.
    pub origin: u32,
    /// Bytes.
    pub length: u32,
}

/// How a board is emulated.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emulator {
    /// The emulator's program.
    pub program: String,
    /// Its name for the board.
    pub machine: String,
    /// Rate at which SysTick counts there, in Hz.
    pub systick_hz: u32,
}

/// Instructions that a kernel executes, as a linear model fitted to counts in the emulator.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpCost {
    /// For each multiply-accumulate.
    pub mac: f64,
    /// For each output element.
    pub output: f64,
    /// For each input element that a convolution gathers: output pixels times taps times input channels.
    pub gather: f64,
    /// For each call.
    pub call: f64,
}

impl CoreFile {
    pub(crate) fn check(&self, file: &str) -> Result<(), TargetError> {
        isas(file, &self.isas)?;
        positive(file, "cycles_per_instruction", self.cycles_per_instruction)?;
        positive(file, "stack_bytes", self.stack_bytes)?;
        if !self.cost.contains_key("other") {
            return Err(TargetError::value(file, "cost.other", "is missing; it stands for every op not listed"));
        }
        for (op, cost) in &self.cost {
            if [cost.mac, cost.output, cost.gather, cost.call].iter().any(|c| !c.is_finite() || *c < 0.0) {
                return Err(TargetError::value(file, &format!("cost.{op}"), "must hold finite numbers of 0 or more"));
            }
        }
        Ok(())
    }
}

impl ChipFile {
    pub(crate) fn check(&self, file: &str) -> Result<(), TargetError> {
        for (field, regions) in [("flash", &self.flash), ("ram", &self.ram)] {
            if regions.is_empty() {
                return Err(TargetError::value(file, field, "needs at least one region"));
            }
            for region in regions {
                if region.length == 0 || region.origin.checked_add(region.length - 1).is_none() {
                    let what = format!("region {} is empty or runs past the end of the address space", region.name);
                    return Err(TargetError::value(file, field, &what));
                }
            }
        }
        Ok(())
    }
}

impl BoardFile {
    pub(crate) fn check(&self, file: &str) -> Result<(), TargetError> {
        positive(file, "clock_hz", self.clock_hz)?;
        if let Some(emulator) = &self.emulator {
            positive(file, "emulator.systick_hz", emulator.systick_hz)?;
        }
        if self.emulator.is_none() && self.probe.is_none() {
            return Err(TargetError::value(file, "probe", "is missing; a board needs a probe or an emulator"));
        }
        Ok(())
    }
}

impl HostFile {
    pub(crate) fn check(&self, file: &str) -> Result<(), TargetError> {
        isas(file, &self.isas)
    }
}

/// Every list of tables ends with the one that reads all layouts.
fn isas(file: &str, isas: &[String]) -> Result<(), TargetError> {
    match isas.last() {
        Some(last) if last == "scalar" => Ok(()),
        _ => Err(TargetError::value(file, "isas", "must end with \"scalar\"")),
    }
}

fn positive(file: &str, field: &str, value: impl Into<f64>) -> Result<(), TargetError> {
    let value = value.into();
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(TargetError::value(file, field, "must be more than 0"))
}

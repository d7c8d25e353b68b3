//! `limbeck targets`: what models can be made for.

use super::Failure;
use super::output::{Output, bytes, table};
use limbeck_targets::Target;
use serde_json::{Value, json};

/// Lists every target.
pub(super) fn list(output: &Output) -> Result<(), Failure> {
    let value = json!({ "targets": Target::all().iter().map(value).collect::<Vec<_>>() });
    output.answer(&value, || {
        let rows: Vec<Vec<String>> = Target::all().iter().map(row).collect();
        table(&["target", "table", "layout", "clock", "flash", "arena", "about"], &rows)
    })
}

fn value(target: &Target) -> Value {
    let device = target.device.as_ref().map(|device| {
        json!({
            "chip": device.chip,
            "core": device.core,
            "clock_hz": device.clock_hz,
            "model_flash_bytes": device.model_flash_bytes(),
            "arena_bytes": device.arena_bytes(),
            "stack_bytes": device.stack_bytes,
            "emulated": device.emulator.is_some(),
        })
    });
    json!({
        "name": target.name,
        "about": target.about,
        "triple": target.triple,
        "tables": target.isas,
        "layout": target.layout,
        "device": device,
    })
}

fn row(target: &Target) -> Vec<String> {
    let device = target.device.as_ref();
    let number = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    vec![
        target.name.clone(),
        target.isa().to_owned(),
        target.layout.clone(),
        number(device.map(|d| format!("{} MHz", d.clock_hz / 1_000_000))),
        number(device.map(|d| bytes(d.model_flash_bytes().into()))),
        number(device.map(|d| bytes(d.arena_bytes().into()))),
        target.about.clone(),
    ]
}

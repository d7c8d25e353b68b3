//! The model files, where their bytes go, and how long a run takes: predicted for boards, measured on this computer.

use super::Found;
use super::page::{Section, bar, bytes, escape, grouped, hash, listed, milliseconds, number, table};
use crate::verify::record::{Measured, ModelRecord, OpRecord, TargetRecord};
use std::collections::BTreeMap;

/// Classes of the parts of a file, in turn.
const SHADES: [&str; 6] = ["s0", "s1", "s2", "s3", "s4", "s5"];

/// Flash, section by section.
pub(super) fn flash(found: &Found<'_>) -> Section {
    let lead =
        "A model file is read where it lies, in flash or in a mapped file; nothing of it is copied. Files for several \
                targets differ in the order of their weights, not in what they compute."
            .to_owned();
    let models = &found.record.models;
    let rows: Vec<Vec<String>> = models
        .iter()
        .map(|model| {
            let file = escape(&model.file);
            vec![file, model.layout.clone(), bytes(model.bytes), bytes(model.arena_bytes), hash(&model.sha256)]
        })
        .collect();
    let files = table(&["file", "layout", "flash", "arena", "SHA-256"], &rows);
    let body = models.first().map_or_else(String::new, split) + "<h3>Files</h3>\n" + &files;
    Section { id: "flash", title: "Flash, section by section", lead, body }
}

fn split(model: &ModelRecord) -> String {
    let total = model.bytes.max(1) as f64;
    let mut sections: Vec<_> = model.sections.iter().collect();
    sections.sort_by_key(|section| std::cmp::Reverse(section.bytes));
    let share = |bytes: u64| 100.0 * bytes as f64 / total;
    let shade = |i: usize| SHADES[i.min(SHADES.len() - 1)];
    let parts = sections.iter().enumerate().map(|(i, section)| {
        let (name, size) = (escape(&section.name), bytes(section.bytes));
        format!("<i class=\"{}\" style=\"width:{:.3}%\" title=\"{name}: {size}\"></i>", shade(i), share(section.bytes))
    });
    let rows: Vec<Vec<String>> = sections
        .iter()
        .enumerate()
        .map(|(i, section)| {
            let name = format!("<span class=\"key {}\">{}</span>", shade(i), escape(&section.name));
            vec![name, grouped(section.bytes), format!("{:.2} %", share(section.bytes))]
        })
        .collect();
    format!("<div class=\"stack\">{}</div>\n", parts.collect::<String>())
        + &table(&["section", "bytes", "share"], &rows)
}

/// Boards and this computer.
pub(super) fn latency(found: &Found<'_>) -> Section {
    let lead = "Times on boards are <b>predictions</b>, made so: for each kind of op, instructions per multiply-add, output and \
                gathered input were fitted to counts of executed instructions in an emulator; their sum times the core's mean \
                cycles per instruction, over the clock, is the time. Caches and slow flash are not in it. Times on this \
                computer are measured, on one thread."
        .to_owned();
    let rows: Vec<Vec<String>> = found.record.targets.iter().map(target).collect();
    let heading = ["target", "table", "flash", "arena", "instructions", "cycles each", "clock", "predicted time"];
    let body = table(&heading, &rows) + &here(found);
    Section { id: "latency", title: "Targets and time", lead, body }
}

fn target(target: &TargetRecord) -> Vec<String> {
    let dash = || "-".to_owned();
    let room = |room: Option<[u64; 2]>| {
        room.map_or_else(dash, |[used, most]| {
            let share = used as f64 / most.max(1) as f64;
            let class = if share > 1.0 { "wrong" } else { "int8" };
            format!("{} of {}{}", bytes(used), bytes(most), bar(class, share))
        })
    };
    let [instructions, cycles, clock] = target.prediction.as_ref().map_or_else(
        || [dash(), dash(), dash()],
        |p| {
            let millions = format!("{:.1} M", p.instructions / 1e6);
            [millions, number(p.cycles_per_instruction), format!("{} MHz", p.clock_hz / 1_000_000)]
        },
    );
    let time = target.predicted_ms.map_or_else(dash, |ms| format!("<b>{}</b>", milliseconds(ms)));
    let name = escape(&target.name);
    let (flash, ram) = (room(target.flash), room(target.ram));
    vec![name, target.table.clone(), flash, ram, instructions, cycles, clock, time]
}

/// What was measured on this computer.
fn here(found: &Found<'_>) -> String {
    let Some(best) = found.measured.iter().min_by(|a, b| a.median_ms.total_cmp(&b.median_ms)) else {
        return String::new();
    };
    let slowest = found.measured.iter().map(|m| m.median_ms).fold(0.0, f64::max);
    let rows: Vec<Vec<String>> = found
        .measured
        .iter()
        .map(|m| {
            let [least, median] = [m.min_ms, m.median_ms].map(milliseconds);
            vec![
                m.table.clone(),
                m.layout.clone(),
                bar("int8", m.median_ms / slowest),
                median,
                least,
                m.runs.to_string(),
            ]
        })
        .collect();
    let over =
        best.tokens.map_or_else(String::new, |tokens| format!(", over texts of {tokens} tokens, as long as it takes"));
    let mut out = format!("<h3>On the machine that wrote this page{over}</h3>\n");
    out += &table(&["table", "layout", "median", "", "least", "runs"], &rows);
    let ops = found.record.memory.first().map_or(&[][..], |memory| &memory.ops);
    if !best.ops_ms.is_empty() && ops.len() == best.ops_ms.len() {
        out += &op_by_op(best, ops);
    }
    out
}

fn op_by_op(measured: &Measured, ops: &[OpRecord]) -> String {
    let total: f64 = measured.ops_ms.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let mut kinds: BTreeMap<&str, (usize, f64)> = BTreeMap::new();
    for (op, &ms) in ops.iter().zip(&measured.ops_ms) {
        let kind = kinds.entry(&op.kind).or_default();
        *kind = (kind.0 + 1, kind.1 + ms);
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
    let row = |(kind, (count, ms)): &(&str, (usize, f64))| {
        let share = format!("{:.1} %", 100.0 * ms / total);
        vec![escape(kind), count.to_string(), bar("int8", ms / total), milliseconds(*ms), share]
    };
    let by_kind: Vec<Vec<String>> = kinds.iter().map(row).collect();
    let longest = measured.ops_ms.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let each = ops.iter().zip(&measured.ops_ms).enumerate().map(|(i, (op, &ms))| {
        let (name, kind) = (escape(&op.name), escape(&op.kind));
        vec![i.to_string(), name, kind, bar("int8", ms / longest), milliseconds(ms)]
    });
    format!(
        "<h3>Where the time goes, on table {}</h3>\n{}{}",
        escape(&measured.table),
        table(&["kind of op", "ops", "share of a run", "", ""], &by_kind),
        listed(&format!("All {} ops", ops.len()), &["", "op", "kind", "median time", ""], &each.collect::<Vec<_>>())
    )
}

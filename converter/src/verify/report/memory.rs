//! The arena over time, as a picture: ops from left to right, bytes from bottom to top, a box for each tensor.

use super::Found;
use super::page::{Section, bytes, escape, figure, folded, grouped, legend};
use super::svg::{self, put, rect};
use crate::verify::record::{Block, Memory, Role};

/// Room for numbers of bytes, and for names of ops.
const LEFT: f64 = 64.0;
const TOP: f64 = 10.0;
const PLOT: f64 = 300.0;

pub(super) fn section(found: &Found<'_>) -> Option<Section> {
    let (first, others) = found.record.memory.split_first()?;
    let lead = "Where each tensor lies in the arena, and for how long: ops run from left to right, bytes count upwards. A result \
                that takes over the bytes of an operand begins in the middle of its op. All places are fixed before a chip sees \
                the model."
        .to_owned();
    let mut body = one(first);
    for memory in others {
        body += &format!("<details><summary>{}</summary>\n{}</details>\n", escape(&memory.file), one(memory));
    }
    Some(Section { id: "memory", title: "Memory of a run", lead, body })
}

fn one(memory: &Memory) -> String {
    let keys =
        legend(&[("input", "input"), ("tensor", "between ops"), ("output", "output"), ("scratch", "working memory")]);
    let caption = format!(
        "{keys}{}: {} of arena; in the worst op {} are in use, and no arena for this order could be smaller than that.",
        escape(&memory.file),
        bytes(memory.arena_bytes),
        bytes(memory.live_bytes)
    );
    let rows: Vec<Vec<String>> = memory
        .blocks
        .iter()
        .map(|block| {
            let (offset, size) = (grouped(block.offset as u64), grouped(block.bytes as u64));
            vec![
                escape(&block.name),
                role(block).to_owned(),
                offset,
                size,
                block.first.to_string(),
                block.last.to_string(),
            ]
        })
        .collect();
    let heading = ["tensor", "role", "offset", "bytes", "from op", "to op"];
    figure(&picture(memory), &caption) + &folded(&format!("All {} places", rows.len()), &heading, &rows)
}

fn role(block: &Block) -> &'static str {
    match block.role {
        Role::Input => "input",
        Role::Tensor => "tensor",
        Role::Output => "output",
        Role::Scratch => "scratch",
    }
}

fn picture(memory: &Memory) -> String {
    let count = memory.ops.len().max(1);
    let step = (850.0 / count as f64).clamp(12.0, 84.0);
    let arena = memory.arena_bytes.max(1) as f64;
    let width = LEFT + step * count as f64 + 8.0;
    let names = 12.0 + 5.6 * memory.ops.iter().map(|op| op.kind.chars().count()).max().unwrap_or(0) as f64;
    let floor = TOP + PLOT;
    let mut out = svg::open("Memory map of the arena", width, floor + names + 14.0, "map");
    out = out.replacen("<svg ", &format!("<svg style=\"min-width:{:.0}px\" ", width.min(920.0)), 1);
    let y = |at: f64| floor - PLOT * at / arena;
    let x = |at: f64| LEFT + step * at;
    for i in 0..=4 {
        let at = arena * f64::from(i) / 4.0;
        svg::line(&mut out, "grid", [LEFT, y(at), width - 8.0, y(at)]);
        put(&mut out, "end", [LEFT - 6.0, y(at) + 4.0], &bytes(at as u64));
    }
    for (i, block) in memory.blocks.iter().enumerate() {
        let overlaps =
            |other: &Block| other.offset < block.offset + block.bytes && block.offset < other.offset + other.bytes;
        let taken_from = memory.blocks[..i].iter().any(|other| overlaps(other) && other.last == block.first);
        let taken_over = memory.blocks[i + 1..].iter().any(|other| overlaps(other) && other.first == block.last);
        let from = block.first as f64 + if taken_from { 0.5 } else { 0.0 };
        let to = block.last as f64 + if taken_over { 0.5 } else { 1.0 };
        let (top, height) = (y((block.offset + block.bytes) as f64), PLOT * block.bytes as f64 / arena);
        let place = [x(from) + 0.6, top + 0.6, step * (to - from) - 1.2, (height - 1.2).max(0.8)];
        let title = format!(
            "{}: {} at {}, op {} to {}",
            block.name,
            bytes(block.bytes as u64),
            grouped(block.offset as u64),
            block.first,
            block.last
        );
        rect(&mut out, &format!("block {}", role(block)), place, &title);
        let letters = (place[2] - 6.0) / 6.2;
        if block.role != Role::Scratch && height >= 14.0 {
            let short = escape(ending(&block.name, letters.max(0.0) as usize));
            put(&mut out, "on", [place[0] + 4.0, top + height / 2.0 + 4.0], &short);
        }
    }
    for (i, op) in memory.ops.iter().enumerate() {
        let (x, y) = (x(i as f64 + 0.5) + 4.0, floor + 8.0);
        let (kind, name) = (escape(&op.kind), escape(&op.name));
        out += &format!(
            "<text class=\"end\" transform=\"translate({x:.1} {y:.1}) rotate(-90)\"><title>op {i}: {name}</title>{kind}</text>"
        );
    }
    svg::line(&mut out, "axis", [LEFT, floor, width - 8.0, floor]);
    out + "</svg>"
}

/// As many of the last parts of a name, which are between points, as have room for so many letters.
fn ending(name: &str, room: usize) -> &str {
    let begins = std::iter::once(0).chain(name.match_indices('.').map(|(at, _)| at + 1));
    begins.map(|at| &name[at..]).find(|part| part.chars().count() <= room).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::record::OpRecord;

    #[test]
    fn a_result_in_place_begins_in_the_middle_of_its_op() {
        let block =
            |name: &str, role, first, last| Block { name: name.into(), role, offset: 0, bytes: 64, first, last };
        let op = |name: &str| OpRecord { name: name.into(), kind: "lut".into() };
        let memory = Memory {
            file: "f.lmb".into(),
            arena_bytes: 64,
            live_bytes: 64,
            ops: vec![op("a"), op("b")],
            blocks: vec![block("x<", Role::Input, 0, 0), block("y", Role::Output, 0, 1)],
        };
        let svg = picture(&memory);
        // Two ops of 84 units: the input has half of the first, the output the rest.
        assert!(svg.contains("class=\"block input\" x=\"64.6\" y=\"10.6\" width=\"40.8\""), "{svg}");
        assert!(svg.contains("class=\"block output\" x=\"106.6\" y=\"10.6\" width=\"124.8\""), "{svg}");
        let parts = [3, 9, 13].map(|room| ending("layer.0.ffn.lin2", room));
        assert_eq!(parts, ["", "ffn.lin2", "0.ffn.lin2"]);
        assert!(svg.contains("x&lt;: 64 B at 0, op 0 to 0"));
    }
}

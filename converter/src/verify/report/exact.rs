//! The proof of equal bytes, and what could not be run here.

use super::Found;
use super::page::{Section, escape, folded, grouped};

pub(super) fn section(found: &Found<'_>) -> Section {
    let (exact, kind) = (&found.record.exact, found.record.data.input.kind());
    let lead = format!(
        "Every row gave the same bytes for the same {kind}. Digest of all outputs for the {} test {kind}: <code>{}</code>; any \
         other device that runs the file must find the same.",
        grouped(exact.n as u64),
        escape(&exact.digest)
    );
    let rows: Vec<Vec<String>> = exact
        .tables
        .iter()
        .map(|run| vec![escape(&run.file), run.table.clone(), run.layout.clone(), grouped(run.n as u64)])
        .collect();
    let not_run = &found.record.not_run;
    let missing = if not_run.is_empty() {
        "<p>Nothing was left out.</p>\n".to_owned()
    } else {
        format!("<ul>{}</ul>\n", not_run.iter().map(|item| format!("<li>{}</li>", escape(item))).collect::<String>())
    };
    let body = folded(&format!("All {} runs", rows.len()), &["file", "table", "layout", kind.name()], &rows)
        + "<h3>Not run here</h3>\n"
        + &missing;
    Section { id: "exact", title: "Equal bytes", lead, body }
}

//! The stages: what each gave, how long it took, and the hashes by which it can be known again.

use super::Found;
use super::page::{Section, duration, escape, hash};

pub(super) fn section(found: &Found<'_>) -> Section {
    let total: f64 = found.times.iter().filter_map(|stage| stage.seconds).sum();
    let stages: String = found
        .times
        .iter()
        .map(|stage| {
            let time = match (stage.seconds, stage.reused) {
                (Some(seconds), false) => duration(seconds),
                (Some(seconds), true) => format!("{}, earlier", duration(seconds)),
                (None, _) => "earlier".to_owned(),
            };
            let hashes = found.record.artifacts.iter().filter(|artifact| artifact.stage == stage.stage);
            let hashes: String = hashes
                .map(|artifact| format!("<li>{} {}</li>", escape(&artifact.what), hash(&artifact.sha256)))
                .collect();
            format!(
                "<li><b>{}</b><span class=\"time\">{time}</span><p>{}</p><ul class=\"hashes\">{hashes}</ul></li>\n",
                escape(&stage.stage),
                escape(&stage.result)
            )
        })
        .collect();
    let lead = format!(
        "Every stage reads only what the former ones made and its own settings, so equal hashes mean equal results. Times \
         are of the machine that did the work, interruptions left out; together {}.",
        duration(total)
    );
    Section { id: "pipeline", title: "Pipeline", lead, body: format!("<ol class=\"stages\">\n{stages}</ol>\n") }
}

//! Ways to quantize that were tried, until one was good enough.

use super::Found;
use super::page::{Section, bar, decibels, escape, grouped, percent, table};

pub(super) fn section(found: &Found<'_>) -> Option<Section> {
    let attempts = &found.record.attempts;
    let first = attempts.first()?;
    let lead = format!(
        "From cheap to dear, until one cost no more accuracy than the recipe allows. Judged on {} {} of the training part, \
         never on the test part: what they cost there may differ.",
        grouped(first.n as u64),
        found.record.data.input.kind()
    );
    let most = attempts.iter().map(|attempt| attempt.drop).fold(f64::MIN_POSITIVE, f64::max);
    let row = |attempt: &crate::verify::record::Attempt| {
        let verdict =
            if attempt.met { "<span class=\"met\">met</span>" } else { "<span class=\"missed\">missed</span>" };
        vec![
            escape(&attempt.name),
            bar(if attempt.met { "int8" } else { "wrong" }, attempt.drop / most),
            format!("{:.2} points", 100.0 * attempt.drop).replace('-', "−"),
            percent(attempt.agreement),
            decibels(attempt.snr_db),
            verdict.to_owned(),
        ]
    };
    let heading = ["settings", "accuracy lost", "", "agrees with float", "outputs", "bar"];
    let body = table(&heading, &attempts.iter().map(row).collect::<Vec<_>>());
    Some(Section { id: "attempts", title: "What was tried", lead, body })
}

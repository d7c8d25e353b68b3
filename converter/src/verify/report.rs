//! The one document that a person reads: a page of HTML without anything outside it.

mod accuracy;
mod attempts;
mod calibration;
mod confusion;
mod exact;
mod examples;
mod layers;
mod memory;
mod page;
mod pipeline;
mod svg;
mod targets;
mod training;

use super::record::{InputRecord, Measured, Record, StageTime};
use crate::data::Set;
use crate::verify::accuracy::wilson;
use page::{Section, bytes, escape, grouped, interval, milliseconds, number, percent, table};

const STYLE: &str = include_str!("report/style.css");

/// A page that may load nothing, wherever it is opened.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

/// All that a report tells.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// What was found about the result.
    pub record: &'a Record,
    /// Times of runs on this computer.
    pub measured: &'a [Measured],
    /// Times of stages.
    pub times: &'a [StageTime],
    /// The test part, for the examples that are shown.
    pub test: &'a Set,
}

/// The report as a page.
pub fn html(found: &Found<'_>) -> String {
    let sections: Vec<Section> = [
        Some(accuracy::section(found)),
        Some(examples::evenly(found)),
        Some(examples::furthest(found)),
        Some(confusion::section(found)),
        Some(calibration::section(found)),
        attempts::section(found),
        layers::section(found),
        memory::section(found),
        Some(targets::flash(found)),
        Some(targets::latency(found)),
        training::section(found),
        Some(exact::section(found)),
        Some(pipeline::section(found)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let record = found.record;
    let name = escape(&record.name);
    let link = |section: &Section| format!("<a href=\"#{0}\">{0}</a>", section.id);
    let links: String = sections.iter().map(link).collect();
    let sections: String = sections.iter().map(Section::html).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{name}</title>\n<style>{STYLE}</style></head>\n<body>\n\
         <header><p class=\"kicker\">Limbeck report</p><h1>{name}</h1><p class=\"lead\">{}</p></header>\n{}{}\
         <nav>{links}</nav>\n<main>\n{sections}</main>\n\
         <footer>limbeck {}, integer contract {}</footer>\n</body></html>\n",
        summary(record),
        tiles(found),
        verdict(record),
        escape(&record.limbeck),
        record.contract
    )
}

fn summary(record: &Record) -> String {
    let data = &record.data;
    let input = match data.input {
        InputRecord::Image([height, width, _]) => format!("{height} × {width} pixels"),
        InputRecord::Text(text) => format!(
            "up to {} tokens out of {}, {} of the test texts cut off",
            text.tokens,
            grouped(text.vocabulary as u64),
            text.truncated_test
        ),
    };
    format!(
        "{} classes, {input}, {} {} to learn from, {} to be judged on ({})",
        data.classes.len(),
        grouped(data.train as u64),
        data.input.kind(),
        grouped(data.test as u64),
        escape(&data.source)
    )
}

/// The numbers that one looks for first.
fn tiles(found: &Found<'_>) -> String {
    let record = found.record;
    let tile = |class: &str, name: &str, value: String, note: String| {
        format!("<div class=\"tile {class}\"><span>{name}</span><b>{value}</b><small>{note}</small></div>")
    };
    let mut all = String::from("<div class=\"tiles\">\n");
    for (class, _, scores, _) in accuracy::networks(found) {
        let name = if class == "teacher" { "teacher" } else { &format!("{class} student") };
        all += &tile(class, name, percent(scores.accuracy), interval(wilson(scores.accuracy, scores.n)));
    }
    if let Some(model) = record.models.first() {
        all += &tile(
            "",
            "model file",
            bytes(model.bytes),
            format!("{} parameters", grouped(record.student.parameters as u64)),
        );
        all += &tile("", "arena", bytes(model.arena_bytes), "working memory of a run".to_owned());
    }
    if let Some(best) = found.measured.iter().min_by(|a, b| a.median_ms.total_cmp(&b.median_ms)) {
        all += &tile("", "a run here", milliseconds(best.median_ms), format!("median, table {}", escape(&best.table)));
    }
    for target in &record.targets {
        if let Some(ms) = target.predicted_ms {
            all += &tile("", "a run, predicted", milliseconds(ms), escape(&target.name));
        }
    }
    all + "</div>\n"
}

fn verdict(record: &Record) -> String {
    if record.bars.is_empty() {
        return "<div class=\"verdict\"><p>The recipe sets no bars.</p></div>\n".to_owned();
    }
    let met = record.bars.iter().all(|bar| bar.met);
    let (class, text) =
        if met { ("good", "All bars of the recipe are met.") } else { ("bad", "Bars of the recipe are missed.") };
    let whole = |value: f64| value.fract() == 0.0 && value >= 1000.0;
    let amount = |value: f64| if whole(value) { grouped(value as u64) } else { number(value) };
    let rows: Vec<Vec<String>> = record
        .bars
        .iter()
        .map(|bar| {
            let mark = if bar.met { "<span class=\"met\">met</span>" } else { "<span class=\"missed\">missed</span>" };
            vec![escape(&bar.name), amount(bar.bound), amount(bar.reached), mark.to_owned()]
        })
        .collect();
    format!("<div class=\"verdict {class}\"><p>{text}</p>{}</div>\n", table(&["bar", "bound", "reached", ""], &rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Part, generate};
    use crate::verify::accuracy::score;
    use crate::verify::record::{Agreement, Attempt, Bar, DataRecord, Exact, Network};

    fn record() -> Record {
        let scores = score(&[1.0, 0.0, 0.0, 1.0], &[0, 1], 2);
        Record {
            name: "<b>&".into(),
            limbeck: "0.1.0".into(),
            contract: 1,
            data: DataRecord {
                source: "generated".into(),
                classes: vec!["a".into(), "b".into()],
                input: InputRecord::Image([8, 8, 3]),
                train: 10,
                test: 2,
            },
            teacher: None,
            student: Network { name: "resnet8".into(), parameters: 7, scores: scores.clone() },
            int8: scores,
            compared: Vec::new(),
            agreement: Agreement { student_teacher: None, int8_student: 1.0 },
            layers: Vec::new(),
            attempts: vec![Attempt {
                name: "ranges by <mse> alone".into(),
                n: 90,
                drop: 0.0125,
                agreement: 0.9,
                snr_db: Some(20.0),
                met: false,
            }],
            trainings: Vec::new(),
            artifacts: Vec::new(),
            memory: Vec::new(),
            examples: Vec::new(),
            disagreements: Vec::new(),
            models: Vec::new(),
            targets: Vec::new(),
            exact: Exact { n: 2, tables: Vec::new(), digest: "0123".into() },
            bars: vec![Bar { name: "int8_accuracy".into(), bound: 0.9, reached: 0.5, met: false }],
            not_run: vec!["GPU: this build has none".into()],
        }
    }

    #[test]
    fn the_page_says_what_was_missed_and_what_was_not_run() {
        let test = Set::Images(generate(2, Part::Test, 1));
        let page = html(&Found { record: &record(), measured: &[], times: &[], test: &test });
        for text in [
            "Bars of the recipe are missed",
            "GPU: this build has none",
            "&lt;b&gt;&amp;",
            "100.00 %",
            "by &lt;mse&gt; alone",
            "1.25 points",
        ] {
            assert!(page.contains(text), "{text}");
        }
        assert!(!page.contains("<b>&"), "names are escaped");
        assert!(!page.contains("://"), "nothing is outside of the page");
    }

    #[test]
    fn a_record_survives_json() {
        let text = serde_json::to_string(&record()).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record());
    }

    #[test]
    fn records_of_older_programs_are_read() {
        let mut value = serde_json::to_value(record()).unwrap();
        for field in ["attempts", "artifacts", "memory", "examples", "disagreements"] {
            value.as_object_mut().unwrap().remove(field);
        }
        let old = Record { attempts: Vec::new(), ..record() };
        assert_eq!(serde_json::from_value::<Record>(value).unwrap(), old);
    }
}

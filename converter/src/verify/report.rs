//! The one document that a person reads: a page of HTML without anything outside it.

use super::accuracy::Scores;
use super::plots;
use super::record::{Exact, InputRecord, Layer, Measured, Network, Record};
use crate::data::Kind;
use std::fmt::Write;

/// Classes that are listed by name.
const HARDEST: usize = 10;

const STYLE: &str = include_str!("report.css");

/// The record and what this machine measured, as a page.
pub fn html(record: &Record, measured: &[Measured]) -> String {
    let mut page = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut page, record, measured);
    page
}

fn write_page(page: &mut String, record: &Record, measured: &[Measured]) -> std::fmt::Result {
    let name = escape(&record.name);
    writeln!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{name}</title>\n<style>{STYLE}</style></head>\n<body>"
    )?;
    writeln!(page, "<header><h1>{name}</h1><p>{}</p></header>", summary(record))?;
    verdict(page, record)?;
    networks(page, record)?;
    exact(page, record)?;
    targets(page, record, measured)?;
    if !record.layers.is_empty() {
        let note = "Signal over noise of each layer's int8 output against the float one, with the errors of all layers before it.";
        figure(page, "What quantization does, layer by layer", note, &plots::snr(&record.layers))?;
    }
    sensitivity(page, record)?;
    let kind = record.data.input.kind();
    let note = format!(
        "Test {kind} by true class (down) and predicted class (across); shades are shares of a row, on a square-root scale."
    );
    figure(
        page,
        "Confusion of the int8 student",
        &note,
        &plots::confusion(&record.int8.confusion, &record.data.classes),
    )?;
    classes(page, record)?;
    let mut series = Vec::new();
    if let Some(teacher) = &record.teacher {
        series.push(("teacher", &teacher.scores.reliability[..]));
    }
    series.push(("float student", &record.student.scores.reliability[..]));
    series.push(("int8 student", &record.int8.reliability[..]));
    let note = "On the diagonal, confidence equals accuracy; below it a network is too sure of itself.";
    figure(page, "Reliability", note, &plots::reliability(&series))?;
    for run in record.trainings.iter().filter(|run| !run.loss.is_empty()) {
        let changed = if kind == Kind::Images { "changed images" } else { "the network as it was then" };
        let note = format!("{} epochs. Accuracy while learning is that of {changed}.", run.loss.len());
        figure(page, &format!("Training of {}", run.name), &note, &plots::training(run))?;
    }
    writeln!(page, "<section><h2>Not run here</h2>")?;
    list(page, &record.not_run, "Nothing was left out.")?;
    writeln!(
        page,
        "</section>\n<footer>limbeck {}, integer contract {}</footer></body></html>",
        record.limbeck, record.contract
    )
}

fn summary(record: &Record) -> String {
    let data = &record.data;
    let input = match data.input {
        InputRecord::Image([height, width, _]) => format!("{height} x {width} pixels"),
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

fn verdict(page: &mut String, record: &Record) -> std::fmt::Result {
    if record.bars.is_empty() {
        return writeln!(page, "<p class=\"verdict\">The recipe sets no bars.</p>");
    }
    let met = record.bars.iter().all(|bar| bar.met);
    let (class, text) =
        if met { ("good", "All bars of the recipe are met.") } else { ("bad", "Bars of the recipe are missed.") };
    writeln!(page, "<p class=\"verdict {class}\">{text}</p>")?;
    let rows = record.bars.iter().map(|bar| {
        vec![
            escape(&bar.name),
            number(bar.bound),
            number(bar.reached),
            if bar.met { "met" } else { "missed" }.to_owned(),
        ]
    });
    table(page, &["bar", "bound", "reached", ""], rows)
}

fn networks(page: &mut String, record: &Record) -> std::fmt::Result {
    writeln!(page, "<section><h2>Teacher, student, int8</h2>")?;
    let row = |role: &str, network: &Network, scores: &Scores, agreement: Option<f64>| {
        vec![
            role.to_owned(),
            escape(&network.name),
            grouped(network.parameters as u64),
            percent(scores.accuracy),
            format!("{:.4}", scores.cross_entropy),
            percent(scores.calibration_error),
            agreement.map_or_else(|| "-".to_owned(), percent),
        ]
    };
    let mut rows = Vec::new();
    if let Some(teacher) = &record.teacher {
        rows.push(row("teacher", teacher, &teacher.scores, None));
    }
    let student = &record.student;
    rows.push(row("student, float", student, &student.scores, record.agreement.student_teacher));
    rows.push(row("student, int8", student, &record.int8, Some(record.agreement.int8_student)));
    let heading =
        ["", "network", "parameters", "accuracy", "cross entropy", "calibration error", "agrees with the row above"];
    table(page, &heading, rows.into_iter())?;
    let loss = 100.0 * (student.scores.accuracy - record.int8.accuracy);
    writeln!(page, "<p>Quantization costs {loss:.2} points of accuracy.</p></section>")
}

/// What 8 bits instead of 16 would cost, tensor by tensor, the most sensitive first.
fn sensitivity(page: &mut String, record: &Record) -> std::fmt::Result {
    let mut layers: Vec<(f64, &Layer)> =
        record.layers.iter().filter_map(|layer| layer.alone_db.map(|alone_db| (alone_db, layer))).collect();
    if layers.is_empty() {
        return Ok(());
    }
    layers.sort_by(|a, b| a.0.total_cmp(&b.0));
    writeln!(
        page,
        "<section><h2>Bits between layers</h2><p>Signal over noise of the outputs if this tensor alone has 8 bits, \
         and how many it got.</p>"
    )?;
    let rows = layers.iter().map(|(alone_db, layer)| {
        vec![escape(&layer.name), layer.op.clone(), format!("{alone_db:.2} dB"), layer.bits.to_string()]
    });
    table(page, &["tensor", "op", "alone in 8 bits", "bits"], rows)?;
    writeln!(page, "</section>")
}

fn exact(page: &mut String, record: &Record) -> std::fmt::Result {
    let (Exact { n, tables, digest }, kind) = (&record.exact, record.data.input.kind());
    writeln!(
        page,
        "<section><h2>Equal bytes</h2><p>Every row gave the same bytes for the same {kind}. Digest of all outputs for the {} test {kind}: <code>{digest}</code>.</p>",
        grouped(*n as u64)
    )?;
    let rows =
        tables.iter().map(|run| vec![escape(&run.file), run.table.clone(), run.layout.clone(), grouped(run.n as u64)]);
    table(page, &["file", "table", "layout", kind.name()], rows)?;
    writeln!(page, "</section>")
}

fn targets(page: &mut String, record: &Record, measured: &[Measured]) -> std::fmt::Result {
    writeln!(page, "<section><h2>Files and targets</h2>")?;
    let models = record.models.iter().map(|model| {
        let hash = format!("<code>{}</code>", &model.sha256[..model.sha256.len().min(16)]);
        vec![escape(&model.file), model.layout.clone(), grouped(model.bytes), grouped(model.arena_bytes), hash]
    });
    table(page, &["file", "layout", "bytes", "arena bytes", "SHA-256"], models)?;
    let room = |room: Option<[u64; 2]>| {
        room.map_or("-".to_owned(), |[used, most]| format!("{} of {}", grouped(used), grouped(most)))
    };
    let rows = record.targets.iter().map(|target| {
        let time = target.predicted_ms.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
        vec![
            target.name.clone(),
            target.table.clone(),
            room(target.flash),
            room(target.ram),
            time,
            escape(&target.file),
        ]
    });
    table(page, &["target", "table", "flash", "RAM", "predicted time", "file"], rows)?;
    if !measured.is_empty() {
        let over = measured[0].tokens.map_or_else(String::new, |tokens| format!(", over texts of {tokens} tokens"));
        writeln!(page, "<p>Measured on the machine that wrote this page, one thread{over}:</p>")?;
        let rows = measured.iter().map(|m| {
            let [min, median] = [m.min_ms, m.median_ms].map(|ms| format!("{ms:.4} ms"));
            vec![m.table.clone(), m.layout.clone(), min, median, m.runs.to_string()]
        });
        table(page, &["table", "layout", "least", "median", "runs"], rows)?;
    }
    writeln!(page, "</section>")
}

/// What the int8 student finds hard: each class with what it is taken for, the hardest first.
fn classes(page: &mut String, record: &Record) -> std::fmt::Result {
    let names = &record.data.classes;
    let name = |class: usize| names.get(class).map_or_else(|| class.to_string(), |name| escape(name));
    let right = |class: usize, row: &[u32]| {
        f64::from(row.get(class).copied().unwrap_or(0)) / f64::from(row.iter().sum::<u32>().max(1))
    };
    let seen = |row: &&Vec<u32>| row.iter().any(|&count| count > 0);
    let rows = record.int8.confusion.iter().enumerate().filter(|(_, row)| seen(row));
    let mut rows: Vec<(f64, usize, &Vec<u32>)> = rows.map(|(class, row)| (right(class, row), class, row)).collect();
    rows.sort_by(|a, b| a.0.total_cmp(&b.0));
    let cells = rows.iter().take(HARDEST).map(|&(right, class, row)| {
        let mut wrong: Vec<(usize, u32)> =
            row.iter().copied().enumerate().filter(|&(i, n)| i != class && n > 0).collect();
        wrong.sort_by_key(|&(i, count)| (std::cmp::Reverse(count), i));
        let taken_for: Vec<String> = wrong.iter().take(3).map(|&(i, n)| format!("{} ({n})", name(i))).collect();
        let examples = grouped(row.iter().map(|&count| u64::from(count)).sum());
        vec![name(class), examples, percent(right), taken_for.join(", ")]
    });
    writeln!(page, "<section><h2>The hardest classes</h2>")?;
    table(page, &["class", record.data.input.kind().name(), "right", "most often taken for"], cells)?;
    writeln!(page, "</section>")
}

/// Rows under a heading; columns of numbers are aligned to the right.
fn table(page: &mut String, heading: &[&str], rows: impl Iterator<Item = Vec<String>>) -> std::fmt::Result {
    let rows: Vec<Vec<String>> = rows.collect();
    let starts_number = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let class = |column: usize| {
        let numeric = !rows.is_empty() && rows.iter().all(|row| row.get(column).is_some_and(starts_number));
        if numeric { " class=\"number\"" } else { "" }
    };
    let line = |tag: &str, cells: &mut dyn Iterator<Item = &str>| -> String {
        cells.enumerate().map(|(column, cell)| format!("<{tag}{}>{cell}</{tag}>", class(column))).collect()
    };
    writeln!(page, "<table><thead><tr>{}</tr></thead><tbody>", line("th", &mut heading.iter().copied()))?;
    for row in &rows {
        writeln!(page, "<tr>{}</tr>", line("td", &mut row.iter().map(String::as_str)))?;
    }
    writeln!(page, "</tbody></table>")
}

fn figure(page: &mut String, title: &str, note: &str, svg: &str) -> std::fmt::Result {
    let title = escape(title);
    let svg = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{title}\" "), 1);
    writeln!(page, "<section><h2>{title}</h2><figure>{svg}<figcaption>{note}</figcaption></figure></section>")
}

fn list(page: &mut String, items: &[String], none: &str) -> std::fmt::Result {
    if items.is_empty() {
        return writeln!(page, "<p>{none}</p>");
    }
    writeln!(page, "<ul>{}</ul>", items.iter().map(|item| format!("<li>{}</li>", escape(item))).collect::<String>())
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A number with a narrow space between groups of three digits.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let group = |(i, digit): (usize, char)| {
        let space = (i > 0 && (digits.len() - i).is_multiple_of(3)).then_some('\u{202f}');
        space.into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(group).collect()
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.4}") }
}

/// Names come from files and recipes; none of them may become markup.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::accuracy::score;
    use crate::verify::record::{Agreement, Bar, DataRecord};

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
            agreement: Agreement { student_teacher: None, int8_student: 1.0 },
            layers: Vec::new(),
            trainings: Vec::new(),
            models: Vec::new(),
            targets: Vec::new(),
            exact: Exact { n: 2, tables: Vec::new(), digest: "0123".into() },
            bars: vec![Bar { name: "int8_accuracy".into(), bound: 0.9, reached: 0.5, met: false }],
            not_run: vec!["GPU: this build has none".into()],
        }
    }

    #[test]
    fn the_page_says_what_was_missed_and_what_was_not_run() {
        let page = html(&record(), &[]);
        for text in ["Bars of the recipe are missed", "GPU: this build has none", "&lt;b&gt;&amp;", "100.00 %"] {
            assert!(page.contains(text), "{text}");
        }
        assert!(!page.contains("<b>"), "names are escaped");
        assert!(
            !page.contains("http://") || page.matches("http://").count() == page.matches("http://www.w3.org").count()
        );
    }

    #[test]
    fn the_most_sensitive_tensors_come_first() {
        let mut record = record();
        let layer =
            |name: &str, bits, alone_db| Layer { name: name.into(), op: "add16".into(), snr_db: None, bits, alone_db };
        record.layers = vec![layer("early", 8, Some(31.0)), layer("late", 16, Some(12.0)), layer("plain", 8, None)];
        let page = html(&record, &[]);
        let section = page.split("Bits between layers").nth(1).unwrap().split("</section>").next().unwrap();
        assert!(section.find("late") < section.find("early") && section.contains("12.00 dB"), "{section}");
        assert!(!section.contains("plain"), "{section}");
    }

    #[test]
    fn classes_are_listed_hardest_first() {
        let mut record = record();
        record.int8.confusion = vec![vec![3, 1], vec![1, 1]];
        let page = html(&record, &[]);
        let [hard, easy] =
            ["<td>b</td><td class=\"number\">2</td><td class=\"number\">50.00 %</td><td>a (1)</td>", "<td>a</td>"]
                .map(|cells| page.find(cells).unwrap());
        assert!(hard < easy);
    }

    #[test]
    fn digits_are_grouped() {
        let all = [0, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(all, ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
    }

    #[test]
    fn a_record_survives_json() {
        let text = serde_json::to_string(&record()).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record());
    }
}

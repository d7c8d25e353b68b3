//! How good the networks are, and how sure that is.

use super::Found;
use super::page::{Section, escape, figure, grouped, interval, percent, table};
use super::svg::{self, Axis, put};
use crate::verify::accuracy::{Scores, wilson};
use crate::verify::record::Network;
use std::fmt::Write;

/// The networks in order: what each is called here, itself, its scores, and its share of agreement with the one before.
pub(super) fn networks<'a>(found: &Found<'a>) -> Vec<(&'static str, &'a Network, &'a Scores, Option<f64>)> {
    let record = found.record;
    let teacher = record.teacher.as_ref().map(|teacher| ("teacher", teacher, &teacher.scores, None));
    let student = &record.student;
    let float = ("float", student, &student.scores, record.agreement.student_teacher);
    let int8 = ("int8", student, &record.int8, Some(record.agreement.int8_student));
    teacher.into_iter().chain([float, int8]).collect()
}

pub(super) fn section(found: &Found<'_>) -> Section {
    let all = networks(found);
    let role = |class: &str| match class {
        "teacher" => "teacher",
        "float" => "student, float",
        _ => "student, int8",
    };
    let share = |share: f64, n: usize| format!("{}<br><small>{}</small>", percent(share), interval(wilson(share, n)));
    // Those that were made on the way or for comparison agree with no row above.
    let beside = found.record.compared.iter().map(|network| {
        vec![
            "compared".to_owned(),
            escape(&network.name),
            grouped(network.parameters as u64),
            share(network.scores.accuracy, network.scores.n),
            format!("{:.4}", network.scores.cross_entropy),
            "-".to_owned(),
        ]
    });
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|&(class, network, scores, agreement)| {
            vec![
                format!("<span class=\"key {class}\">{}</span>", role(class)),
                escape(&network.name),
                grouped(network.parameters as u64),
                share(scores.accuracy, scores.n),
                format!("{:.4}", scores.cross_entropy),
                agreement.map_or_else(|| "-".to_owned(), |agreement| share(agreement, scores.n)),
            ]
        })
        .chain(beside)
        .collect();
    let heading = ["", "network", "parameters", "accuracy", "cross entropy", "agrees with the row above"];
    let loss = 100.0 * (found.record.student.scores.accuracy - found.record.int8.accuracy);
    let cost = match loss {
        loss if loss > 0.0 => format!("costs <b>{loss:.2} points</b>"),
        loss if loss < 0.0 => format!("gains <b>{:.2} points</b>", -loss),
        _ => "costs <b>nothing</b>".to_owned(),
    };
    let lead = format!(
        "Shares of {} test {} that are classified right. Whiskers are Wilson's 95 % intervals: where on other examples of this \
         kind the share would lie. Quantization {cost} of accuracy on this test part.",
        grouped(found.record.data.test as u64),
        found.record.data.input.kind()
    );
    let caption = "The networks judge the same examples, so small differences between them are surer than the intervals, \
                   which are each network's own.";
    Section {
        id: "accuracy",
        title: "Teacher, student, int8",
        lead,
        body: figure(&whiskers(&all), caption) + &table(&heading, &rows),
    }
}

/// A point and an interval for each network.
fn whiskers(all: &[(&str, &Network, &Scores, Option<f64>)]) -> String {
    const ROW: f64 = 34.0;
    let ends = all.iter().flat_map(|(.., scores, _)| wilson(scores.accuracy, scores.n));
    let (low, high) = ends.fold((1.0f64, 0.0f64), |(low, high), end| (low.min(end), high.max(end)));
    let margin = (high - low).max(0.01) * 0.12;
    let (low, high) = ((low - margin).max(0.0), (high + margin).min(1.0));
    let x = |share: f64| 62.0 + 276.0 * (share - low) / (high - low).max(1e-9);
    let floor = ROW * all.len() as f64 + 6.0;
    let mut out = svg::open("Accuracy with 95 % intervals", 360.0, floor + 26.0, "chart");
    let axis = Axis::new("", 100.0 * low, 100.0 * high, 5);
    for (share, text) in axis.ticks() {
        let at = x(share / 100.0);
        svg::line(&mut out, "grid", [at, 4.0, at, floor]);
        put(&mut out, "middle", [at, floor + 16.0], &format!("{text} %"));
    }
    for (i, (class, _, scores, _)) in all.iter().enumerate() {
        let y = ROW * (i as f64 + 0.5) + 4.0;
        let [from, to] = wilson(scores.accuracy, scores.n).map(x);
        put(&mut out, "name", [2.0, y + 4.0], class);
        svg::line(&mut out, &format!("whisker {class}"), [from, y, to, y]);
        // Writing to a string cannot fail.
        let _ = write!(out, "<circle class=\"dot {class}\" cx=\"{:.1}\" cy=\"{y:.1}\" r=\"5\"/>", x(scores.accuracy));
    }
    out + "</svg>"
}

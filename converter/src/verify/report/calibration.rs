//! Whether networks know what they know: confidence against accuracy.

use super::Found;
use super::accuracy::networks;
use super::page::{Section, figure, legend, percent, table};
use super::svg::{Axis, Mark, chart};

pub(super) fn section(found: &Found<'_>) -> Section {
    let all = networks(found);
    let mut marks = vec![Mark::Line("ideal", vec![(0.0, 0.0), (100.0, 100.0)])];
    for &(class, _, scores, _) in &all {
        let used: Vec<_> = scores.reliability.iter().filter(|bin| bin.n > 0).collect();
        let at = |i: usize| (100.0 * used[i].confidence, 100.0 * used[i].accuracy);
        marks.push(Mark::Line(class, (0..used.len()).map(at).collect()));
        let radius = |i: usize| 1.5 + 7.0 * (used[i].n as f64 / scores.n.max(1) as f64).sqrt();
        marks.push(Mark::Dots(class, (0..used.len()).map(|i| (at(i).0, at(i).1, radius(i))).collect()));
    }
    let axis = |title| Axis::new(title, 0.0, 100.0, 5);
    let picture = chart("Reliability diagram", &axis("confidence (%)"), &axis("accuracy (%)"), &marks);
    let keys: Vec<(&str, &str)> = all.iter().map(|&(class, ..)| (class, class)).collect();
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|&(class, _, scores, _)| {
            let sure: f64 = scores.reliability.iter().map(|bin| bin.n as f64 * bin.confidence).sum();
            let mean = sure / scores.n.max(1) as f64;
            vec![
                format!("<span class=\"key {class}\">{class}</span>"),
                percent(mean),
                percent(scores.accuracy),
                percent(scores.calibration_error),
            ]
        })
        .collect();
    let heading = ["", "mean confidence", "accuracy", "calibration error"];
    let caption = "Each point is a fifteenth of the range of confidence; its area is its share of the examples.";
    let lead = "On the diagonal, confidence equals accuracy; below it a network is too sure of itself, above it not sure \
                enough. The calibration error is the mean distance from it, weighted by examples.";
    let body = format!(
        "<div class=\"pair\">{}<div>{}</div></div>",
        figure(&picture, &(legend(&keys) + caption)),
        table(&heading, &rows)
    );
    Section { id: "calibration", title: "Calibration", lead: lead.to_owned(), body }
}

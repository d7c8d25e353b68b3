//! How the trainings went, epoch by epoch.

use super::Found;
use super::page::{Section, escape, figure, legend};
use super::svg::{Axis, Mark, chart};
use crate::data::Kind;
use crate::verify::record::Training;

pub(super) fn section(found: &Found<'_>) -> Option<Section> {
    let runs: Vec<&Training> = found.record.trainings.iter().filter(|run| !run.loss.is_empty()).collect();
    if runs.is_empty() {
        return None;
    }
    let changed = match found.record.data.input.kind() {
        Kind::Images => "changed images",
        Kind::Texts => "the network as it was then",
    };
    let lead = format!(
        "Accuracy while learning is that of {changed}. Loss is what the training made small; held-out loss is plain cross \
         entropy, so the two need not be near each other."
    );
    let body: String = runs.into_iter().map(one).collect();
    Some(Section { id: "training", title: "Training", lead, body })
}

fn one(run: &Training) -> String {
    let epochs = run.loss.len();
    let count = if epochs == 1 { "1 epoch".to_owned() } else { format!("{epochs} epochs") };
    let both = [("float", "learning"), ("int8", "held out")];
    let keys = legend(if run.held_out.iter().any(Option::is_some) { &both } else { &both[..1] });
    let loss = drawn("Loss", "loss", &run.loss, &run.held_out_loss, None);
    let percents = |values: &[f64]| values.iter().map(|v| 100.0 * v).collect::<Vec<_>>();
    let held_out: Vec<Option<f64>> = run.held_out.iter().map(|v| v.map(|v| 100.0 * v)).collect();
    let accuracy = drawn("Accuracy", "right (%)", &percents(&run.accuracy), &held_out, Some(100.0));
    let rate = drawn("Learning rate", "learning rate", &run.learning_rate, &[], None);
    format!(
        "<h3>{} <small>{count}</small></h3>\n{keys}<div class=\"trio\">{loss}{accuracy}{rate}</div>\n",
        escape(&run.name)
    )
}

/// A curve of what was learned from, and one of what was held out; nothing without values.
fn drawn(label: &str, title: &'static str, learning: &[f64], held_out: &[Option<f64>], most: Option<f64>) -> String {
    let at = |i: usize| (i + 1) as f64;
    let points: Vec<(f64, f64)> = learning.iter().enumerate().map(|(i, &v)| (at(i), v)).collect();
    let kept: Vec<(f64, f64)> = held_out.iter().enumerate().filter_map(|(i, v)| Some((at(i), (*v)?))).collect();
    if points.is_empty() {
        return String::new();
    }
    let top = points.iter().chain(&kept).map(|point| point.1).fold(0.0, f64::max);
    let top = most.unwrap_or(top * 1.05);
    let last = points.len().max(2) as f64;
    let mut marks = vec![Mark::Line("float", points.clone())];
    // A line through one point is not seen.
    if points.len() == 1 {
        marks.push(Mark::Dots("float", vec![(points[0].0, points[0].1, 3.5)]));
    }
    if let &[(x, y)] = &kept[..] {
        marks.push(Mark::Dots("int8", vec![(x, y, 3.5)]));
    }
    marks.push(Mark::Line("int8", kept));
    let x = Axis::new("epoch", 1.0, last, 5);
    let whole = (1..=points.len()).map(|i| (i as f64, i.to_string())).collect();
    let x = if points.len() <= 6 { x.with_ticks(whole) } else { x };
    figure(&chart(label, &x, &Axis::new(title, 0.0, top, 5), &marks), "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_epoch_no_rates_and_no_held_out_part_are_drawn_too() {
        let run = |n: usize| Training {
            name: "<s>".into(),
            loss: vec![0.5; n],
            accuracy: vec![0.5; n],
            held_out: vec![None; n],
            held_out_loss: Vec::new(),
            learning_rate: Vec::new(),
        };
        let html = one(&run(1));
        assert!(html.contains("1 epoch<") && html.contains("&lt;s&gt;") && html.matches("<svg").count() == 2, "{html}");
        let rates = Training { learning_rate: vec![0.1, 0.0], held_out: vec![None, Some(0.4)], ..run(2) };
        assert_eq!(one(&rates).matches("<svg").count(), 3);
    }
}

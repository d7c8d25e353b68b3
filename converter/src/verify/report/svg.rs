//! Charts as SVG text. Colours are classes, so that the page's style gives them for light and for dark; a library would fix them.

use super::page::escape;
use std::fmt::Write;

/// Size of a chart in its own units: as wide as a phone, so that its text stays readable there.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 36.0;

/// One direction of a chart.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    title: &'static str,
    low: f64,
    high: f64,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From `low` to `high`, with about `count` ticks at round numbers.
    pub(super) fn new(title: &'static str, low: f64, high: f64, count: usize) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        let step = round_step((high - low) / count.max(1) as f64);
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let first = (low / step).ceil() as i64;
        let marks = (first..).map(|i| i as f64 * step).take_while(|&at| at <= high + step * 1e-9);
        // A value just below zero is written without its sign.
        let ticks = marks.map(|at| (at, format!("{:.decimals$}", if at.abs() < step * 1e-9 { 0.0 } else { at })));
        Axis { title, low, high, ticks: ticks.collect() }
    }

    /// With other words at other places.
    #[must_use]
    pub(super) fn with_ticks(self, ticks: Vec<(f64, String)>) -> Self {
        Axis { ticks, ..self }
    }

    /// Places and words of the ticks.
    pub(super) fn ticks(&self) -> impl Iterator<Item = (f64, &str)> {
        self.ticks.iter().map(|(at, text)| (*at, text.as_str()))
    }

    fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * self.share(value)
    }

    fn y(&self, value: f64) -> f64 {
        TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - self.share(value))
    }
}

/// The next number of the form 1, 2 or 5 times a power of ten.
fn round_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.max(f64::MIN_POSITIVE).log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= raw * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// What a chart shows.
pub(super) enum Mark {
    /// A line through points.
    Line(&'static str, Vec<(f64, f64)>),
    /// Points with their radius.
    Dots(&'static str, Vec<(f64, f64, f64)>),
    /// From a value to another at each place, so wide, with a word on each.
    Spans(&'static str, f64, Vec<(f64, [f64; 2], String)>),
}

/// Draws marks between two axes.
pub(super) fn chart(label: &str, x: &Axis, y: &Axis, marks: &[Mark]) -> String {
    let mut out = open(label, WIDTH, HEIGHT, "chart");
    let (right, floor) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
    for (at, text) in &y.ticks {
        let (y, text) = (y.y(*at), escape(text));
        line(&mut out, "grid", [LEFT, y, right, y]);
        put(&mut out, "end", [LEFT - 6.0, y + 4.0], &text);
    }
    for (at, text) in &x.ticks {
        put(&mut out, "middle", [x.x(*at), floor + 15.0], &escape(text));
    }
    line(&mut out, "axis", [LEFT, floor, right, floor]);
    put(&mut out, "middle title", [(LEFT + right) / 2.0, HEIGHT - 4.0], x.title);
    let (cx, cy) = (11.0, (TOP + floor) / 2.0);
    let title = y.title;
    // Writing to a string cannot fail, here and below.
    let _ =
        write!(out, "<text class=\"middle title\" transform=\"translate({cx:.1} {cy:.1}) rotate(-90)\">{title}</text>");
    for mark in marks {
        match mark {
            Mark::Line(class, points) => {
                let points: Vec<String> = points.iter().map(|&(a, b)| format!("{:.1},{:.1}", x.x(a), y.y(b))).collect();
                let _ = write!(out, "<polyline class=\"line {class}\" points=\"{}\"/>", points.join(" "));
            }
            Mark::Dots(class, points) => {
                for &(a, b, r) in points {
                    let (a, b) = (x.x(a), y.y(b));
                    let _ = write!(out, "<circle class=\"dot {class}\" cx=\"{a:.1}\" cy=\"{b:.1}\" r=\"{r:.1}\"/>");
                }
            }
            Mark::Spans(class, width, spans) => {
                for (at, [low, high], text) in spans {
                    let (a, b) = (x.x(at - width / 2.0), x.x(at + width / 2.0));
                    let (top, bottom) = (y.y(*high), y.y(*low));
                    rect(&mut out, class, [a, top, (b - a).max(0.8), (bottom - top).max(0.8)], text);
                }
            }
        }
    }
    out + "</svg>"
}

/// Begins a drawing; `label` is for those who cannot see it.
pub(super) fn open(label: &str, width: f64, height: f64, class: &str) -> String {
    format!(
        "<svg class=\"{class}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{}\">",
        escape(label)
    )
}

/// A box with a word that is shown where a pointer rests on it.
pub(super) fn rect(out: &mut String, class: &str, [x, y, width, height]: [f64; 4], title: &str) {
    let title = if title.is_empty() { String::new() } else { format!("<title>{}</title>", escape(title)) };
    let _ = write!(
        out,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\">{title}</rect>"
    );
}

/// Text at a place; `text` is markup.
pub(super) fn put(out: &mut String, class: &str, [x, y]: [f64; 2], text: &str) {
    let _ = write!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
}

/// A straight line.
pub(super) fn line(out: &mut String, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
    let _ = write!(out, "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_at_round_numbers() {
        let ticks = |low, high| Axis::new("", low, high, 5).ticks.into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(ticks(0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(ticks(1.0, 80.0), ["20", "40", "60", "80"]);
        assert_eq!(ticks(-0.3, 0.31), ["-0.2", "0.0", "0.2"]);
        assert_eq!(ticks(2.0, 2.0).first().map(String::as_str), Some("2.0"), "an axis without length");
    }

    #[test]
    fn marks_lie_inside_of_the_axes() {
        let (x, y) = (Axis::new("epoch", 0.0, 10.0, 5), Axis::new("loss", 0.0, 2.0, 5));
        let svg = chart("a <b>", &x, &y, &[Mark::Line("int8", vec![(0.0, 2.0), (10.0, 0.0)])]);
        assert!(svg.contains("points=\"46.0,10.0 348.0,184.0\"") && svg.contains("a &lt;b&gt;"), "{svg}");
        assert!(svg.ends_with("</svg>"));
    }
}

//! What quantization does, layer by layer: noise, ranges, bits, and what was tried against it.

use super::Found;
use super::page::{Section, bar, decibels, escape, figure, legend, listed, number, table};
use super::svg::{Axis, Mark, chart};
use crate::verify::record::Layer;

pub(super) fn section(found: &Found<'_>) -> Option<Section> {
    let layers = &found.record.layers;
    if layers.is_empty() {
        return None;
    }
    let lead = "Signal over noise of each layer's integers against the float network, the errors of all layers before it \
                included; below 10 dB a tenth of the signal is noise. A range is what the integers of a tensor can hold; inside \
                of it, where it is known, what calibration saw. What a layer costs alone is the signal over noise of the outputs if \
                nothing else is rounded: the least is the most sensitive."
        .to_owned();
    let body = format!(
        "<div class=\"pair\">{}{}</div>{}",
        figure(&noise(layers), "Signal over noise, in the order of execution."),
        figure(
            &ranges(layers),
            &(legend(&[("hold", "can be held"), ("int8", "was seen")]) + "On a scale that is logarithmic beyond ± 1.")
        ),
        listed(&format!("All {} layers", layers.len()), &HEADING, &rows(layers))
    ) + &sensitivity(layers);
    Some(Section { id: "layers", title: "Quantization, layer by layer", lead, body })
}

const HEADING: [&str; 9] = ["", "tensor", "op", "bits", "signal over noise", "", "costs alone", "range", "step"];

fn rows(layers: &[Layer]) -> Vec<Vec<String>> {
    let top = layers.iter().filter_map(|layer| layer.snr_db).fold(10.0, f64::max);
    let row = |(i, layer): (usize, &Layer)| {
        let low = layer.snr_db.is_some_and(|snr| snr < 10.0);
        let (range, step) = layer.mapping.as_ref().map_or_else(
            || ("-".to_owned(), "-".to_owned()),
            |mapping| {
                let [low, high] = mapping.range.map(|end| number(f64::from(end)).replace('-', "−"));
                let by = mapping
                    .calibrator
                    .as_ref()
                    .map_or_else(String::new, |name| format!(" <small>{}</small>", escape(name)));
                (format!("{low} … {high}{by}"), number(f64::from(mapping.scale)))
            },
        );
        vec![
            i.to_string(),
            escape(&layer.name),
            escape(&layer.op),
            layer.bits.to_string(),
            bar(if low { "wrong" } else { "int8" }, layer.snr_db.map_or(1.0, |snr| snr / top)),
            decibels(layer.snr_db),
            layer.only_db.map_or_else(|| "-".to_owned(), |only| format!("{only:.1} dB")),
            range,
            step,
        ]
    };
    layers.iter().enumerate().map(row).collect()
}

/// Decibels of each layer, as bars.
fn noise(layers: &[Layer]) -> String {
    let top = layers.iter().filter_map(|layer| layer.snr_db).fold(10.0, f64::max) * 1.05;
    let bars = |low: bool| {
        let chosen =
            layers.iter().enumerate().filter(move |(_, layer)| layer.snr_db.is_some_and(|snr| snr < 10.0) == low);
        let span = |(i, layer): (usize, &Layer)| {
            (i as f64, [0.0, layer.snr_db.unwrap_or(top)], format!("{}: {}", layer.name, decibels(layer.snr_db)))
        };
        chosen.map(span).collect::<Vec<_>>()
    };
    let x = Axis::new("layer", -0.5, layers.len() as f64 - 0.5, 6);
    let marks = [Mark::Spans("fill int8", 0.7, bars(false)), Mark::Spans("fill wrong", 0.7, bars(true))];
    chart("Signal over noise of each layer", &x, &Axis::new("decibels", 0.0, top, 5), &marks)
}

/// What tensors can hold, and what calibration saw.
fn ranges(layers: &[Layer]) -> String {
    // Linear near zero, logarithmic far from it.
    let scale = |value: f64| value.signum() * (1.0 + value.abs()).log10();
    let known = || layers.iter().enumerate().filter_map(|(i, layer)| Some((i, layer, layer.mapping.as_ref()?)));
    let ends = known().flat_map(|(.., mapping)| mapping.range.into_iter().chain(mapping.seen.unwrap_or_default()));
    let most = ends.fold(1f64, |most, end| most.max(f64::from(end).abs()));
    let words = |range: [f32; 2]| range.map(|end| number(f64::from(end))).join(" … ");
    let at = |range: [f32; 2]| range.map(|end| scale(end.into()));
    let hold =
        known().map(|(i, layer, m)| (i as f64, at(m.range), format!("{} can hold {}", layer.name, words(m.range))));
    let seen = known().filter_map(|(i, layer, m)| {
        let seen = m.seen?;
        Some((i as f64, at(seen), format!("{} was {}", layer.name, words(seen))))
    });
    let x = Axis::new("layer", -0.5, layers.len() as f64 - 0.5, 6);
    let end = scale(most) * 1.03;
    let decades = (0..9).map(|power| 10f64.powi(power)).filter(|&value| value <= most.max(1.0));
    let both = decades.flat_map(|value| [-value, value]).chain([0.0]);
    let ticks = both.map(|value| (scale(value), number(value).replace('-', "−"))).collect();
    let y = Axis::new("value", -end, end, 5).with_ticks(ticks);
    let marks = [Mark::Spans("fill hold", 0.8, hold.collect()), Mark::Spans("fill int8", 0.4, seen.collect())];
    chart("Range of each layer", &x, &y, &marks)
}

/// What 8 bits instead of 16 would cost, tensor by tensor, the most sensitive first.
fn sensitivity(layers: &[Layer]) -> String {
    let mut wide: Vec<(f64, &Layer)> =
        layers.iter().filter_map(|layer| layer.alone_db.map(|alone_db| (alone_db, layer))).collect();
    if wide.is_empty() {
        return String::new();
    }
    wide.sort_by(|a, b| a.0.total_cmp(&b.0));
    let most = wide.iter().map(|(alone_db, _)| *alone_db).fold(1.0, f64::max);
    let rows: Vec<Vec<String>> = wide
        .iter()
        .map(|(alone_db, layer)| {
            let bits = layer.bits.to_string();
            vec![
                escape(&layer.name),
                escape(&layer.op),
                bar("int8", alone_db / most),
                format!("{alone_db:.2} dB"),
                bits,
            ]
        })
        .collect();
    let heading = ["tensor", "op", "outputs, if it alone has 8 bits", "", "bits"];
    let note = "<p class=\"lead\">Sums and normalizations of encoders may have 16 bits. Signal over noise of the outputs if \
                this tensor alone has 8, the most sensitive first, and how many bits it got.</p>\n";
    format!("<h3>Bits between layers</h3>\n{note}{}", table(&heading, &rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_sensitive_tensors_come_first() {
        let layer = |name: &str, alone_db| Layer {
            name: name.into(),
            op: "add16".into(),
            snr_db: None,
            bits: 8,
            alone_db,
            only_db: None,
            mapping: None,
        };
        let layers = [layer("plain", None), layer("early", Some(30.0)), layer("late", Some(12.0))];
        let html = sensitivity(&layers);
        assert!(
            html.find("late") < html.find("early") && html.contains("12.00 dB") && !html.contains("plain"),
            "{html}"
        );
        assert!(rows(&layers)[0].contains(&"exact".to_owned()));
    }
}

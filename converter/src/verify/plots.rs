//! The report's plots, as SVG text.

use super::accuracy::Bin;
use super::record::{Layer, Training};
use plotters::coord::Shift;
use plotters::prelude::*;

type Plot<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

const BLUE: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const RED: RGBColor = RGBColor(0xc8, 0x3c, 0x32);
const GREEN: RGBColor = RGBColor(0x2f, 0x8f, 0x5b);
const GREY: RGBColor = RGBColor(0x88, 0x88, 0x88);
const FONT: &str = "sans-serif";

/// Draws on a sheet of this size; a plot that cannot be drawn becomes a line that says so.
fn draw(size: (u32, u32), content: impl FnOnce(&Plot<'_>) -> Drawn) -> String {
    let mut svg = String::new();
    let result = {
        let sheet = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        content(&sheet).and_then(|()| Ok(sheet.present()?))
    };
    match result {
        Ok(()) => svg,
        Err(error) => format!("<p class=\"missing\">This plot could not be drawn: {error}</p>"),
    }
}

/// Loss and accuracy over the epochs of one training.
pub(super) fn training(run: &Training) -> String {
    let epochs = run.loss.len();
    let top = run.loss.iter().copied().fold(0.0, f64::max).max(1e-9) * 1.05;
    draw((560, 280), |sheet| {
        let mut chart = ChartBuilder::on(sheet)
            .margin(8)
            .x_label_area_size(34)
            .y_label_area_size(48)
            .right_y_label_area_size(48)
            .build_cartesian_2d(1f64..(epochs.max(2) as f64), 0f64..top)?
            .set_secondary_coord(1f64..(epochs.max(2) as f64), 0f64..100f64);
        let whole = |x: &f64| format!("{x:.0}");
        chart
            .configure_mesh()
            .x_desc("epoch")
            .y_desc("loss")
            .x_label_formatter(&whole)
            .light_line_style(TRANSPARENT)
            .draw()?;
        chart.configure_secondary_axes().y_desc("accuracy (%)").y_label_formatter(&whole).draw()?;
        let at = |i: usize| (i + 1) as f64;
        chart
            .draw_series(LineSeries::new(run.loss.iter().enumerate().map(|(i, &y)| (at(i), y)), BLUE.stroke_width(2)))?
            .label("loss")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], BLUE.stroke_width(2)));
        chart
            .draw_secondary_series(LineSeries::new(
                run.accuracy.iter().enumerate().map(|(i, &y)| (at(i), 100.0 * y)),
                GREEN.stroke_width(2),
            ))?
            .label("accuracy, training")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], GREEN.stroke_width(2)));
        let held_out: Vec<(f64, f64)> =
            run.held_out.iter().enumerate().filter_map(|(i, y)| Some((at(i), 100.0 * (*y)?))).collect();
        if !held_out.is_empty() {
            chart
                .draw_secondary_series(LineSeries::new(held_out, RED.stroke_width(2)))?
                .label("accuracy, held out")
                .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], RED.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::MiddleRight)
            .background_style(WHITE.mix(0.85))
            .label_font((FONT, 12))
            .draw()?;
        Ok(())
    })
}

/// True classes downwards, predicted ones across; shades are shares of a row.
pub(super) fn confusion(matrix: &[Vec<u32>], classes: &[String]) -> String {
    let n = matrix.len().max(1) as i32;
    let cell = (440 / n).clamp(6, 44);
    let (left, top) = (96, 76);
    draw(((left + n * cell + 16) as u32, (top + n * cell + 12) as u32), |sheet| {
        let label = (FONT, 12).into_font().color(&BLACK);
        for (row, counts) in matrix.iter().enumerate() {
            let total = counts.iter().sum::<u32>().max(1);
            for (column, &count) in counts.iter().enumerate() {
                let (x, y) = (left + column as i32 * cell, top + row as i32 * cell);
                let share = f64::from(count) / f64::from(total);
                let colour = if row == column { BLUE } else { RED };
                // A square root lets rare confusions be seen.
                sheet
                    .draw(&Rectangle::new([(x, y), (x + cell - 1, y + cell - 1)], colour.mix(share.sqrt()).filled()))?;
                if cell >= 24 && count > 0 {
                    let colour = if share > 0.35 { WHITE } else { BLACK };
                    let style = (FONT, 11).into_font().color(&colour);
                    let text = count.to_string();
                    let width = 6 * text.len() as i32;
                    sheet.draw_text(&text, &style, (x + (cell - width) / 2, y + cell / 2 - 6))?;
                }
            }
        }
        if cell >= 12 {
            for (i, class) in classes.iter().enumerate() {
                let name: String = class.chars().take(13).collect();
                let middle = i as i32 * cell + cell / 2;
                sheet.draw_text(&name, &label, (4, top + middle - 6))?;
                let upright = (FONT, 12).into_font().transform(FontTransform::Rotate270).color(&BLACK);
                sheet.draw_text(&name, &upright, (left + middle - 6, top - 6))?;
            }
        }
        Ok(())
    })
}

/// Confidence against accuracy; on the diagonal a network knows what it knows.
pub(super) fn reliability(series: &[(&str, &[Bin])]) -> String {
    draw((400, 340), |sheet| {
        let mut chart = ChartBuilder::on(sheet)
            .margin(8)
            .margin_right(18)
            .x_label_area_size(34)
            .y_label_area_size(48)
            .build_cartesian_2d(0f64..100f64, 0f64..100f64)?;
        let whole = |x: &f64| format!("{x:.0}");
        chart
            .configure_mesh()
            .x_desc("confidence (%)")
            .y_desc("accuracy (%)")
            .x_label_formatter(&whole)
            .y_label_formatter(&whole)
            .light_line_style(TRANSPARENT)
            .draw()?;
        chart.draw_series(LineSeries::new([(0.0, 0.0), (100.0, 100.0)], GREY.stroke_width(1)))?;
        for (&(name, bins), colour) in series.iter().zip([GREY, GREEN, BLUE]) {
            let points: Vec<(f64, f64)> =
                bins.iter().filter(|bin| bin.n > 0).map(|bin| (100.0 * bin.confidence, 100.0 * bin.accuracy)).collect();
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.85))
            .label_font((FONT, 12))
            .draw()?;
        Ok(())
    })
}

/// A bar for each layer: how far the signal stands above what quantization did to it.
pub(super) fn snr(layers: &[Layer]) -> String {
    let (left, row) = (220, 18);
    let height = layers.len() as i32 * row;
    let top = layers.iter().filter_map(|layer| layer.snr_db).fold(10.0, f64::max);
    draw((640, (height + 8) as u32), |sheet| {
        let style = (FONT, 12).into_font().color(&BLACK);
        for (i, layer) in layers.iter().enumerate() {
            let y = 4 + i as i32 * row;
            let share = layer.snr_db.map_or(1.0, |snr| (snr / top).clamp(0.0, 1.0));
            let colour = if layer.snr_db.is_some_and(|snr| snr < 10.0) { RED } else { BLUE };
            let end = left + (340.0 * share) as i32;
            let name: String = layer.name.chars().take(32).collect();
            sheet.draw_text(&name, &style, (4, y + 2))?;
            sheet.draw(&Rectangle::new([(left, y + 2), (end, y + row - 3)], colour.mix(0.75).filled()))?;
            let text = layer.snr_db.map_or("exact".to_owned(), |snr| format!("{snr:.1} dB"));
            sheet.draw_text(&text, &style, (end + 6, y + 2))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_plot_is_drawn() {
        let run = Training {
            name: "s".into(),
            loss: vec![2.0, 1.0],
            accuracy: vec![0.2, 0.5],
            held_out: vec![None, Some(0.4)],
        };
        let bins = [Bin { n: 3, confidence: 0.75, accuracy: 0.5 }, Bin::default()];
        let layers = [("conv1", Some(30.0)), ("flatten", None)].map(|(name, snr_db)| Layer {
            name: name.into(),
            op: "conv2d".into(),
            snr_db,
            bits: 8,
            alone_db: None,
        });
        let classes = ["ring".to_owned(), "cross".to_owned()];
        let plots = [
            (training(&run), "accuracy, held out"),
            (confusion(&[vec![5, 1], vec![0, 7]], &classes), "cross"),
            (reliability(&[("int8", &bins)]), "int8"),
            (snr(&layers), "30.0 dB"),
        ];
        for (svg, text) in plots {
            assert!(svg.starts_with("<svg") && svg.contains(text), "{svg}");
        }
    }

    #[test]
    fn one_epoch_and_no_epoch_draw_too() {
        for n in [0, 1] {
            let run =
                Training { name: String::new(), loss: vec![0.0; n], accuracy: vec![0.0; n], held_out: vec![None; n] };
            assert!(training(&run).starts_with("<svg"));
        }
    }
}

//! Which classes are taken for which, and which are the hardest.

use super::Found;
use super::page::{Section, escape, figure, grouped, percent, table};
use super::svg::{self, put, rect};

/// Classes that are listed by name.
const HARDEST: usize = 10;

pub(super) fn section(found: &Found<'_>) -> Section {
    let record = found.record;
    let kind = record.data.input.kind();
    let lead = format!(
        "Test {kind} by true class (down) and by what the int8 student says (across). Shades are shares of a row, on a \
         square-root scale, so that rare confusions can be seen."
    );
    let picture = matrix(&record.int8.confusion, &record.data.classes);
    let body = format!(
        "<div class=\"pair\">{}<div><h3>The hardest classes</h3>\n{}</div></div>\n",
        figure(&picture, "On the diagonal what is right; beside it, in the other colour, what is not."),
        hardest(&record.int8.confusion, &record.data.classes, kind.name())
    );
    Section { id: "confusion", title: "Confusion of the int8 student", lead, body }
}

/// What is found hard: each class with what it is taken for, the hardest first.
fn hardest(confusion: &[Vec<u32>], names: &[String], kind: &str) -> String {
    let name = |class: usize| names.get(class).map_or_else(|| class.to_string(), |name| escape(name));
    let right = |class: usize, row: &[u32]| {
        f64::from(row.get(class).copied().unwrap_or(0)) / f64::from(row.iter().sum::<u32>().max(1))
    };
    let seen = |row: &&Vec<u32>| row.iter().any(|&count| count > 0);
    let rows = confusion.iter().enumerate().filter(|(_, row)| seen(row));
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
    table(&["class", kind, "right", "most often taken for"], &cells.collect::<Vec<_>>())
}

/// True classes downwards, predicted ones across.
fn matrix(confusion: &[Vec<u32>], classes: &[String]) -> String {
    let n = confusion.len().max(1);
    let cell = (430.0 / n as f64).clamp(5.0, 64.0);
    // Names fit beside cells of some size; otherwise they are shown where a pointer rests.
    let named = cell >= 12.0;
    let longest = classes.iter().map(|class| class.chars().count()).max().unwrap_or(0).min(16) as f64;
    let room = if named { 10.0 + 6.3 * longest } else { 22.0 };
    let (width, height) = (room + cell * n as f64 + 2.0, room + cell * n as f64 + 2.0);
    let mut out = svg::open("Confusion matrix", width, height, "matrix");
    out = out.replacen("<svg ", &format!("<svg style=\"max-width:{:.0}px\" ", 1.15 * width), 1);
    let name = |class: usize| classes.get(class).map_or("", String::as_str);
    if !named {
        put(&mut out, "middle title", [room + cell * n as f64 / 2.0, 13.0], "int8 student says");
        let down = room + cell * n as f64 / 2.0;
        out += &format!(
            "<text class=\"middle title\" transform=\"translate(13 {down:.1}) rotate(-90)\">true class</text>"
        );
    }
    for (row, counts) in confusion.iter().enumerate() {
        let total = counts.iter().sum::<u32>().max(1);
        let y = room + cell * row as f64;
        if named {
            let short: String = name(row).chars().take(16).collect();
            put(&mut out, "end", [room - 6.0, y + cell / 2.0 + 4.0], &escape(&short));
            let (x, short) = (room + cell * (row as f64 + 0.5) + 4.0, escape(&short));
            out += &format!("<text transform=\"translate({x:.1} {:.1}) rotate(-90)\">{short}</text>", room - 6.0);
        }
        for (column, &count) in counts.iter().enumerate() {
            let x = room + cell * column as f64;
            let share = f64::from(count) / f64::from(total);
            let class = if row == column { "right" } else { "wrong" };
            let gap = if cell >= 12.0 { 1.0 } else { 0.4 };
            let size = cell - gap;
            rect(&mut out, "cell", [x, y, size, size], "");
            if count > 0 {
                let title = format!("{} as {}: {count} of {total}", name(row), name(column));
                out += &format!("<g fill-opacity=\"{:.3}\">", share.sqrt());
                rect(&mut out, class, [x, y, size, size], &title);
                out += "</g>";
                if cell >= 26.0 {
                    let class = if share > 0.3 { "middle on" } else { "middle" };
                    put(&mut out, class, [x + size / 2.0, y + size / 2.0 + 4.0], &count.to_string());
                }
            }
        }
    }
    out + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_listed_hardest_first() {
        let names = ["a<", "b"].map(str::to_owned);
        let rows = hardest(&[vec![3, 1], vec![1, 1]], &names, "images");
        let hard =
            rows.find("<td>b</td><td class=\"number\">2</td><td class=\"number\">50.00 %</td><td>a&lt; (1)</td>");
        assert!(hard.unwrap() < rows.find("<td>a&lt;</td>").unwrap(), "{rows}");
    }

    #[test]
    fn many_classes_have_names_only_on_demand() {
        let names: Vec<String> = (0..77).map(|i| format!("class {i}")).collect();
        let confusion: Vec<Vec<u32>> = (0..77).map(|i| (0..77).map(|j| u32::from(i == j) * 9).collect()).collect();
        let svg = matrix(&confusion, &names);
        assert!(!svg.contains(">class 3<") && svg.contains("class 3 as class 3: 9 of 9"));
        assert!(
            matrix(&confusion[..2].iter().map(|row| row[..2].to_vec()).collect::<Vec<_>>(), &names[..2])
                .contains(">class 1<")
        );
    }
}

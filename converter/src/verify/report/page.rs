//! Pieces of the page: escaped text, numbers as people read them, tables, bars, figures.

use std::fmt::Write;

/// A part of the page with a heading that can be linked to.
pub(super) struct Section {
    pub id: &'static str,
    pub title: &'static str,
    /// What is to be seen, in a sentence or two; markup.
    pub lead: String,
    pub body: String,
}

impl Section {
    pub(super) fn html(&self) -> String {
        let Section { id, title, lead, body } = self;
        format!("<section id=\"{id}\">\n<h2>{title}</h2>\n<p class=\"lead\">{lead}</p>\n{body}</section>\n")
    }
}

/// Names come from files and recipes; none of them may become markup.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// Rows of cells under a heading; cells are markup. Columns of numbers are aligned to the right.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let starts_number = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '−');
    let class = |column: usize| {
        let numeric = !rows.is_empty() && rows.iter().all(|row| row.get(column).is_some_and(starts_number));
        if numeric { " class=\"number\"" } else { "" }
    };
    let line = |tag: &str, cells: &mut dyn Iterator<Item = &str>| -> String {
        cells.enumerate().map(|(column, cell)| format!("<{tag}{}>{cell}</{tag}>", class(column))).collect()
    };
    let mut out = format!(
        "<div class=\"scroll\"><table><thead><tr>{}</tr></thead><tbody>\n",
        line("th", &mut heading.iter().copied())
    );
    for row in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "<tr>{}</tr>", line("td", &mut row.iter().map(String::as_str)));
    }
    out + "</tbody></table></div>\n"
}

/// A table that is folded away until somebody wants it.
pub(super) fn folded(summary: &str, heading: &[&str], rows: &[Vec<String>]) -> String {
    format!("<details><summary>{summary}</summary>\n{}</details>\n", table(heading, rows))
}

/// A table that is folded away if it is long.
pub(super) fn listed(summary: &str, heading: &[&str], rows: &[Vec<String>]) -> String {
    /// So many rows are not.
    const SHORT: usize = 24;
    let all = folded(summary, heading, rows);
    if rows.len() <= SHORT { all.replacen("<details>", "<details open>", 1) } else { all }
}

/// A bar, `share` of the room that there is.
pub(super) fn bar(class: &str, share: f64) -> String {
    format!("<span class=\"bar {class}\"><i style=\"width:{:.1}%\"></i></span>", 100.0 * share.clamp(0.0, 1.0))
}

/// A drawing with what is to be known of it.
pub(super) fn figure(svg: &str, caption: &str) -> String {
    format!("<figure><div class=\"scroll\">{svg}</div><figcaption>{caption}</figcaption></figure>\n")
}

/// What colours stand for.
pub(super) fn legend(entries: &[(&str, &str)]) -> String {
    let item = |&(class, name): &(&str, &str)| format!("<li class=\"{class}\">{}</li>", escape(name));
    format!("<ul class=\"legend\">{}</ul>", entries.iter().map(item).collect::<String>())
}

/// The first digits of a hash; all of them where a pointer rests on it.
pub(super) fn hash(digits: &str) -> String {
    let first: String = digits.chars().take(12).collect();
    format!("<code title=\"{}\">{}</code>", escape(digits), escape(&first))
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

pub(super) fn interval([low, high]: [f64; 2]) -> String {
    format!("{:.1} – {:.1} %", 100.0 * low, 100.0 * high)
}

/// A number with a narrow space between groups of three digits.
pub(super) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let group = |(i, digit): (usize, char)| {
        let space = (i > 0 && (digits.len() - i).is_multiple_of(3)).then_some('\u{202f}');
        space.into_iter().chain([digit])
    };
    digits.chars().enumerate().flat_map(group).collect()
}

/// Bytes in the unit that makes them short.
pub(super) fn bytes(value: u64) -> String {
    match value as f64 / 1024.0 {
        kib if kib < 10.0 => format!("{} B", grouped(value)),
        kib if kib < 1000.0 => format!("{kib:.1} KiB"),
        kib => format!("{:.2} MiB", kib / 1024.0),
    }
}

/// A real number in as many digits as tell something.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        _ if value.fract() == 0.0 && value.abs() < 1e15 => format!("{value:.0}"),
        size if size >= 100.0 => format!("{value:.1}"),
        size if size >= 0.001 => format!("{value:.3}"),
        _ => format!("{value:.2e}"),
    }
}

pub(super) fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 1.0 => format!("{ms:.2} ms"),
        ms => format!("{:.1} µs", 1000.0 * ms),
    }
}

/// Seconds as people say them.
pub(super) fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match seconds {
        s if s < 0.1 => format!("{:.0} ms", 1000.0 * s),
        s if s < 100.0 => format!("{s:.1} s"),
        _ if minutes < 60 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

pub(super) fn decibels(snr: Option<f64>) -> String {
    snr.map_or_else(|| "exact".to_owned(), |snr| format!("{snr:.1} dB"))
}

/// Bytes as text of 64 letters (RFC 4648).
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        for i in 0..4 {
            let letter = if i <= three.len() { LETTERS[(word >> (18 - 6 * i) & 63) as usize] } else { b'=' };
            text.push(letter.into());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1\u{202f}000", "1\u{202f}234\u{202f}567"]);
        assert_eq!([9_000, 81_904, 20_971_520].map(bytes), ["9\u{202f}000 B", "80.0 KiB", "20.00 MiB"]);
        assert_eq!([0.02, 99.0, 150.0, 5000.0].map(duration), ["20 ms", "99.0 s", "3 min", "1 h 23 min"]);
        assert_eq!([5.0, 123.456, 0.25, 0.000_125].map(number), ["5", "123.5", "0.250", "1.25e-4"]);
        assert_eq!([0.0123, 12.3, 456.7].map(milliseconds), ["12.3 µs", "12.30 ms", "457 ms"]);
    }

    #[test]
    fn text_never_becomes_markup() {
        assert_eq!(escape("<a href=\"x\">'&'"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;");
    }

    #[test]
    fn letters_as_in_the_standard() {
        let rows = [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")];
        for (plain, coded) in rows {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}

//! Records what the emulated boards count: `benches/record/BOARD/DATE.csv`.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use clap::Subcommand;

use crate::firmware::{Board, LIMIT, ended};
use crate::process::output;
use crate::{Result, root};

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Run `bench` on the emulated boards and write the counts.
    Record {
        /// The board; all emulated ones if none is named.
        #[arg(long)]
        board: Option<String>,
    },
}

pub(crate) fn run(task: &Task) -> Result {
    let Task::Record { board: only } = task;
    for board in Board::all() {
        let name = &board.target.name;
        if board.device.emulator.is_none() || only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let image = board.image("bench", None)?;
        let done = board.emulate::<&str>(&image, &[], LIMIT)?;
        if !done.success() {
            return Err(ended("bench", &done).into());
        }
        let csv = csv(board, &String::from_utf8_lossy(&done.stderr))?;
        let folder = root().join("benches/record").join(name);
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{}.csv", today()?));
        fs::write(&file, csv)?;
        println!("{}", file.display());
    }
    Ok(())
}

/// The program's lines are count, count by work in hundredths, scratch bytes, and the kernel's name.
fn csv(board: Board, text: &str) -> Result<String> {
    let git = |args: &[&str]| output(Command::new("git").current_dir(root()).args(args)).unwrap_or_default();
    let dirty = if git(&["status", "--porcelain", "--untracked-files=no"]).is_empty() { "" } else { "+" };
    let mut csv = format!("# board: {}\n", board.target.about);
    let _ = writeln!(csv, "# commit: {}{dirty}", git(&["rev-parse", "--short", "HEAD"]).trim());
    let _ = writeln!(csv, "# flags: --release -Ctarget-cpu={}", board.device.cpu);
    let _ = writeln!(csv, "kernel,instructions,per_mac_or_element,scratch_bytes");
    for line in text.lines().filter(|l| l.starts_with(' ')) {
        let mut words = line.split_whitespace();
        let (Some(count), Some(each), Some(scratch)) = (words.next(), words.next(), words.next()) else { continue };
        let _ = writeln!(csv, "\"{}\",{count},{each},{scratch}", words.collect::<Vec<_>>().join(" "));
    }
    Ok(csv)
}

/// The date, as `2026-01-31`.
fn today() -> Result<String> {
    let days = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs() / 86_400;
    Ok(date(days as i64))
}

/// Date of a day since 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn date(days: i64) -> String {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    format!("{}-{month:02}-{day:02}", year_of_era + era * 400 + i64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let days = [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29"), (20_788, "2026-12-01")];
        for (day, expected) in days {
            assert_eq!(date(day), expected);
        }
    }
}

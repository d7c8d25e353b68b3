//! Records what is counted on emulated boards and on hosts, `benches/record/NAME/DATE.csv`, and refuses code that needs more.

pub(crate) mod count;
mod peers;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Subcommand;

use crate::firmware::{Board, LIMIT, ended};
use crate::process::output;
use crate::setup::cross::NAME;
use crate::{Result, root};

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Run `bench` on the emulated boards and write the counts.
    Record {
        /// The board; all emulated ones if none is named.
        #[arg(long)]
        board: Option<String>,
    },
    /// Measure other engines (ONNX Runtime, OpenVINO, LiteRT) and this project in turn on the same networks, on one core.
    Peers(peers::Args),
    /// Run `bench` on the emulated boards, count on hosts, and compare with the newest records: no count may be more than 1 % above.
    Check {
        /// Only this emulated board.
        #[arg(long, conflicts_with = "host")]
        board: Option<String>,
        /// Only this host; `all` for all hosts and no board.
        #[arg(long)]
        host: Option<String>,
    },
    /// Count the instructions of networks on x86-64 and 64-bit Arm, and write them.
    Count(count::Args),
}

/// What a count may grow by, in parts of it: compilers of one version agree to the instruction, an unrelated change may move a few.
const TOLERANCE: u64 = 100;

pub(crate) fn run(task: &Task) -> Result {
    match task {
        Task::Record { board } => {
            for board in boards(board.as_deref())? {
                println!("{}", record(board)?.display());
            }
        }
        Task::Check { board, host } => {
            if host.is_none() {
                for board in boards(board.as_deref())? {
                    println!("{}", check(board)?);
                }
            }
            if board.is_none() {
                for host in count::named(host.as_deref().filter(|name| *name != "all"))? {
                    println!("{}", host.check()?);
                }
            }
        }
        Task::Peers(args) => peers::run(args)?,
        Task::Count(args) => count::run(args)?,
    }
    Ok(())
}

/// The emulated board of this name, or all; none if the board is not emulated.
fn boards(name: Option<&str>) -> Result<Vec<Board>> {
    name.map_or(Ok(()), |name| Board::find(name).map(|_| ()))?;
    Ok(emulated().filter(|board| name.is_none_or(|name| *name == board.target.name)).collect())
}

/// The boards that need no hardware.
pub(crate) fn emulated() -> impl Iterator<Item = Board> {
    Board::all().filter(|board| board.device.emulator.is_some())
}

fn record(board: Board) -> Result<PathBuf> {
    let csv = measure(board)?;
    let folder = records(board);
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("{}.csv", today()?));
    fs::write(&file, csv)?;
    Ok(file)
}

fn records(board: Board) -> PathBuf {
    root().join("benches/record").join(&board.target.name)
}

/// Compares with the newest record; one line on how that went.
pub(crate) fn check(board: Board) -> Result<String> {
    let name = &board.target.name;
    compare(name, &records(board), &format!("cargo xtask bench record --board {name}"), counts, || measure(board))
}

/// Compares what `measure` gives with the newest record in a folder, which `again` would make anew; one line on how that went.
///
/// Counts of another compiler are no yardstick, so that is said instead.
fn compare(
    name: &str,
    folder: &Path,
    again: &str,
    counts: impl Fn(&str) -> Vec<(String, u64)>,
    measure: impl FnOnce() -> Result<String>,
) -> Result<String> {
    let files = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let Some(newest) = files.filter(|file| file.extension().is_some_and(|e| e == "csv")).max() else {
        return Err(format!("{name} has no record; make one with `{again}`").into());
    };
    let recorded = fs::read_to_string(&newest)?;
    let compiler = |csv: &str| csv.lines().find_map(|line| line.strip_prefix("# compiler: ").map(str::to_owned));
    let (then, now) = (compiler(&recorded), self::compiler()?);
    if then.as_ref() != Some(&now) {
        let then = then.unwrap_or_else(|| "unknown".into());
        return Ok(format!("SKIPPED {name}: the record is of compiler {then}, here is {now}; record anew: {again}"));
    }
    match grown(counts(&recorded), counts(&measure()?)).as_slice() {
        [] => Ok(format!("{name}: nothing needs more instructions than on record")),
        grown => Err(format!("{}\nmake it faster, or say why and record it: {again}", grown.join("\n")).into()),
    }
}

/// What needs more instructions now, or is no longer counted.
fn grown(recorded: Vec<(String, u64)>, measured: Vec<(String, u64)>) -> Vec<String> {
    let now: BTreeMap<_, _> = measured.into_iter().collect();
    let complaint = |(name, then): (String, u64)| match now.get(&name) {
        None => Some(format!("{name}: on record, but not measured")),
        Some(&now) if now > then + then / TOLERANCE => Some(format!(
            "{name}: {now} instructions, {then} on record, {:+.1} %",
            100.0 * (now as f64 / then as f64 - 1.0)
        )),
        Some(_) => None,
    };
    recorded.into_iter().filter_map(complaint).collect()
}

/// Kernels and their instructions in the record of a board.
fn counts(csv: &str) -> Vec<(String, u64)> {
    let row = |line: &str| {
        // A name is quoted, because it may have commas.
        let (kernel, rest) = line.strip_prefix('"')?.split_once("\",")?;
        Some((kernel.to_owned(), rest.split(',').next()?.parse().ok()?))
    };
    csv.lines().filter_map(row).collect()
}

fn measure(board: Board) -> Result<String> {
    let image = board.image("bench", None)?;
    let done = board.emulate::<&str>(&image, &[], LIMIT)?;
    if !done.success() {
        return Err(ended("bench", &done).into());
    }
    csv(board, &String::from_utf8_lossy(&done.stderr))
}

/// The compiler of firmware and other hosts' programs, without its date.
pub(crate) fn compiler() -> Result<String> {
    let mut version = Command::new("rustup");
    version.args(["run", NAME, "rustc", "--version"]).env_remove("RUSTUP_TOOLCHAIN");
    let text = output(&mut version)?;
    Ok(text.split(" (").next().unwrap_or_default().trim().to_owned())
}

/// The program's lines are count, count by work in hundredths, scratch bytes, and the kernel's name.
fn csv(board: Board, text: &str) -> Result<String> {
    let mut csv = format!("# board: {}\n", board.target.about);
    let _ = writeln!(csv, "# commit: {}", commit());
    let _ = writeln!(csv, "# compiler: {}", compiler()?);
    let _ = writeln!(csv, "# flags: --release -Ctarget-cpu={}", board.device.cpu);
    let _ = writeln!(csv, "kernel,instructions,per_mac_or_element,scratch_bytes");
    for line in text.lines().filter(|l| l.starts_with(' ')) {
        let mut words = line.split_whitespace();
        let (Some(count), Some(each), Some(scratch)) = (words.next(), words.next(), words.next()) else { continue };
        let _ = writeln!(csv, "\"{}\",{count},{each},{scratch}", words.collect::<Vec<_>>().join(" "));
    }
    Ok(csv)
}

/// The commit, with a `+` if files were changed since.
pub(crate) fn commit() -> String {
    let git = |args: &[&str]| output(Command::new("git").current_dir(root()).args(args)).unwrap_or_default();
    let dirty = if git(&["status", "--porcelain", "--untracked-files=no"]).is_empty() { "" } else { "+" };
    format!("{}{dirty}", git(&["rev-parse", "--short", "HEAD"]).trim())
}

/// The date, as `2026-01-31`.
pub(crate) fn today() -> Result<String> {
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
    fn a_count_may_not_grow() {
        let recorded =
            "# compiler: c\nkernel,instructions,per\n\"a, b\",1000,1.0,0\n\"c\",1000,1.0,0\n\"d\",10,1.0,0\n";
        let measured = "\"a, b\",1010,1.0,0\n\"c\",1011,1.0,0\n\"new\",7,1.0,0\n";
        let expected = ["c: 1011 instructions, 1000 on record, +1.1 %", "d: on record, but not measured"];
        assert_eq!(grown(counts(recorded), counts(measured)), expected);
        assert!(grown(counts(recorded), counts(recorded)).is_empty());
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        let days = [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29"), (20_788, "2026-12-01")];
        for (day, expected) in days {
            assert_eq!(date(day), expected);
        }
    }
}

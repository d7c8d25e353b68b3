//! Runs a model on images or texts on an emulated board, through the program `classify`.

mod bench;

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::Result;
use crate::firmware::{Board, LIMIT, ended};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    task: Option<Task>,
    #[command(flatten)]
    classify: Classify,
}

#[derive(Debug, clap::Subcommand)]
enum Task {
    /// Count the instructions of each op of a model, and of a whole run.
    Bench(bench::Args),
}

#[derive(Debug, clap::Args)]
struct Classify {
    /// The board.
    #[arg(long, default_value = "qemu-m4")]
    board: String,
    /// The model, a file or one of the firmware's own: random-resnet8 (that is the default) or random-bert.
    #[arg(long)]
    model: Option<PathBuf>,
    /// File of images: 16 bytes `LIMBIMG1`, count, bytes of an image (little-endian u32), then pixels. The model's own test
    /// vectors if none is given.
    #[arg(long, group = "input")]
    images: Option<PathBuf>,
    /// File of texts in UTF-8, one a line.
    #[arg(long, group = "input")]
    texts: Option<PathBuf>,
    /// A text.
    #[arg(long, group = "input")]
    text: Option<String>,
    /// Print one digest of all outputs only.
    #[arg(long)]
    digest: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result {
    match &args.task {
        Some(Task::Bench(args)) => bench::run(args),
        None => classify(&args.classify),
    }
}

fn classify(args: &Classify) -> Result {
    let board = Board::find(&args.board)?;
    let image = board.image("classify", args.model.as_deref())?;
    let mut words = Vec::new();
    if args.digest {
        words.push("--digest".to_owned());
    }
    let mut written = tempfile::NamedTempFile::new()?;
    if let Some(text) = &args.text {
        // The emulator's command line does not carry every text unchanged, a file does.
        writeln!(written, "{text}")?;
        words.push(path(written.path())?);
    }
    if let Some(file) = args.images.as_ref().or(args.texts.as_ref()) {
        words.push(path(file)?);
    }
    let done = board.emulate(&image, &words, LIMIT)?;
    let text = String::from_utf8_lossy(&done.stderr);
    if !done.success() {
        return Err(format!("{}\n{}", text.trim_end(), ended("classify", &done)).into());
    }
    if args.json {
        println!("{}", json(&args.board, &text));
    } else {
        print!("{text}");
    }
    Ok(())
}

/// The name by which the emulated program opens a host file.
fn path(file: &Path) -> Result<String> {
    let file = std::fs::canonicalize(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let text = file.to_str().ok_or("the name of the file is not UTF-8")?;
    if text.contains(' ') {
        return Err(format!("{text}: a program in the emulator cannot open a name with a space").into());
    }
    Ok(text.to_owned())
}

fn json(board: &str, text: &str) -> serde_json::Value {
    serde_json::json!({ "board": board, "results": objects(text) })
}

/// Each line of a program is words and values by turns: `image 0 class 3 digest 0123456789abcdef instructions 123`; a label and
/// an error go on to the end of the line.
fn objects(text: &str) -> Vec<serde_json::Value> {
    let lines = text.lines().map(|line| {
        let mut words = line.split(' ');
        let pairs = std::iter::from_fn(|| {
            let word = words.next()?;
            let value = match word {
                "label" | "error" => words.by_ref().collect::<Vec<_>>().join(" "),
                _ => words.next()?.to_owned(),
            };
            Some((word.to_owned(), value_of(word, value)))
        });
        serde_json::Value::Object(pairs.collect())
    });
    lines.collect()
}

/// Numbers and truth values as such; a digest may look like a number, and a label like anything.
fn value_of(word: &str, value: String) -> serde_json::Value {
    if ["digest", "label", "error"].contains(&word) {
        return value.into();
    }
    serde_json::from_str(&value).unwrap_or_else(|_| value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_objects() {
        let text = "image 0 class 3 digest 0123456789012345 instructions 12\nline 7 truncated false label very good\n\
                    line 8 error not a text\n";
        let expected = serde_json::json!({ "board": "b", "results": [
            { "image": 0, "class": 3, "digest": "0123456789012345", "instructions": 12 },
            { "line": 7, "truncated": false, "label": "very good" },
            { "line": 8, "error": "not a text" },
        ] });
        assert_eq!(json("b", text), expected);
    }
}

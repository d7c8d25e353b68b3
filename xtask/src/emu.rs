//! Runs a model on images on an emulated board, through the program `classify`.

use std::path::{Path, PathBuf};

use crate::Result;
use crate::firmware::{Board, LIMIT, ended};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The board.
    #[arg(long, default_value = "qemu-m4")]
    board: String,
    /// The model; the firmware's own if none is given.
    #[arg(long)]
    model: Option<PathBuf>,
    /// File of images: 16 bytes `LIMBIMG1`, count, bytes of an image (little-endian u32), then pixels. The model's own test
    /// vectors if none is given.
    #[arg(long)]
    images: Option<PathBuf>,
    /// Print one digest of all outputs only.
    #[arg(long)]
    digest: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result {
    let board = Board::find(&args.board)?;
    let image = board.image("classify", args.model.as_deref())?;
    let mut words = Vec::new();
    if args.digest {
        words.push("--digest".to_owned());
    }
    if let Some(images) = &args.images {
        words.push(path(images)?);
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
    let text = file.to_str().ok_or("the name of the images is not UTF-8")?;
    if text.contains(' ') {
        return Err(format!("{text}: a program in the emulator cannot open a name with a space").into());
    }
    Ok(text.to_owned())
}

/// Each line of the program is words and values by turns: `image 0 class 3 digest 0123456789abcdef instructions 123`.
fn json(board: &str, text: &str) -> serde_json::Value {
    let lines = text.lines().map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let pairs = words.chunks_exact(2).map(|pair| {
            let number = pair[1].parse::<u64>().ok().filter(|_| pair[0] != "digest");
            (pair[0].to_owned(), number.map_or_else(|| pair[1].into(), serde_json::Value::from))
        });
        serde_json::Value::Object(pairs.collect())
    });
    serde_json::json!({ "board": board, "results": lines.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_objects() {
        let text = "image 0 class 3 digest 0123456789012345 instructions 12\n";
        let expected = serde_json::json!({ "board": "b", "results":
            [{ "image": 0, "class": 3, "digest": "0123456789012345", "instructions": 12 }] });
        assert_eq!(json("b", text), expected);
    }
}

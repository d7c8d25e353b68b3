//! Counts the instructions of a model on an emulated board, op by op, through the program `profile`.

use std::fs;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection};
use serde_json::{Value, json};

use super::objects;
use crate::Result;
use crate::firmware::{Board, LIMIT, ended};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model, a file or one of the firmware's own: random-resnet8 (that is the default) or random-bert.
    model: Option<PathBuf>,
    /// The board.
    #[arg(long, default_value = "qemu-m4")]
    board: String,
    /// Length of the text for a model that reads text; the longest that it takes if none is given.
    #[arg(long)]
    tokens: Option<usize>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result {
    let board = Board::find(&args.board)?;
    let image = board.image("profile", args.model.as_deref())?;
    let words = args.tokens.map(|tokens| tokens.to_string());
    let done = board.emulate(&image, words.as_slice(), LIMIT)?;
    let text = String::from_utf8_lossy(&done.stderr);
    if !done.success() {
        return Err(format!("{}\n{}", text.trim_end(), ended("profile", &done)).into());
    }
    let profile = profile(&text, text_bytes(&image.path)?)?;
    if args.json {
        println!("{profile}");
    } else {
        print!("{}", table(&profile));
    }
    Ok(())
}

/// The lines of the program, as one object.
fn profile(text: &str, text_bytes: u64) -> Result<Value> {
    let lines = objects(text);
    let [head, ops @ .., total] = lines.as_slice() else { return Err("the program printed too little".into()) };
    let mut profile = json!({
        "board": head["board"],
        "table": head["table"],
        "model_bytes": head["model"],
        "arena_bytes": head["arena"],
        "text_bytes": text_bytes,
        "stack_bytes": total["stack"],
        "instructions": total["instructions"],
        "ops": ops,
    });
    if total["tokens"] != json!(0) {
        profile["tokens"] = total["tokens"].clone();
    }
    Ok(profile)
}

/// Bytes of code in a program: the kernels and all else.
fn text_bytes(elf: &Path) -> Result<u64> {
    let bytes = fs::read(elf).map_err(|e| format!("{}: {e}", elf.display()))?;
    let file = object::File::parse(&*bytes).map_err(|e| format!("{}: {e}", elf.display()))?;
    Ok(file.section_by_name(".text").map_or(0, |section| section.size()))
}

/// For people: a line for each op, with its share.
fn table(profile: &Value) -> String {
    let all = profile["instructions"].as_u64().unwrap_or(0);
    let mut text = String::new();
    for (index, op) in profile["ops"].as_array().into_iter().flatten().enumerate() {
        let cost = op["instructions"].as_u64().unwrap_or(0);
        let share = 100.0 * cost as f64 / all.max(1) as f64;
        text += &format!("{index:>4}  {:<12} {cost:>12} {share:>6.1} %\n", op["kind"].as_str().unwrap_or("?"));
    }
    let of = |key: &str| profile[key].to_string();
    text += &format!(
        "{all} instructions on {} with table {}; {} bytes of stack, {} of arena, {} of model, {} of code\n",
        profile["board"].as_str().unwrap_or("?"),
        profile["table"].as_str().unwrap_or("?"),
        of("stack_bytes"),
        of("arena_bytes"),
        of("model_bytes"),
        of("text_bytes"),
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_one_object() {
        let text = "model 10 arena 20 table dsp board qemu-m4\nop 0 kind conv2d instructions 300\n\
                    op 1 kind linear instructions 100\ntokens 0 stack 640 instructions 400\n";
        let profile = profile(text, 7).unwrap();
        let ops = json!([
            { "op": 0, "kind": "conv2d", "instructions": 300 },
            { "op": 1, "kind": "linear", "instructions": 100 },
        ]);
        assert_eq!(
            profile,
            json!({ "board": "qemu-m4", "table": "dsp", "model_bytes": 10, "arena_bytes": 20, "text_bytes": 7,
                    "stack_bytes": 640, "instructions": 400, "ops": ops })
        );
        assert!(table(&profile).starts_with("   0  conv2d                300   75.0 %\n"));
        assert!(super::profile("nothing 1\n", 7).is_err());
    }
}

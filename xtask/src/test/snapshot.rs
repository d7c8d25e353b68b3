//! Runs the programs that have an expected output beside them, and compares.
//!
//! In an expected output `{board}` stands for the board's name, `{*}` for any word, `{<N}` for a number below N. A last line
//! `exit N` says how the program must end; without one it must end well.

use std::fs;
use std::path::{Path, PathBuf};

use super::Report;
use crate::firmware::{Board, Image, LIMIT, ended};
use crate::process::tail;
use crate::{Result, root, target_dir};

/// Every program of the board that has an expected output: `NAME.out` for all boards, or `NAME.BOARD.out` for one.
pub(crate) fn run(board: Board, report: &mut Report) {
    let name = &board.target.name;
    let programs = match board.build(None) {
        Ok(programs) => programs,
        Err(error) => return report.step(&format!("firmware for {name}"), || Err(error)),
    };
    for image in programs {
        if image.program == "classify" {
            // Its digests were computed on the host, by whatever kernels that has.
            report.step(&format!("the model's own tests on {name}"), || {
                let done = board.emulate::<&str>(&image, &[], LIMIT)?;
                if done.success() { Ok(()) } else { Err(tail(&String::from_utf8_lossy(&done.stderr), 5).into()) }
            });
        }
        if let Some(expected) = expected(&image.program, name) {
            report.step(&format!("{} on {name}", image.program), || {
                let args = if image.program == "classify" { vec![images()?] } else { Vec::new() };
                compare(board, &image, &args, &fs::read_to_string(expected)?)
            });
        }
    }
    if let Some(expected) = expected("classify.texts", name) {
        report.step(&format!("classify of texts on {name}"), || {
            let image = board.image("classify", Some(Path::new("random-bert")))?;
            let done = board.emulate::<&str>(&image, &[], LIMIT)?;
            if !done.success() {
                return Err(tail(&String::from_utf8_lossy(&done.stderr), 5).into());
            }
            compare(board, &image, &[texts()?], &fs::read_to_string(expected)?)
        });
    }
}

fn expected(program: &str, board: &str) -> Option<PathBuf> {
    let names = [format!("{program}.{board}.out"), format!("{program}.out")];
    let folders = ["firmware/qemu", "firmware/src/bin", "firmware/src/bin/classify"];
    names.iter().flat_map(|n| folders.map(|f| root().join(f).join(n))).find(|p| p.is_file())
}

fn compare(board: Board, image: &Image, args: &[String], expected: &str) -> Result {
    let done = board.emulate(image, args, LIMIT)?;
    let actual = String::from_utf8_lossy(&done.stderr);
    let (expected, code) = match expected.trim_end().rsplit_once("\nexit ") {
        Some((expected, code)) => (expected, code.parse()?),
        None => (expected, 0),
    };
    if done.status.and_then(|s| s.code()) != Some(code) {
        let ended = ended(&image.program, &done);
        return Err(format!("{}\n{ended}; expected: exit code {code}", tail(&actual, 30)).into());
    }
    same(&expected.replace("{board}", &board.target.name), &actual)
}

fn same(expected: &str, actual: &str) -> Result {
    let (expected, actual): (Vec<_>, Vec<_>) = (expected.lines().collect(), actual.lines().collect());
    for (n, (expected, actual)) in expected.iter().zip(&actual).enumerate() {
        let (e, a) = (expected.split(' '), actual.split(' '));
        if e.clone().count() != a.clone().count() || !e.zip(a).all(|(e, a)| fits(e, a)) {
            return Err(format!("line {}\n  expected: {expected}\n  actual:   {actual}", n + 1).into());
        }
    }
    match (expected.len(), actual.len()) {
        (e, a) if e != a => Err(format!("{e} lines expected, {a} printed\n{}", tail(&actual.join("\n"), 10)).into()),
        _ => Ok(()),
    }
}

/// Whether a printed word is what the expected one stands for.
fn fits(expected: &str, actual: &str) -> bool {
    match expected.strip_prefix("{<").and_then(|e| e.strip_suffix('}')?.parse::<u64>().ok()) {
        Some(limit) => actual.parse::<u64>().is_ok_and(|n| n < limit),
        None => expected == "{*}" || expected == actual,
    }
}

/// A file of three images of 32 by 32 pixels: dark, bright, and waves.
fn images() -> Result<String> {
    const IMAGE: u32 = 32 * 32 * 3;
    let mut bytes = b"LIMBIMG1".to_vec();
    bytes.extend(3_u32.to_le_bytes());
    bytes.extend(IMAGE.to_le_bytes());
    let waves = |i: u32| (((i * i) >> 6) ^ (i * 5)) as u8;
    bytes.extend((0..IMAGE).map(|_| 16).chain((0..IMAGE).map(|_| 240)).chain((0..IMAGE).map(waves)));
    input("images.bin", &bytes)
}

/// A file of lines that are texts, and lines that are none: too many tokens, nothing, not UTF-8, too long, without an end.
fn texts() -> Result<String> {
    let mut bytes = Vec::new();
    bytes.extend("It's a good film, and I'd see it again!\r\n".bytes());
    bytes.extend("Ça, c'est déjà-vu: 東京 [MASK] £12.50\n".bytes());
    bytes.extend("no more words ".repeat(40).bytes());
    bytes.extend(b"\n\n \t\nbroken \xc3( here\n");
    bytes.extend("x".repeat(1025).bytes());
    bytes.extend(b"\nthe end");
    input("texts.txt", &bytes)
}

/// Writes a file for a program in the emulator; its name.
fn input(name: &str, bytes: &[u8]) -> Result<String> {
    let path = target_dir().join("firmware").join(name);
    fs::write(&path, bytes)?;
    Ok(path.to_str().ok_or("the target folder's name is not UTF-8")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found() {
        for (expected, actual, good) in [
            ("a b\nc", "a b\nc\n", true),
            ("a {*} {<10}", "a x 9", true),
            ("a {<10}", "a 10", false),
            ("a", "b", false),
            ("a", "a b", false),
            ("a\nb", "a", false),
            ("a", "a\nb", false),
        ] {
            assert_eq!(same(expected, actual).is_ok(), good, "{expected:?} {actual:?}");
        }
    }
}

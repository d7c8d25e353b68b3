//! Runs the programs that have an expected output beside them, and compares.

use std::fs;
use std::path::{Path, PathBuf};

use super::Report;
use crate::firmware::{Board, Image, LIMIT, ended};
use crate::process::tail;
use crate::{Result, root};

/// Every program of the board that has an expected output: `NAME.out` for all boards, or `NAME.BOARD.out` for one.
pub(crate) fn run(board: Board, report: &mut Report) {
    let name = &board.target.name;
    let images = match board.build(None) {
        Ok(images) => images,
        Err(error) => return report.step(&format!("firmware for {name}"), || Err(error)),
    };
    for image in images {
        if let Some(expected) = expected(&image.program, name) {
            report.step(&format!("{} on {name}", image.program), || compare(board, &image, &expected));
        }
    }
}

fn expected(program: &str, board: &str) -> Option<PathBuf> {
    let names = [format!("{program}.{board}.out"), format!("{program}.out")];
    let folders = ["firmware/qemu", "firmware/src/bin"];
    names.iter().flat_map(|n| folders.map(|f| root().join(f).join(n))).find(|p| p.is_file())
}

/// The program must end well, and print exactly what the file says; `{board}` there stands for the board's name.
fn compare(board: Board, image: &Image, expected: &Path) -> Result {
    let done = board.emulate::<&str>(image, &[], LIMIT)?;
    let actual = String::from_utf8_lossy(&done.stderr);
    if !done.success() {
        return Err(format!("{}\n{}", tail(&actual, 30), ended(&image.program, &done)).into());
    }
    let expected = fs::read_to_string(expected)?.replace("{board}", &board.target.name);
    if let Some(n) = expected.lines().zip(actual.lines()).position(|(e, a)| e != a) {
        let line = |text: &str| text.lines().nth(n).unwrap_or_default().to_owned();
        return Err(format!("line {}:\n  expected: {}\n  actual:   {}", n + 1, line(&expected), line(&actual)).into());
    }
    match (expected.lines().count(), actual.lines().count()) {
        (e, a) if e != a => Err(format!("{e} lines expected, {a} printed\n{}", tail(&actual, 10)).into()),
        _ => Ok(()),
    }
}

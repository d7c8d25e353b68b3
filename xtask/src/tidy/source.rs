//! Rules for a single file.

use super::files::File;

const MAX_LINES: usize = 500;

/// Folders and files that may hold unsafe code. A fault handler must be an `unsafe fn`, and has nothing unsafe in it; no reference
/// reaches the stack that is not yet in use.
const UNSAFE: [&str; 4] =
    ["runtime/src/kernels/", "runtime/bindings/c/", "firmware/src/fault.rs", "firmware/src/stack.rs"];

/// The only place that may name the ONNX library.
const TRACT: &str = "converter/src/teacher/onnx";

/// The only place that may name the library of GPUs.
const WGPU: &str = "converter/src/verify/gpu/";

pub(crate) fn check(file: &File, problems: &mut Vec<String>) {
    let path = &file.path;
    if ["lock", "svg", "out", "csv", "json"].iter().any(|ending| path.ends_with(&format!(".{ending}"))) {
        return;
    }
    // In two parts, or this file would break its own rule.
    for folder in [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Use", "rs/"), concat!("/wo", "rk/")] {
        if let Some(n) = file.text.lines().position(|line| has_path(line, folder)) {
            problems.push(format!("{path}:{}: names a folder of one machine ({folder})", n + 1));
        }
    }
    if path.ends_with(".rs") {
        rust(file, problems);
    }
}

fn rust(file: &File, problems: &mut Vec<String>) {
    let path = &file.path;
    let lines = file.text.lines().count();
    if lines > MAX_LINES {
        problems.push(format!("{path}: {lines} lines, {MAX_LINES} are allowed"));
    }
    let first = file.text.lines().next().unwrap_or_default();
    if !first.starts_with("//! ") || first.len() < 20 {
        problems.push(format!("{path}:1: must say in one `//!` sentence what the file is for"));
    }
    for (n, line) in file.text.lines().enumerate() {
        let code = code(line);
        let mut problem = |what: &str| problems.push(format!("{path}:{}: {what}", n + 1));
        if words(&code).any(|w| w == "unsafe") && !UNSAFE.iter().any(|allowed| path.starts_with(allowed)) {
            problem("unsafe code is allowed in runtime/src/kernels only");
        }
        if words(&code).any(|w| w.starts_with("tract_") || w == "tract") && !path.starts_with(TRACT) {
            problem("only the ONNX importer may name tract");
        }
        if words(&code).any(|w| w == "wgpu") && !path.starts_with(WGPU) {
            problem("only the verification on GPUs may name wgpu");
        }
        let note = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
        if words(line).any(|w| note.contains(&w)) {
            problem("a note to self; do it, or say why it is as it is");
        }
    }
}

/// Whether a line has the folder as the beginning of an absolute path.
fn has_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-~*>})]".contains(c)))
}

/// A line without strings and comments, as far as one can tell line by line.
fn code(line: &str) -> String {
    let mut code = String::new();
    let mut rest = line;
    while let Some(at) = rest.find(['"', '/']) {
        code.push_str(&rest[..at]);
        if rest[at..].starts_with("//") {
            return code;
        }
        let is_string = rest[at..].starts_with('"') && !code.ends_with('\'');
        rest = &rest[at + 1..];
        if is_string {
            let end = rest.match_indices('"').find(|(end, _)| !rest[..*end].ends_with('\\'));
            rest = end.map_or("", |(end, _)| &rest[end + 1..]);
        }
    }
    code + rest
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        let mut problems = Vec::new();
        check(&File { path: path.into(), text: text.into() }, &mut problems);
        problems
    }

    #[test]
    fn each_rule_finds_its_breach() {
        let first = "//! What this is for, in a sentence.\n";
        let keyword = concat!("uns", "afe");
        for (path, text, expected) in [
            ("a/b.rs", "fn main() {}\n".to_owned(), "one `//!` sentence"),
            ("a/b.rs", first.to_owned() + &"\n".repeat(500), "501 lines"),
            ("a/b.rs", format!("{first}{keyword} fn f() {{}}\n"), "unsafe code"),
            ("converter/src/graph/x.rs", format!("{first}use {}::x;\n", concat!("tract", "_onnx")), "tract"),
            ("converter/src/verify/x.rs", format!("{first}use {}::x;\n", concat!("wg", "pu")), "wgpu"),
            ("a/b.rs", format!("{first}// {}: later\n", concat!("TO", "DO")), "note to self"),
            ("a/b.md", format!("see {}me/x\n", "/ho"), "folder of one machine"),
        ] {
            let found = problems(path, &text);
            assert!(found.len() == 1 && found[0].contains(expected), "{expected}: {found:?}");
        }
        assert_eq!(problems("runtime/src/kernels/x.rs", &format!("{first}{keyword} fn f() {{}}\n")), [""; 0]);
    }

    #[test]
    fn strings_and_comments_are_no_code() {
        assert_eq!(code("let a = \"unsafe // x\"; b(\"\\\"\") // unsafe"), "let a = ; b() ");
        assert_eq!(code("a / b"), "a  b");
    }
}

//! Runs of the program, tiny recipes, and the build that many tests look at.

use serde_json::Value;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

/// The program, not yet started, in a folder.
pub(crate) fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_limbeck-tested"));
    command.current_dir(folder);
    command
}

/// What a run of the program left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn of(output: Output) -> Run {
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        Run { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs the program with these words, of which none contains a blank, in a folder.
    pub(crate) fn new(folder: &Path, words: &str) -> Run {
        Run::of(program(folder).args(words.split_whitespace()).output().expect("the program starts"))
    }

    /// The one JSON object that a run with `--json` prints.
    pub(crate) fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"));
        assert!(value.is_object() && self.stdout.lines().count() == 1, "{self:?}");
        value
    }

    /// The JSON object of a run that succeeded.
    pub(crate) fn answer(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.json()
    }

    /// The message of a run with `--json` that failed: on stdout as JSON, and on stderr.
    pub(crate) fn error(&self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        let value = self.json();
        let text = value["error"].as_str().unwrap_or_else(|| panic!("no `error`: {self:?}"));
        let first = text.lines().next().unwrap_or_default();
        assert!(!first.is_empty() && self.stderr.contains(first), "{self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        text.to_owned()
    }
}

/// Runs the program, which must fail with a message that has all of `parts`.
pub(crate) fn refused(folder: &Path, words: &str, parts: &[&str]) {
    let run = Run::new(folder, &format!("--json {words}"));
    let text = run.error(1);
    for part in parts {
        assert!(text.contains(part), "`{words}` says `{text}`, without `{part}`");
    }
    assert_eq!(litter(folder), [""; 0], "left by `{words}`");
}

/// Files that were begun and not finished.
pub(crate) fn litter(folder: &Path) -> Vec<String> {
    files(folder).into_iter().filter(|file| file.ends_with(".partial") || file.contains(".probe")).collect()
}

/// All files in a folder and its folders, by their names from there, in order.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    fn walk(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    let mut found = Vec::new();
    if folder.is_dir() {
        walk(folder, folder, &mut found);
    }
    found.sort();
    found
}

/// A recipe of seconds: 8 classes of generated pictures, a teacher that is trained, a student.
pub(crate) fn tiny() -> String {
    format!("{}{}{}", head("generated = { train = 96, test = 40 }"), TEACHER, STUDENT)
}

/// How a recipe begins, with the `[data]` section last.
pub(crate) fn head(data: &str) -> String {
    let mut text = String::new();
    writeln!(text, "name = \"tiny\"\ntargets = [\"x86_64-linux\", \"qemu-m4\"]").unwrap();
    writeln!(text, "label = {{ views = 2 }}\nquantize = {{ samples = 16 }}\n[data]\n{data}").unwrap();
    text
}

/// A teacher that is trained.
pub(crate) const TEACHER: &str =
    "[[teacher]]\nnetwork = \"resnet8-8\"\ntrain = { epochs = 3, batch = 32, warmup = 0.5 }\n";

/// A student.
pub(crate) const STUDENT: &str =
    "[student]\nnetwork = \"resnet8-8\"\ntrain = { epochs = 3, batch = 32, warmup = 0.5, hold_out = 8 }\n";

/// A temporary folder with `r.toml`.
pub(crate) fn folder_with(recipe: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("r.toml"), recipe).unwrap();
    folder
}

/// A recipe of seconds for texts: generated requests, a teacher that is trained, a student that begins with its layer.
pub(crate) fn tiny_text() -> String {
    let head = head("generated = { kind = \"intents\", train = 160, test = 40 }\ntokens = 16");
    let train = "optimizer = { kind = \"adamw\" }, learning_rate = 2e-3, batch = 16, warmup = 0.5, ema = 0.9";
    let teacher = format!("[[teacher]]\nnetwork = \"distilbert-l2-h32-a2\"\ntrain = {{ epochs = 24, {train} }}\n");
    let student = format!(
        "network = \"distilbert-l1-h32-a2\"\ninherit = true\ntrain = {{ epochs = 24, {train}, hold_out = 8 }}\n"
    );
    format!("{head}{teacher}[student]\n{student}")
}

/// The finished build of [`tiny`], made once: a folder with `r.toml`, and the artifacts in `limbeck-out/tiny`.
pub(crate) fn built() -> &'static Path {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| build("cli", &tiny()));
    &BUILT
}

/// The finished build of [`tiny_text`], likewise.
pub(crate) fn built_text() -> &'static Path {
    static BUILT: LazyLock<PathBuf> = LazyLock::new(|| build("cli-text", &tiny_text()));
    &BUILT
}

fn build(name: &str, recipe: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    // Left by an earlier run of the tests, if any.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("r.toml"), recipe).unwrap();
    let run = Run::new(&folder, "--quiet build r.toml");
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    folder
}

/// The model file of [`built`] and of [`built_text`].
pub(crate) const MODEL: &str = "limbeck-out/tiny/tiny.lmb";

/// What a build makes that must be the same each time: everything but the report, which has times, and what is hidden.
pub(crate) fn results(work: &Path) -> Vec<(String, Vec<u8>)> {
    let lasting = |file: &String| !file.starts_with("report.") && !file.starts_with('.');
    let read = |file: String| {
        let bytes = std::fs::read(work.join(&file)).unwrap();
        (file, bytes)
    };
    files(work).into_iter().filter(lasting).map(read).collect()
}

/// Demands that a build, which may have gone no further than to the model files, has the same results as a whole one.
pub(crate) fn assert_same_results(whole: &Path, other: &Path) {
    let (whole, other) = (results(whole), results(other));
    let names: Vec<&str> = other.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"tiny.lmb") && names.contains(&"student.safetensors"), "{names:?}");
    for result in &other {
        assert!(whole.contains(result), "{} differs from the file of the other build, or is not there", result.0);
    }
}

//! Labelled texts: tables (TSV, CSV, Parquet) or files of one JSON object a text, and what a tokenizer makes of them.

mod augment;
mod intents;
mod parquet;
mod rows;
mod tokens;

pub use augment::TextAugment;
pub use intents::generate;
pub use tokens::{Encode, Tokenized};

use super::{DataError, Part, hex};
use rows::Row;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Texts with their classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// None of them is empty.
    pub texts: Vec<String>,
    /// The class of each text, below the number of classes.
    pub labels: Vec<u32>,
    /// The name of each class.
    pub classes: Vec<String>,
}

/// How a file of texts is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextFormat {
    /// Label and text with a tab between them, or columns named by a first line.
    Tsv,
    /// The same with commas, and quotes where a text has commas, quotes or line ends in it.
    Csv,
    /// Objects with a `label` and a `text`, one a line.
    Jsonl,
    /// Columns `label` and `text`, as Hugging Face keeps data sets.
    Parquet,
}

/// Formats by the ends of file names.
const ENDINGS: [(&str, TextFormat); 5] = [
    ("tsv", TextFormat::Tsv),
    ("csv", TextFormat::Csv),
    ("jsonl", TextFormat::Jsonl),
    ("ndjson", TextFormat::Jsonl),
    ("parquet", TextFormat::Parquet),
];
/// What begins the names of the files of each part, best first.
const TRAIN: &[&str] = &["train"];
const TEST: &[&str] = &["test", "dev", "valid", "eval"];
/// Names the classes, one a line; stands beside the texts.
const LABELS: &str = "labels.txt";

impl Texts {
    /// Number of texts.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// A hash of all texts and labels, in hex: names what was cached about them.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        for (text, label) in self.texts.iter().zip(&self.labels) {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
            hasher.update(label.to_le_bytes());
        }
        hex(&hasher.finalize())
    }

    /// Whether files of texts lie at `path`, a folder or a file, by their names.
    pub fn lie_at(path: &Path) -> bool {
        format_of(path).is_some()
            || [TRAIN, TEST].iter().any(|names| find(path, names).is_ok_and(|file| file.is_some()))
    }

    /// Reads a part of the texts at `path`: of a folder the file whose name begins with `train` or `test`, of a file the file.
    ///
    /// Labels are the numbers or the names of classes. The names are those of a file `labels.txt` beside the texts; without one,
    /// those that the training part has, sorted.
    ///
    /// # Errors
    /// If there is no such file, or a line of it is not a label and a text.
    pub fn load(path: &Path, part: Part, format: Option<TextFormat>) -> Result<Texts, DataError> {
        let read = |part: Part| -> Result<Vec<(PathBuf, Vec<Row>)>, DataError> {
            let read = |file: PathBuf| {
                let format = format.or(format_of(&file));
                let format = format.ok_or_else(|| DataError::UnknownFormat { path: file.clone() })?;
                rows::read(&file, format).map(|rows| (file, rows))
            };
            shards(part_file(path, part)?)?.into_iter().map(read).collect()
        };
        let chosen = part_file(path, part)?;
        let files = read(part)?;
        let listed = chosen.with_file_name(LABELS);
        let classes = if listed.is_file() {
            class_list(&listed)?
        } else if part == Part::Test && path.is_dir() {
            class_names(&read(Part::Train)?)
        } else {
            class_names(&files)
        };
        let mut data = Texts { texts: Vec::new(), labels: Vec::new(), classes };
        for (file, rows) in files {
            for Row { line, label, text } in rows {
                let Some(class) = class_of(&label, &data.classes) else {
                    let problem = format!("has the label `{label}`, which is not among {}", some(&data.classes));
                    return Err(DataError::Row { path: file, line, problem });
                };
                data.labels.push(class);
                data.texts.push(text);
            }
        }
        match data.labels.first() {
            None => Err(DataError::NoText { path: chosen }),
            Some(&first) if part == Part::Train && data.labels.iter().all(|&label| label == first) => {
                let class = data.classes[first as usize].clone();
                Err(DataError::OneClass { path: chosen, class, images: data.len() })
            }
            Some(_) => Ok(data),
        }
    }
}

impl Texts {
    /// Texts without labels: the lines of a file that are not blank, all of one class that has no name.
    ///
    /// # Errors
    /// If there is no such file, it is not UTF-8, or it holds no text.
    pub fn of_lines(path: &Path) -> Result<Texts, DataError> {
        let texts = rows::plain(path)?;
        match texts.len() {
            0 => Err(DataError::NoText { path: path.to_owned() }),
            count => Ok(Texts { texts, labels: vec![0; count], classes: vec![String::new()] }),
        }
    }
}

/// The format that a file's name says.
fn format_of(path: &Path) -> Option<TextFormat> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    ENDINGS.iter().find(|(ending, _)| *ending == extension).map(|(_, format)| *format)
}

/// The file of a part.
fn part_file(path: &Path, part: Part) -> Result<PathBuf, DataError> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let (names, part, expected) = match part {
        Part::Train => (TRAIN, "train", "a file `train.tsv`, `train.csv`, `train.jsonl` or `train.parquet`"),
        Part::Test => (TEST, "test", "a file `test.tsv`, `test.csv`, `test.jsonl` or `test.parquet`"),
    };
    find(path, names)?.ok_or_else(|| DataError::NoPart { path: path.to_owned(), part, expected })
}

/// The first file of texts whose name begins as one of `names` does; a shorter name is better.
fn find(folder: &Path, names: &[&str]) -> Result<Option<PathBuf>, DataError> {
    let fail = |source| DataError::Read { path: folder.to_owned(), source };
    let mut best: Option<(usize, usize, PathBuf)> = None;
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_ascii_lowercase();
        let rank = names.iter().position(|name| stem.starts_with(name));
        if let Some(rank) = rank.filter(|_| format_of(&path).is_some()) {
            let candidate = (rank, stem.len(), path);
            best = Some(best.map_or_else(|| candidate.clone(), |best| best.min(candidate.clone())));
        }
    }
    Ok(best.map(|(.., path)| path))
}

/// The files that a part is spread over: itself, or all that are called as it is but for a number, `train-00000-of-00002.parquet`.
fn shards(first: PathBuf) -> Result<Vec<PathBuf>, DataError> {
    let pieces = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        let (begin, end) = name.split_once("-of-")?;
        let (begin, number) = begin.rsplit_once('-')?;
        number.parse::<usize>().ok().map(|_| (begin.to_owned(), end.to_owned()))
    };
    let (Some(own), Some(folder)) = (pieces(&first), first.parent()) else { return Ok(vec![first]) };
    let fail = |source| DataError::Read { path: folder.to_owned(), source };
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if pieces(&path).as_ref() == Some(&own) {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

/// The classes that a list names.
fn class_list(path: &Path) -> Result<Vec<String>, DataError> {
    let text = fs::read_to_string(path).map_err(|source| DataError::Read { path: path.to_owned(), source })?;
    let classes: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    let mut seen = BTreeSet::new();
    for (index, class) in classes.iter().enumerate() {
        let problem = match class.is_empty() {
            true => "names no class".to_owned(),
            false if !seen.insert(class) => format!("names `{class}` again"),
            false => continue,
        };
        return Err(DataError::Row { path: path.to_owned(), line: index + 1, problem });
    }
    Ok(classes)
}

/// The classes of labels without a list: all numbers up to the largest, or the names, sorted.
fn class_names(files: &[(PathBuf, Vec<Row>)]) -> Vec<String> {
    let labels = || files.iter().flat_map(|(_, rows)| rows).map(|row| &row.label);
    let numbers: Option<Vec<usize>> = labels().map(|label| label.parse().ok()).collect();
    match numbers.and_then(|numbers| numbers.into_iter().max()) {
        Some(largest) if largest < labels().count() => (0..=largest).map(|class| class.to_string()).collect(),
        _ => labels().cloned().collect::<BTreeSet<_>>().into_iter().collect(),
    }
}

/// The class that a label names: a name, or else a number.
fn class_of(label: &str, classes: &[String]) -> Option<u32> {
    let named = classes.iter().position(|class| class == label);
    let number = || label.parse().ok().filter(|&class: &usize| class < classes.len());
    named.or_else(number).and_then(|class| u32::try_from(class).ok())
}

/// The first of many names.
fn some(names: &[String]) -> String {
    let shown = names.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 8 { format!("{shown}, .. ({} in all)", names.len()) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn load(files: &[(&str, &str)], part: Part) -> Result<Texts, DataError> {
        Texts::load(folder(files).path(), part, None)
    }

    #[test]
    fn all_formats_hold_the_same_texts() {
        let expected = Texts {
            texts: vec!["good, very".into(), "a \"bad\" one".into(), "fine".into()],
            labels: vec![1, 0, 1],
            classes: vec!["no".into(), "yes".into()],
        };
        let rows = [
            ("train.tsv", "yes\tgood, very\nno\ta \"bad\" one\nyes\tfine\n"),
            ("train.tsv", "text\tid\tlabel\r\ngood, very\t1\tyes\r\na \"bad\" one\t2\tno\r\nfine\t3\tyes\r\n"),
            ("train.csv", "yes,\"good, very\"\nno,\"a \"\"bad\"\" one\"\nyes,fine"),
            ("train.csv", "sentence,label\n\"good, very\",yes\n\"a \"\"bad\"\" one\",no\nfine,yes\n"),
            ("train_10k.csv", "yes,\"good, very\"\nno,\"a \"\"bad\"\" one\"\nyes,fine"),
            (
                "train.jsonl",
                "{\"label\": \"yes\", \"text\": \"good, very\"}\n{\"text\": \"a \\\"bad\\\" one\", \"label\": \"no\"}\n\n\
                 {\"label\": \"yes\", \"text\": \"fine\"}\n",
            ),
        ];
        for (name, text) in rows {
            assert_eq!(load(&[(name, text)], Part::Train).unwrap(), expected, "{name}");
        }
        let numbers = [("train.tsv", "1\tgood, very\n0\ta \"bad\" one\n1\tfine\n"), ("labels.txt", "no\nyes\n")];
        assert_eq!(load(&numbers, Part::Train).unwrap(), expected);
    }

    #[test]
    fn lines_are_texts_without_labels() {
        let folder = folder(&[("a.txt", "\u{feff}one text\n \r\nanother\tone\r\n"), ("b.txt", "\n\n")]);
        let data = Texts::of_lines(&folder.path().join("a.txt")).unwrap();
        assert_eq!(
            (&data.texts[..], data.labels),
            (&["one text".to_owned(), "another\tone".to_owned()][..], vec![0, 0])
        );
        fs::write(folder.path().join("c.txt"), b"good\n\xff\n").unwrap();
        let rows = [("b.txt", "holds no text"), ("c.txt", "c.txt:2: is not UTF-8"), ("d.txt", "cannot read")];
        for (name, expected) in rows {
            let error = Texts::of_lines(&folder.path().join(name)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_part_may_be_spread_over_files() {
        let files =
            [("train-00000-of-00002.tsv", "0\ta\n"), ("train-00001-of-00002.tsv", "1\tb\n"), ("test.tsv", "0\tc\n")];
        assert_eq!(load(&files, Part::Train).unwrap().texts, ["a", "b"]);
        let test = load(&files, Part::Test).unwrap();
        assert_eq!((test.texts, test.classes), (vec!["c".to_owned()], vec!["0".to_owned(), "1".to_owned()]));
    }

    #[test]
    fn a_quoted_text_may_have_lines() {
        let data = load(&[("train.csv", "0,\"one\ntwo\"\n1,three\n")], Part::Train).unwrap();
        assert_eq!(data.texts, ["one\ntwo", "three"]);
    }

    #[test]
    fn the_test_part_has_the_classes_of_the_training_part() {
        let files = [("train.tsv", "a\tx\nb\ty\nc\tz\n"), ("test_public.tsv", "c\tw\n"), ("dev.tsv", "a\tv\n")];
        let test = load(&files, Part::Test).unwrap();
        assert_eq!((test.labels, test.classes.len(), test.texts), (vec![2], 3, vec!["w".to_owned()]));
        assert!(Texts::lie_at(folder(&files).path()) && !Texts::lie_at(folder(&[]).path()));
    }

    #[test]
    fn what_is_no_labelled_text_is_told_with_its_line() {
        let rows: [(&[(&str, &str)], &str); 12] = [
            (&[("train.tsv", "0\tgood\n1\t \n")], "train.tsv:2: has an empty text"),
            (&[("train.tsv", "0\tgood\njust text\n")], "train.tsv:2: has 1 columns instead of 2"),
            (&[("train.tsv", "0\tgood\tbetter\n")], "train.tsv:1: has 3 columns"),
            (&[("train.tsv", "text\tid\nx\t1\n")], "train.tsv:1: has a column `text`, but no column `label`"),
            (&[("train.csv", "0,\"good\n1,bad\n")], "train.csv:1: begins a quote that does not end"),
            (&[("train.csv", "0,\"good\" bad\n")], "train.csv:1: goes on behind a quote"),
            (&[("train.jsonl", "{\"label\": 0}\n")], "train.jsonl:1: has no `text`"),
            (&[("train.jsonl", "{\"label\": 0, \"text\": \"x\"}\n[]\n")], "train.jsonl:2: is not an object"),
            (&[("train.tsv", "0\tx\n3\ty\n"), ("labels.txt", "a\nb\n")], "train.tsv:2: has the label `3`"),
            (&[("train.tsv", "0\tx\n"), ("labels.txt", "a\na\n")], "labels.txt:2: names `a` again"),
            (&[("train.tsv", "\n")], "holds no text"),
            (&[("train.tsv", "0\tx\n0\ty\n")], "one class"),
        ];
        for (files, expected) in rows {
            let error = load(files, Part::Train).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}, expected {expected}");
        }
        let broken = folder(&[]);
        fs::write(broken.path().join("train.tsv"), b"0\tgood\n1\t\xff\n").unwrap();
        let error = Texts::load(broken.path(), Part::Train, None).unwrap_err().to_string();
        assert!(error.contains("train.tsv:2: is not UTF-8"), "{error}");
        let error = Texts::load(broken.path(), Part::Test, None).unwrap_err().to_string();
        assert!(error.contains("no test part") && error.contains("test.tsv"), "{error}");
    }
}

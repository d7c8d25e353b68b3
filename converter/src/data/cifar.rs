//! The CIFAR-10 binary layout (Krizhevsky 2009): records of a label byte and three 32x32 planes, plain or compressed by xz.

use super::{DataError, Dataset, Part};
use lzma_rust2::XzReader;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// Rows and columns.
const SIDE: usize = 32;
/// Pixels of a plane.
const PLANE: usize = SIDE * SIDE;
/// Bytes of a record.
const RECORD: usize = 1 + 3 * PLANE;
/// In label order.
const CLASSES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Whether `path` is a record file or a folder that holds one.
pub(super) fn looks_like(path: &Path) -> Result<bool, DataError> {
    if !path.is_dir() {
        return Ok(is_record_file(path));
    }
    Ok(files(path)?.iter().any(|file| is_part(file, Part::Train) || is_part(file, Part::Test)))
}

/// The images of a part; a single file is taken for whichever part is asked for.
pub(super) fn load(path: &Path, part: Part) -> Result<Dataset, DataError> {
    let files = if path.is_dir() {
        files(path)?.into_iter().filter(|file| is_part(file, part)).collect()
    } else {
        vec![path.to_owned()]
    };
    if files.is_empty() {
        let (part, expected) = match part {
            Part::Train => ("train", "`data_batch_*.bin` or `data_batch_*.bin.xz`"),
            Part::Test => ("test", "`test*.bin` or `test*.bin.xz`"),
        };
        return Err(DataError::NoPart { path: path.to_owned(), part, expected });
    }
    let classes = CLASSES.map(str::to_owned).to_vec();
    let mut data = Dataset { shape: [SIDE, SIDE, 3], pixels: Vec::new(), labels: Vec::new(), classes };
    for file in files {
        let bytes = read(&file)?;
        append(&mut data, &file, &bytes)?;
    }
    Ok(data)
}

/// Adds the records of a file, their planes interleaved.
fn append(data: &mut Dataset, path: &Path, bytes: &[u8]) -> Result<(), DataError> {
    let (records, rest) = bytes.as_chunks::<RECORD>();
    if !rest.is_empty() {
        let (bytes, records) = (bytes.len(), records.len());
        return Err(DataError::Truncated { path: path.to_owned(), bytes, record: RECORD, records });
    }
    data.pixels.reserve(records.len() * 3 * PLANE);
    for (record, &[label, ref planes @ ..]) in records.iter().enumerate() {
        let label = u32::from(label);
        if label as usize >= CLASSES.len() {
            return Err(DataError::Label { path: path.to_owned(), record, label, classes: CLASSES.len() });
        }
        data.labels.push(label);
        for pixel in 0..PLANE {
            data.pixels.extend([planes[pixel], planes[PLANE + pixel], planes[2 * PLANE + pixel]]);
        }
    }
    Ok(())
}

/// The files of a folder in order of their names.
fn files(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let fail = |source| DataError::Read { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        files.push(entry.map_err(fail)?.path());
    }
    files.sort();
    Ok(files)
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or("")
}

fn is_record_file(path: &Path) -> bool {
    name(path).ends_with(".bin") || name(path).ends_with(".bin.xz")
}

fn is_part(path: &Path, part: Part) -> bool {
    let prefix = match part {
        Part::Train => "data_batch_",
        Part::Test => "test",
    };
    is_record_file(path) && name(path).starts_with(prefix)
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let fail = |source| DataError::Read { path: path.to_owned(), source };
    let mut file = BufReader::new(File::open(path).map_err(fail)?);
    let mut bytes = Vec::new();
    if name(path).ends_with(".xz") {
        XzReader::new(file, true).read_to_end(&mut bytes).map_err(fail)?;
    } else {
        file.read_to_end(&mut bytes).map_err(fail)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lzma_rust2::{XzOptions, XzWriter};
    use std::io::Write;

    /// A record whose planes hold 1, 2 and 3, but for the first pixel.
    fn record(label: u8) -> Vec<u8> {
        let mut bytes = vec![label];
        for plane in 1..=3u8 {
            bytes.push(10 * plane);
            bytes.resize(bytes.len() + PLANE - 1, plane);
        }
        bytes
    }

    fn folder_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut writer = XzWriter::new(Vec::new(), XzOptions::default()).unwrap();
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn parts_are_found_and_planes_interleaved() {
        let folder = folder_with(&[
            ("data_batch_2.bin.xz", &xz(&record(7))),
            ("data_batch_1.bin", &[record(3), record(9)].concat()),
            ("test_batch.bin", &[record(0), record(1)].concat()),
            ("readme.txt", b"hello"),
        ]);
        let train = Dataset::load(folder.path(), Part::Train, None, None).unwrap();
        assert_eq!(train.labels, [3, 9, 7]);
        assert_eq!(train.image(2)[..6], [10, 20, 30, 1, 2, 3]);
        assert_eq!(Dataset::load(folder.path(), Part::Test, None, None).unwrap().labels, [0, 1]);
    }

    #[test]
    fn bad_files_are_told() {
        let whole = [record(1), record(2)].concat();
        let packed = xz(&whole);
        let rows: &[(&str, Vec<u8>, &str)] = &[
            ("data_batch_1.bin", whole[..RECORD + 5].to_vec(), "truncated"),
            ("data_batch_1.bin", [record(1), record(10)].concat(), "record 1"),
            ("data_batch_1.bin", record(4).repeat(3), "one class, `deer`"),
            ("data_batch_1.bin", Vec::new(), "no image"),
            ("data_batch_1.bin.xz", packed[..packed.len() / 2].to_vec(), "cannot read"),
            ("test.bin", whole.clone(), "no train part"),
        ];
        for (file, bytes, expected) in rows {
            let folder = folder_with(&[(file, bytes)]);
            let error = Dataset::load(folder.path(), Part::Train, None, None).unwrap_err().to_string();
            assert!(error.contains(expected), "{file}: {error}");
        }
    }
}

//! How each stage's result is stored: one file under the work folder, stamped with the hash of all that it was made from.
//!
//! ```text
//! <work>/teacher.safetensors        the result itself
//! <work>/teacher.safetensors.stamp  {"key": .., "digest": .., "bytes": ..}
//! ```
//!
//! A [`Key`] hashes the name and revision of the stage, its settings, and the digests of the artifacts that it reads. A
//! stage is done again exactly when no stored artifact carries its key, or when the stored bytes are not those that were
//! stamped. The artifact is in place before its stamp, so a build that is killed between the two repeats the stage.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// SHA-256 of some bytes, printed as 64 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Digest(Sha256::digest(bytes).into())
    }

    /// The digest of a file's bytes, or of a folder's: the names and bytes of everything in it, in the order of names.
    ///
    /// # Errors
    /// If something of it cannot be read.
    pub fn of_path(path: &Path) -> Result<Self, ArtifactError> {
        let failed = |e| ArtifactError::new(path, Doing::Read, e);
        if !fs::metadata(path).map_err(failed)?.is_dir() {
            return digest_file(path).map_err(failed);
        }
        let mut names: Vec<PathBuf> = fs::read_dir(path)
            .map_err(failed)?
            .map(|e| e.map(|e| e.path()))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        names.sort();
        let mut hash = Sha256::new();
        for name in names {
            let file = name.file_name().unwrap_or_default().as_encoded_bytes();
            hash.update((file.len() as u64).to_le_bytes());
            hash.update(file);
            hash.update(Digest::of_path(&name)?.0);
        }
        Ok(Digest(hash.finalize().into()))
    }

    /// The first twelve hex digits: enough to tell the states of one work folder apart.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn digest_file(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest(hash.finalize().into())),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// What an artifact was made from; equal keys promise equal bytes.
#[derive(Clone, Debug)]
pub struct Key(Sha256);

impl Key {
    /// The key of a stage that reads nothing yet. `revision` rises when the stage's code changes what it makes.
    pub fn new(stage: &str, revision: u32) -> Self {
        Key(Sha256::new()).field(stage, &revision.to_le_bytes())
    }

    /// Adds an artifact that the stage reads.
    #[must_use]
    pub fn with(self, name: &str, digest: Digest) -> Self {
        self.field(name, &digest.0)
    }

    /// Adds settings of the stage, as their JSON text.
    #[must_use]
    pub fn settings(self, name: &str, settings: &impl Serialize) -> Self {
        let text = serde_json::to_vec(settings).unwrap_or_else(|e| panic!("the settings `{name}` are plain data: {e}"));
        self.field(name, &text)
    }

    fn field(mut self, name: &str, bytes: &[u8]) -> Self {
        for part in [name.as_bytes(), bytes] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// The key as a digest.
    pub fn digest(&self) -> Digest {
        Digest(self.0.clone().finalize().into())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stamp {
    key: String,
    digest: String,
    bytes: u64,
}

/// The work folder of one recipe, which one build at a time may hold.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// Held as long as it is open; the system lets go of it even if the program is killed.
    _lock: File,
}

/// Begins and ends the names of files that are being written.
const PARTIAL: [&str; 2] = [".limbeck-", ".partial"];

impl Store {
    /// Opens a work folder, making it where it does not exist, and clears away what a build that was killed had begun to
    /// write there.
    ///
    /// # Errors
    /// If it cannot be made, or nothing can be written there (better now than after an hour of training), or another
    /// build is at work in it.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, ArtifactError> {
        let root = root.into();
        let failed = |e| ArtifactError::new(&root, Doing::Write, e);
        fs::create_dir_all(&root).map_err(failed)?;
        let lock = File::options().write(true).create(true).truncate(false).open(root.join(".lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => clear_partial(&root).map_err(failed)?,
            Err(TryLockError::WouldBlock) => return Err(failed(io::ErrorKind::ResourceBusy.into())),
            // Some network file systems have no locks; then nothing is cleared away either.
            Err(TryLockError::Error(_)) => {}
        }
        tempfile::Builder::new().prefix(".probe").tempfile_in(&root).map_err(failed)?;
        Ok(Store { root, _lock: lock })
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the artifact of a name lies, whether it exists or not.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The digest of the stored artifact if it was made from `key` and is unharmed; `None` asks for the stage to run.
    pub fn current(&self, name: &str, key: &Key) -> Option<Digest> {
        let stamp: Stamp = serde_json::from_slice(&fs::read(self.stamp(name)).ok()?).ok()?;
        let path = self.path(name);
        let unchanged = stamp.key == key.digest().to_string() && fs::metadata(&path).ok()?.len() == stamp.bytes;
        let digest = unchanged.then(|| digest_file(&path).ok())??;
        (digest.to_string() == stamp.digest).then_some(digest)
    }

    /// Reads an artifact.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, ArtifactError> {
        let path = self.path(name);
        fs::read(&path).map_err(|e| ArtifactError::new(&path, Doing::Read, e))
    }

    /// Stores an artifact and then its stamp, each whole or not at all.
    ///
    /// # Errors
    /// If either cannot be written; the former artifact then stays as it was.
    pub fn write(&self, name: &str, key: &Key, bytes: &[u8]) -> Result<Digest, ArtifactError> {
        write_whole(&self.path(name), bytes)?;
        let digest = Digest::of(bytes);
        let stamp = Stamp { key: key.digest().to_string(), digest: digest.to_string(), bytes: bytes.len() as u64 };
        let text = serde_json::to_vec(&stamp).expect("a stamp is three plain fields");
        write_whole(&self.stamp(name), &text)?;
        Ok(digest)
    }

    /// Takes an artifact from its place: `NAME.END` becomes `NAME.refused.END`, which nothing reads.
    ///
    /// # Errors
    /// If it cannot be moved.
    pub fn set_aside(&self, name: &str) -> Result<(), ArtifactError> {
        let path = self.path(name);
        let end = path.extension().map_or_else(String::new, |end| format!(".{}", end.to_string_lossy()));
        let aside = path.with_extension(format!("refused{end}"));
        fs::rename(&path, &aside).map_err(|e| ArtifactError::new(&path, Doing::Write, e))
    }

    fn stamp(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.stamp"))
    }
}

/// Removes files of a folder, and of its folders, whose writing was cut short.
fn clear_partial(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            clear_partial(&entry.path())?;
        } else if name.starts_with(PARTIAL[0]) && name.ends_with(PARTIAL[1]) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Writes a whole file or nothing: the bytes go to a temporary file in the same folder, which then takes the name.
///
/// Something that is not a regular file (a pipe, a device) cannot be replaced so, and is written into.
///
/// # Errors
/// If the disk is full, or the folder is missing or may not be written to. What was at `path` before is then still there.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), ArtifactError> {
    let failed = |e| ArtifactError::new(path, Doing::Write, e);
    if fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir()) {
        return File::options().write(true).open(path).and_then(|mut file| file.write_all(bytes)).map_err(failed);
    }
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file =
        tempfile::Builder::new().prefix(PARTIAL[0]).suffix(PARTIAL[1]).tempfile_in(folder).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    readable_by_all(file.as_file()).map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// A temporary file starts out private; what it becomes is an ordinary file.
#[cfg(unix)]
fn readable_by_all(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_all(_: &File) -> io::Result<()> {
    Ok(())
}

/// What was tried with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Reading it.
    Read,
    /// Writing it.
    Write,
}

/// A file that could not be read or written, why, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("cannot {} {}: {}{}", if *.doing == Doing::Read { "read" } else { "write" }, .path.display(), .source, self.remedy())]
pub struct ArtifactError {
    /// The file.
    pub path: PathBuf,
    /// What was tried.
    pub doing: Doing,
    /// What the system says.
    pub source: io::Error,
}

impl ArtifactError {
    /// The error of `doing` something with `path`.
    pub fn new(path: &Path, doing: Doing, source: io::Error) -> Self {
        ArtifactError { path: path.to_owned(), doing, source }
    }

    fn remedy(&self) -> &'static str {
        match (self.source.kind(), self.doing) {
            (io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge, _) => {
                "; nothing was changed: make room, or choose another folder, and run the same command again"
            }
            (io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem, Doing::Write) => {
                "; choose a folder that you may write to"
            }
            (io::ErrorKind::NotFound, Doing::Write) => "; its folder does not exist",
            (io::ErrorKind::ResourceBusy, Doing::Write) => {
                "; another build is at work there: let it end, or choose another folder"
            }
            _ => "",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(setting: u32) -> Key {
        Key::new("test", 1).with("input", Digest::of(b"input")).settings("settings", &setting)
    }

    #[test]
    fn an_artifact_is_current_for_its_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("new/work")).unwrap();
        assert_eq!(store.current("a.bin", &key(1)), None);
        let digest = store.write("a.bin", &key(1), b"result").unwrap();
        assert_eq!(store.current("a.bin", &key(1)), Some(digest));
        assert_eq!(store.current("a.bin", &key(2)), None, "other settings");
        fs::write(store.path("a.bin"), b"reSult").unwrap();
        assert_eq!(store.current("a.bin", &key(1)), None, "bytes changed behind our back");
    }

    #[test]
    fn a_folder_is_for_one_build_at_a_time_and_litter_is_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let litter = folder.path().join("labels/.limbeck-x1.partial");
        fs::create_dir(litter.parent().unwrap()).unwrap();
        fs::write(&litter, b"half").unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(!litter.exists());
        let error = Store::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("another build is at work there"), "{error}");
        drop(store);
        Store::open(folder.path()).unwrap();
    }

    #[test]
    fn fields_of_a_key_do_not_run_into_each_other() {
        let one = Key::new("s", 1).settings("ab", &"c").digest();
        let two = Key::new("s", 1).settings("a", &"bc").digest();
        assert_ne!(one, two);
    }

    #[test]
    fn a_folder_has_a_digest_of_names_and_bytes() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), b"1").unwrap();
        let before = Digest::of_path(folder.path()).unwrap();
        fs::rename(folder.path().join("a"), folder.path().join("b")).unwrap();
        assert_ne!(Digest::of_path(folder.path()).unwrap(), before);
    }

    #[test]
    fn a_failed_write_leaves_the_former_file_and_no_litter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone/a.bin");
        let error = write_whole(&path, b"x").unwrap_err();
        assert!(error.to_string().contains("its folder does not exist"), "{error}");
        let path = folder.path().join("a.bin");
        write_whole(&path, b"first").unwrap();
        write_whole(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_named() {
        let error = write_whole(Path::new("/dev/full"), b"x").unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().contains("make room"), "{error}");
    }
}

//! The whole state of a training in one file, written so that the file is always a whole one.

use crate::artifact::{ArtifactError, Doing, write_whole};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// Why a checkpoint could not be written or used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file system said no; a checkpoint written before is untouched.
    #[error("checkpoint: {0}")]
    File(#[from] ArtifactError),
    /// Not a checkpoint of this program.
    #[error("checkpoint {} is damaged ({problem}); remove it to start again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It belongs to another training.
    #[error(
        "checkpoint {} belongs to a training with other settings or data; remove it to start again, \
         or run with what it was made with", path.display()
    )]
    Other {
        /// The file.
        path: PathBuf,
    },
}

/// The numbers of a training under names: `f32` tensors without a shape, and one list of `f64`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Snapshot {
    /// Weights, running means and the like.
    pub(super) tensors: BTreeMap<String, Vec<f32>>,
    /// Position, sums and history.
    pub(super) progress: Vec<f64>,
}

/// Name of the list of `f64`.
const PROGRESS: &str = "progress";
/// Key of the hash of all that the training depends on.
const OF: &str = "of";

/// Writes a snapshot of the training that hashes to `of`; either the whole file is there afterwards or the former one.
pub(super) fn save(path: &Path, of: &str, snapshot: &Snapshot) -> Result<(), CheckpointError> {
    let fail = |source| ArtifactError::new(path, Doing::Write, source);
    let mut bytes: Vec<(&str, Dtype, usize, Vec<u8>)> = snapshot
        .tensors
        .iter()
        .map(|(name, v)| (name.as_str(), Dtype::F32, v.len(), v.iter().flat_map(|x| x.to_le_bytes()).collect()))
        .collect();
    let progress = snapshot.progress.iter().flat_map(|x| x.to_le_bytes()).collect();
    bytes.push((PROGRESS, Dtype::F64, snapshot.progress.len(), progress));
    let broken = |e: safetensors::SafeTensorError| fail(std::io::Error::other(e));
    let mut views = Vec::new();
    for (name, dtype, len, data) in &bytes {
        views.push((*name, TensorView::new(*dtype, vec![*len], data).map_err(broken)?));
    }
    let metadata = HashMap::from([(OF.to_owned(), of.to_owned())]);
    let file = serialize(views, Some(metadata)).map_err(broken)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    Ok(write_whole(path, &file)?)
}

/// The snapshot at `path`, if there is a file, of the training that hashes to `of`.
pub(super) fn load(path: &Path, of: &str) -> Result<Option<Snapshot>, CheckpointError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(ArtifactError::new(path, Doing::Read, e).into()),
    };
    let damaged =
        |problem: &dyn ToString| CheckpointError::Damaged { path: path.to_owned(), problem: problem.to_string() };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(&e))?;
    let found = header.metadata().as_ref().and_then(|m| m.get(OF));
    match found {
        None => return Err(damaged(&"it does not say what training it is of")),
        Some(found) if found != of => return Err(CheckpointError::Other { path: path.to_owned() }),
        Some(_) => {}
    }
    let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(&e))?;
    let mut snapshot = Snapshot::default();
    for (name, view) in file.iter() {
        match view.dtype() {
            Dtype::F64 if name == PROGRESS => {
                snapshot.progress = view.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
            }
            Dtype::F32 => {
                let values = view.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
                snapshot.tensors.insert(name.to_owned(), values);
            }
            other => return Err(damaged(&format!("tensor `{name}` holds {other:?}"))),
        }
    }
    Ok(Some(snapshot))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let tensors = [("a".to_owned(), vec![1.5, f32::MIN_POSITIVE]), ("b".to_owned(), vec![])];
        Snapshot { tensors: tensors.into(), progress: vec![1.0, 1.0 / 3.0] }
    }

    #[test]
    fn snapshots_come_back_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/checkpoint");
        assert_eq!(load(&path, "x").unwrap(), None);
        save(&path, "x", &snapshot()).unwrap();
        assert_eq!(load(&path, "x").unwrap(), Some(snapshot()));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn others_and_damaged_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        save(&path, "x", &snapshot()).unwrap();
        assert!(matches!(load(&path, "y"), Err(CheckpointError::Other { .. })));
        let bytes = std::fs::read(&path).unwrap();
        for len in 0..bytes.len() {
            std::fs::write(&path, &bytes[..len]).unwrap();
            assert!(matches!(load(&path, "x"), Err(CheckpointError::Damaged { .. })), "cut to {len}");
        }
    }

    #[test]
    fn a_failed_write_keeps_the_former_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        std::fs::create_dir(&path).unwrap();
        let error = save(&path, "x", &snapshot()).unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error}");
        assert!(path.is_dir() && std::fs::read_dir(folder.path()).unwrap().count() == 1);
    }
}

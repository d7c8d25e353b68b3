//! Weights in files of `torch.save` (`pytorch_model.bin`, `.pt`, `.pth`): a pickle of tensors, in a zip archive or, before
//! PyTorch 1.6, with their numbers behind it.
//!
//! A pickle is a program. Only the instructions and names that a dictionary of tensors needs are carried out (`pickle`), none of
//! which can do anything but describe tensors; anything else is refused.

mod pickle;

use super::safetensors::floats;
use ::safetensors::tensor::{Dtype, TensorView};
use pickle::{Described, Machine, Value};
use std::collections::BTreeMap;
use std::io::{Cursor, Read};

/// Why a file is no dictionary of tensors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TorchError {
    /// The archive around the pickle is damaged or compressed.
    #[error("it is no zip archive of `torch.save` ({0})")]
    Archive(String),
    /// The pickle ends too soon, or its instructions do not fit together.
    #[error("its pickle is damaged at byte {at} ({problem})")]
    Damaged {
        /// Where.
        at: usize,
        /// What is wrong.
        problem: &'static str,
    },
    /// The pickle would do something else than describe tensors.
    #[error("its pickle asks for {what}, which is not carried out; save the model's `state_dict()` alone")]
    Refused {
        /// What it asks for.
        what: String,
    },
    /// A tensor is not wholly in its storage.
    #[error("tensor `{name}` reaches beyond its storage of {len} bytes")]
    Beyond {
        /// The tensor.
        name: String,
        /// Bytes of the storage.
        len: usize,
    },
}

/// The tensors of a file.
pub struct Checkpoint {
    tensors: BTreeMap<String, Described>,
    storages: BTreeMap<String, Vec<u8>>,
}

/// What begins the file of a zip archive.
const ZIP: &[u8] = b"PK\x03\x04";
/// The number that begins files from before PyTorch 1.6, as its pickle is written.
const MAGIC: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.";

impl Checkpoint {
    /// Reads all tensors of a file.
    ///
    /// # Errors
    /// If it is no such file, is damaged, or holds anything but tensors and plain data.
    pub fn read(bytes: &[u8]) -> Result<Checkpoint, TorchError> {
        if bytes.starts_with(ZIP) {
            Self::read_archive(bytes)
        } else if let Some(behind) = bytes.strip_prefix(MAGIC) {
            Self::read_behind(behind)
        } else {
            Err(TorchError::Archive("it begins like neither an archive nor a pickle".to_owned()))
        }
    }

    fn read_archive(bytes: &[u8]) -> Result<Checkpoint, TorchError> {
        let broken = |error: zip::result::ZipError| TorchError::Archive(error.to_string());
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
        let names = archive.file_names().map(|name| name.map(|name| name.into_owned()));
        let names = names.collect::<Result<Vec<String>, _>>().map_err(broken)?;
        let mut contents = |name: &str| -> Result<Vec<u8>, TorchError> {
            let mut file = archive.by_name(name).map_err(broken)?;
            let mut content = Vec::new();
            // Nothing that is stored as it is can be longer than the archive.
            file.by_ref().take(bytes.len() as u64).read_to_end(&mut content).map_err(|e| broken(e.into()))?;
            Ok(content)
        };
        let Some(folder) = names.iter().find_map(|name| name.strip_suffix("data.pkl")) else {
            return Err(TorchError::Archive("it has no data.pkl".to_owned()));
        };
        if let Some(order) = names.iter().find(|name| **name == format!("{folder}byteorder"))
            && contents(order)? != b"little"
        {
            return Err(TorchError::Archive("its numbers are big-endian".to_owned()));
        }
        let (top, _) = Machine::new(&contents(&format!("{folder}data.pkl"))?).run()?;
        let tensors = described(&top)?;
        let mut storages = BTreeMap::new();
        for tensor in tensors.values() {
            if !storages.contains_key(&tensor.storage) {
                storages.insert(tensor.storage.clone(), contents(&format!("{folder}data/{}", tensor.storage))?);
            }
        }
        Ok(Checkpoint { tensors, storages })
    }

    /// The older form: version, machine, dictionary and a list of storages, a pickle each; then the storages in that order, the
    /// number of elements before each.
    fn read_behind(mut bytes: &[u8]) -> Result<Checkpoint, TorchError> {
        let mut next = || -> Result<Value, TorchError> {
            let (value, len) = Machine::new(bytes).run()?;
            bytes = &bytes[len..];
            Ok(value)
        };
        let (_version, _machine, top, order) = (next()?, next()?, next()?, next()?);
        let tensors = described(&top)?;
        let Value::List(order) = order else {
            return Err(TorchError::Refused { what: "storages without a list".into() });
        };
        let types: BTreeMap<&str, Dtype> = tensors.values().map(|t| (t.storage.as_str(), t.dtype)).collect();
        let mut storages = BTreeMap::new();
        for key in &order {
            let end = TorchError::Damaged { at: bytes.len(), problem: "a storage is cut off" };
            let (Value::Text(key), Some((count, rest))) = (key, bytes.split_first_chunk::<8>()) else {
                return Err(end);
            };
            // A storage that no tensor reads is of a type that nothing says, so nothing behind it can be found.
            let dtype =
                types.get(&**key).ok_or_else(|| TorchError::Refused { what: format!("the unused storage {key}") })?;
            let len = usize::try_from(u64::from_le_bytes(*count)).ok().and_then(|n| n.checked_mul(size(*dtype)));
            let (storage, rest) = len.and_then(|len| rest.split_at_checked(len)).ok_or(end)?;
            storages.insert(key.to_string(), storage.to_vec());
            bytes = rest;
        }
        Ok(Checkpoint { tensors, storages })
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Shape and type of a tensor.
    pub fn describe(&self, name: &str) -> Option<(&[usize], Dtype)> {
        self.tensors.get(name).map(|tensor| (&tensor.shape[..], tensor.dtype))
    }

    /// The elements of a tensor, in the order of its axes; `None` if there is no such tensor, or it holds no floats of 16 or 32 bits.
    ///
    /// # Errors
    /// If the tensor is not wholly in its storage.
    pub fn floats(&self, name: &str) -> Result<Option<Vec<f32>>, TorchError> {
        let Some((tensor, bytes)) = self.tensors.get(name).and_then(|t| Some((t, self.storages.get(&t.storage)?)))
        else {
            return Ok(None);
        };
        let beyond = || TorchError::Beyond { name: name.to_owned(), len: bytes.len() };
        let elements = bytes.len() / size(tensor.dtype);
        let whole = &bytes[..elements * size(tensor.dtype)];
        let view = TensorView::new(tensor.dtype, vec![elements], whole).map_err(|_| beyond())?;
        let Some(values) = floats(&view) else { return Ok(None) };
        // No element is read twice in a tensor that a model stores, so it cannot have more of them than its storage.
        let count = tensor.shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size));
        let count = count.filter(|&count| count <= elements).ok_or_else(beyond)?;
        let mut data = Vec::with_capacity(count);
        let mut index = vec![0usize; tensor.shape.len()];
        for _ in 0..count {
            let reach = |at: usize, (index, stride): (&usize, &usize)| at.checked_add(index.checked_mul(*stride)?);
            let at = index.iter().zip(&tensor.strides).try_fold(tensor.offset, reach);
            data.push(*at.and_then(|at| values.get(at)).ok_or_else(beyond)?);
            for (index, size) in index.iter_mut().zip(&tensor.shape).rev() {
                *index += 1;
                if *index < *size {
                    break;
                }
                *index = 0;
            }
        }
        Ok(Some(data))
    }
}

/// Bytes of an element.
fn size(dtype: Dtype) -> usize {
    (dtype.bitsize() / 8).max(1)
}

/// The tensors of a dictionary; other things in it do not matter.
fn described(top: &Value) -> Result<BTreeMap<String, Described>, TorchError> {
    let Value::Dict(entries) = top else {
        return Err(TorchError::Refused { what: "something else than a dictionary of tensors".to_owned() });
    };
    let tensor = |(key, value): &(Value, Value)| match (key, value) {
        (Value::Text(name), Value::Tensor(tensor)) => Some((name.to_string(), (**tensor).clone())),
        _ => None,
    };
    Ok(entries.iter().filter_map(tensor).collect())
}

#[cfg(test)]
mod tests;

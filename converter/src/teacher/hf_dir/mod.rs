//! Encoders in Hugging Face directories: `config.json` and `model.safetensors` of BERT and its kin.
//!
//! BERT, MiniLM and TinyBERT, DistilBERT, ELECTRA and RoBERTa differ in the names of their tensors, where positions begin, what is
//! in front of the classifier, and whether the tables are narrower than the layers. All become one [`DistilBert`].

mod config;
mod error;
mod names;
#[cfg(test)]
mod tests;

pub use error::HfError;

use crate::families::distilbert::{DistilBert, Head};
use crate::graph::{Graph, Source, Tensor, ValueId};
use crate::teacher::safetensors::{WeightsError, WeightsProblem, floats};
use ::safetensors::tensor::SafeTensors;
use config::Config;
use names::Names;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is wanted of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Import {
    /// What the network makes of its tokens; without it what the directory says. Only [`Head::Hidden`] and
    /// [`Head::Embed`] need no weights of a head.
    pub head: Option<Head>,
    /// The longest text, in tokens; without it as long as there are positions for.
    pub tokens: Option<usize>,
}

/// An imported encoder.
#[derive(Clone, Debug)]
pub struct HfModel {
    /// Takes ids `[batch, tokens]`.
    pub graph: Graph,
    /// What was built.
    pub net: DistilBert,
    /// The names of the classes, in order; empty where there are none.
    pub labels: Vec<String>,
}

/// Reads an encoder from a directory.
///
/// # Errors
/// If a file is missing or damaged, the architecture is not one of those above, or the tensors are not exactly what
/// `config.json` says.
pub fn import(folder: &Path, wanted: &Import) -> Result<HfModel, HfError> {
    let config = Config::load(folder)?;
    let net = config.network(wanted)?;
    let name = folder.file_name().map_or_else(|| "encoder".to_owned(), |name| name.to_string_lossy().into_owned());
    let mut graph = net.build(&name, None).map_err(|source| HfError::Misfit { file: config.file.clone(), source })?;
    let path = weights_file(folder)?;
    let fail = |problem| HfError::Weights(WeightsError { path: path.clone(), problem });
    let bytes = std::fs::read(&path).map_err(|e| fail(WeightsProblem::Read(e)))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| fail(WeightsProblem::Damaged(e)))?;
    let filled = Filling { file: &file, names: Names::new(&config, &net.head, &file), graph: &graph, config: &config };
    for (id, tensor) in filled.all().map_err(fail)? {
        graph.value_mut(id).source = Source::Param(Arc::new(tensor));
    }
    let labels = match net.head {
        Head::Classify { .. } | Head::Tokens { .. } => config.labels()?,
        Head::Embed { .. } | Head::Hidden => Vec::new(),
    };
    Ok(HfModel { graph, net, labels })
}

/// The file of weights.
fn weights_file(folder: &Path) -> Result<PathBuf, HfError> {
    let path = folder.join("model.safetensors");
    if path.is_file() {
        return Ok(path);
    }
    for (name, remedy) in [
        (
            "pytorch_model.bin",
            "is a Python pickle, which may run code; save it anew: \
             `AutoModel.from_pretrained(FOLDER).save_pretrained(FOLDER, safe_serialization=True)`",
        ),
        ("model.safetensors.index.json", "has its weights in parts; save it anew with a larger `max_shard_size`"),
    ] {
        if folder.join(name).is_file() {
            return Err(HfError::Form { path: folder.join(name), remedy });
        }
    }
    Err(HfError::Missing { folder: folder.to_owned(), file: "model.safetensors" })
}

/// A graph being filled from a file.
struct Filling<'a> {
    file: &'a SafeTensors<'a>,
    names: Names,
    graph: &'a Graph,
    config: &'a Config,
}

impl Filling<'_> {
    /// All parameters, and no tensor of a layer left over.
    fn all(&self) -> Result<Vec<(ValueId, Tensor)>, WeightsProblem> {
        let missing: Vec<String> = self
            .graph
            .params()
            .map(|(id, _)| self.names.of(&self.graph.value(id).name))
            .filter(|name| self.file.tensor(name).is_err())
            .collect();
        if !missing.is_empty() {
            return Err(WeightsProblem::Missing { network: self.network(), missing });
        }
        let used: Vec<String> = self.graph.params().map(|(id, _)| self.names.of(&self.graph.value(id).name)).collect();
        let extra: Vec<String> = self
            .file
            .names()
            .into_iter()
            .filter(|name| self.names.belongs_to_encoder(name) && !used.iter().any(|used| used == name))
            .map(str::to_owned)
            .collect();
        if !extra.is_empty() {
            return Err(WeightsProblem::Extra { network: self.network(), extra });
        }
        self.graph.params().map(|(id, current)| Ok((id, self.param(id, current.shape())?))).collect()
    }

    /// How messages call the network.
    fn network(&self) -> String {
        format!("{} as {} describes it", self.graph.name, self.config.file.display())
    }

    fn param(&self, id: ValueId, shape: &[usize]) -> Result<Tensor, WeightsProblem> {
        let own = &self.graph.value(id).name;
        if own != names::POSITIONS {
            return self.tensor(&self.names.of(own), shape);
        }
        // Positions begin behind those that stand for padding, and a text is all of the first type.
        let (begin, width) = (self.config.first_position, shape[1]);
        let table = self.tensor(&self.names.of(own), &[self.config.positions, width])?;
        let mut rows = table.data()[begin * width..(begin + shape[0]) * width].to_vec();
        if let Some(types) = self.config.types {
            let types = self.tensor(&self.names.of(names::TYPES), &[types, width])?;
            for row in rows.chunks_exact_mut(width) {
                row.iter_mut().zip(types.data()).for_each(|(value, of_type)| *value += of_type);
            }
        }
        Ok(Tensor::new(shape, rows))
    }

    /// A tensor of the file, of this shape and finite.
    fn tensor(&self, name: &str, expected: &[usize]) -> Result<Tensor, WeightsProblem> {
        let Ok(view) = self.file.tensor(name) else {
            return Err(WeightsProblem::Missing { network: self.network(), missing: vec![name.to_owned()] });
        };
        let name = name.to_owned();
        if view.shape() != expected {
            let (found, expected) = (view.shape().to_vec(), expected.to_vec());
            return Err(WeightsProblem::Shape { network: self.network(), name, found, expected });
        }
        let data = floats(&view).ok_or_else(|| WeightsProblem::Type { name: name.clone(), dtype: view.dtype() })?;
        let tensor = Tensor::new(expected, data);
        match tensor.first_non_finite() {
            Some((index, value)) => Err(WeightsProblem::NotFinite { name, index, value }),
            None => Ok(tensor),
        }
    }
}

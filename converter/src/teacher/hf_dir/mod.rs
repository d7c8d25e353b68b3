//! Encoders in Hugging Face directories: `config.json`, and `model.safetensors` or `pytorch_model.bin`, of BERT and its kin.
//!
//! BERT, MiniLM and TinyBERT, DistilBERT, ELECTRA and RoBERTa differ in the names of their tensors, where positions begin, what is
//! in front of the classifier, and whether the tables are narrower than the layers. All become one [`DistilBert`](crate::families::distilbert::DistilBert).

mod config;
mod error;
mod names;
#[cfg(test)]
pub(super) mod tests;
mod weights;

pub use error::HfError;

use crate::families::distilbert::Head;
use crate::graph::{Graph, Source, Tensor, ValueId};
use crate::teacher::Pretrained;
use crate::teacher::safetensors::{WeightsError, WeightsProblem};
use config::Config;
use names::Names;
use std::path::Path;
use std::sync::Arc;
use weights::{File, Weights};

/// What is wanted of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Import {
    /// What the network makes of its tokens; without it what the directory says. Only [`Head::Hidden`] and
    /// [`Head::Embed`] need no weights of a head.
    pub head: Option<Head>,
    /// The longest text, in tokens; without it as long as there are positions for.
    pub tokens: Option<usize>,
}

/// Reads an encoder from a directory.
///
/// # Errors
/// If a file is missing or damaged, the architecture is not one of those above, or the tensors are not exactly what
/// `config.json` says.
pub fn import(folder: &Path, wanted: &Import) -> Result<Pretrained, HfError> {
    let config = Config::load(folder)?;
    let net = config.network(wanted)?;
    let name = folder.file_name().map_or_else(|| "encoder".to_owned(), |name| name.to_string_lossy().into_owned());
    let mut graph = net.build(&name, None).map_err(|source| HfError::Misfit { file: config.file.clone(), source })?;
    let file = File::read(folder)?;
    let fail = |problem| HfError::Weights(WeightsError { path: file.path.clone(), problem });
    let weights = file.weights().map_err(fail)?;
    let names = Names::new(&config, &net.head, &weights);
    let filled = Filling { weights: &weights, names, graph: &graph, config: &config };
    for (id, tensor) in filled.all().map_err(fail)? {
        graph.value_mut(id).source = Source::Param(Arc::new(tensor));
    }
    let labels = match net.head {
        Head::Classify { .. } | Head::Tokens { .. } => config.labels()?,
        Head::Embed { .. } | Head::Hidden => Vec::new(),
    };
    Ok(Pretrained { graph, net, labels })
}

/// The names of classes that a folder's `config.json` has; none where it has none, or there is no such file.
///
/// # Errors
/// If the file cannot be read, or leaves out a class.
pub fn labels(folder: &Path) -> Result<Vec<String>, HfError> {
    match Config::read(folder)?.filter(Config::names_classes) {
        Some(config) => config.labels(),
        None => Ok(Vec::new()),
    }
}

/// A graph being filled from a file.
struct Filling<'a> {
    weights: &'a Weights<'a>,
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
            .filter(|name| self.weights.describe(name).is_none())
            .collect();
        if !missing.is_empty() {
            return Err(WeightsProblem::Missing { network: self.network(), missing });
        }
        let used: Vec<String> = self.graph.params().map(|(id, _)| self.names.of(&self.graph.value(id).name)).collect();
        let extra: Vec<String> = self
            .weights
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
        let Some((found, dtype)) = self.weights.describe(name) else {
            return Err(WeightsProblem::Missing { network: self.network(), missing: vec![name.to_owned()] });
        };
        let data = self.weights.floats(name)?;
        let name = name.to_owned();
        if found != expected {
            let expected = expected.to_vec();
            return Err(WeightsProblem::Shape { network: self.network(), name, found, expected });
        }
        let data = data.ok_or_else(|| WeightsProblem::Type { name: name.clone(), dtype })?;
        let tensor = Tensor::new(expected, data);
        match tensor.first_non_finite() {
            Some((index, value)) => Err(WeightsProblem::NotFinite { name, index, value }),
            None => Ok(tensor),
        }
    }
}

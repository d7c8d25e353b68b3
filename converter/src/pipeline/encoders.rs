//! Teachers of texts out of Hugging Face folders: as they are, or with a head to be fine-tuned.

use super::BuildError;
use crate::families::distilbert::{DistilBert, Head, inherit};
use crate::families::{Input, Task};
use crate::graph::{Graph, Pick, Source, Tensor, ValueId};
use crate::teacher::hf_dir::{HfModel, Import, import};
use std::path::Path;
use std::sync::Arc;

/// A folder and what its network is for.
pub(super) struct Encoder<'a> {
    pub(super) folder: &'a Path,
    /// Texts in the words of the folder's own tokenizer.
    pub(super) task: &'a Task,
    /// The names of the classes.
    pub(super) classes: &'a [String],
}

impl Encoder<'_> {
    /// The folder's own classifier, its outputs in the order of the classes.
    pub(super) fn classifier(&self) -> Result<Graph, BuildError> {
        let model = self.import()?;
        match model.net.head {
            Head::Classify { classes, .. } if classes == self.task.classes => self.ordered(model),
            Head::Classify { classes, .. } => Err(self.wrong(&format!(
                "tells {classes} classes apart, but the data have {}: add `[teacher.train]` to fine-tune it",
                self.task.classes
            ))),
            _ => Err(self.wrong("has no head that classifies texts: add `[teacher.train]` to fine-tune it")),
        }
    }

    /// The folder's network with a head for these classes, which is the folder's own if it has one.
    pub(super) fn beginner(&self, seed: u64) -> Result<Graph, BuildError> {
        let model = self.import()?;
        let (pick, dense) = match model.net.head {
            Head::Classify { classes, .. } if classes == self.task.classes => return self.ordered(model),
            Head::Classify { pick, dense, .. } => (pick, dense),
            Head::Embed { pick, .. } => (pick, None),
            Head::Tokens { .. } | Head::Hidden => (Pick::First, None),
        };
        let net = DistilBert { head: Head::Classify { classes: self.task.classes, pick, dense }, ..model.net };
        let mut graph = net.build(&model.graph.name, Some(seed)).map_err(|error| self.wrong(&error.to_string()))?;
        inherit(&mut graph, &model.graph, None).map_err(|error| self.wrong(&error.to_string()))?;
        Ok(graph)
    }

    /// The folder's network, with as many rows of its table as its tokenizer has words.
    fn import(&self) -> Result<HfModel, BuildError> {
        let Input::Text { vocabulary, tokens } = self.task.input else {
            return Err(self.wrong("takes texts, but the data are images"));
        };
        let wanted = Import { head: None, tokens: Some(tokens) };
        let mut model = import(self.folder, &wanted).map_err(|error| BuildError::Plain(error.into()))?;
        let rows = model.net.vocabulary;
        if rows < vocabulary {
            let problem = format!(
                "has a tokenizer of {vocabulary} words, but `vocab_size` is {rows}: the files are of different models"
            );
            return Err(self.wrong(&problem));
        }
        // Tables are often filled up to a round number of rows, which no text asks for.
        self.replace(&mut model.graph, "embeddings.word_embeddings.weight", |table| {
            let width = table.len() / rows.max(1);
            Tensor::new([vocabulary, width], table.data()[..vocabulary * width].to_vec())
        });
        model.net.vocabulary = vocabulary;
        Ok(model)
    }

    /// The network with its classes in the order of the data, if it names them and they are the same.
    fn ordered(&self, mut model: HfModel) -> Result<Graph, BuildError> {
        let place = |class: &String| model.labels.iter().position(|label| label.eq_ignore_ascii_case(class));
        let places: Option<Vec<usize>> = self.classes.iter().map(place).collect();
        if let Some(places) = places {
            for name in ["classifier.weight", "classifier.bias"] {
                self.replace(&mut model.graph, name, |tensor| {
                    let rows: Vec<&[f32]> = tensor.data().chunks_exact(tensor.len() / places.len().max(1)).collect();
                    Tensor::new(tensor.shape(), places.iter().flat_map(|&row| rows[row]).copied().collect())
                });
            }
        }
        Ok(model.graph)
    }

    /// Gives a parameter other numbers.
    fn replace(&self, graph: &mut Graph, name: &str, new: impl Fn(&Tensor) -> Tensor) {
        let found: Option<(ValueId, Tensor)> = graph.find(name).and_then(|id| Some((id, new(graph.param(id)?))));
        if let Some((id, tensor)) = found {
            let value = graph.value_mut(id);
            value.shape = tensor.shape().to_vec();
            value.source = Source::Param(Arc::new(tensor));
        }
    }

    fn wrong(&self, problem: &str) -> BuildError {
        BuildError::text(format!("{} {problem}", self.folder.display()))
    }
}

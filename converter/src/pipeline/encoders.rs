//! Teachers of texts out of Hugging Face folders and ONNX files: as they are, or with a head to be fine-tuned.

use super::BuildError;
use crate::families::distilbert::{DistilBert, Head, inherit};
use crate::families::{Input, Task};
use crate::graph::{Graph, Pick, Source, Tensor, ValueId};
use crate::recipe::is_onnx;
use crate::teacher::Pretrained;
use crate::teacher::hf_dir::{self, Import};
use std::path::Path;
use std::sync::Arc;

/// Where the tokenizer of an encoder lies: in its folder, or beside an ONNX file. Model hubs keep these in a folder of their own
/// (`onnx/model.onnx`), below that of the tokenizer.
pub(super) fn tokenizer_folder(weights: &Path) -> &Path {
    if !is_onnx(weights) {
        return weights;
    }
    let has_tokenizer = |folder: &Path| ["tokenizer.json", "vocab.txt"].iter().any(|name| folder.join(name).is_file());
    let own = weights.parent().unwrap_or("".as_ref());
    match own.parent() {
        Some(above) if !has_tokenizer(own) && has_tokenizer(above) => above,
        _ => own,
    }
}

/// An encoder and what it is for.
pub(super) struct Encoder<'a> {
    /// A folder, or an ONNX file.
    pub(super) weights: &'a Path,
    /// Texts in the words of its own tokenizer.
    pub(super) task: &'a Task,
    /// The names of the classes.
    pub(super) classes: &'a [String],
}

impl Encoder<'_> {
    /// Its own classifier, its outputs in the order of the classes.
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

    /// The network with a head for these classes, which is its own if it has one.
    pub(super) fn beginner(&self, seed: u64) -> Result<Graph, BuildError> {
        let model = self.import()?;
        let (pick, dense) = match model.net.head {
            Head::Classify { classes, .. } if classes == self.task.classes => return self.ordered(model),
            Head::Classify { pick, dense, .. } => (pick, dense),
            Head::Embed { pick, .. } => (pick, None),
            Head::Tokens { .. } => (Pick::First, None),
            // As sentence-transformers make vectors where nothing else is said.
            Head::Hidden => (Pick::Mean, None),
        };
        let net = DistilBert { head: Head::Classify { classes: self.task.classes, pick, dense }, ..model.net };
        let mut graph = net.build(&model.graph.name, Some(seed)).map_err(|error| self.wrong(&error.to_string()))?;
        inherit(&mut graph, &model.graph, None).map_err(|error| self.wrong(&error.to_string()))?;
        Ok(graph)
    }

    /// The network, with as many rows of its table as its tokenizer has words.
    fn import(&self) -> Result<Pretrained, BuildError> {
        let Input::Text { vocabulary, tokens } = self.task.input else {
            return Err(self.wrong("takes texts, but the data are images"));
        };
        let mut model = if is_onnx(self.weights) { self.of_file(tokens)? } else { self.of_folder(tokens)? };
        let rows = model.net.vocabulary;
        if rows < vocabulary {
            let problem = format!(
                "has a tokenizer of {vocabulary} words, but a table of {rows} rows: the files are of different models"
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

    fn of_folder(&self, tokens: usize) -> Result<Pretrained, BuildError> {
        let wanted = Import { head: None, tokens: Some(tokens) };
        hf_dir::import(self.weights, &wanted).map_err(|error| BuildError::Plain(error.into()))
    }

    /// The network of an ONNX file, with the names of classes that a `config.json` beside its tokenizer may have.
    #[cfg(feature = "onnx")]
    fn of_file(&self, tokens: usize) -> Result<Pretrained, BuildError> {
        let plain = |error: Box<dyn std::error::Error + Send + Sync>| BuildError::Plain(error);
        let mut model =
            crate::teacher::onnx::import_encoder(self.weights, tokens).map_err(|error| plain(error.into()))?;
        model.labels = hf_dir::labels(tokenizer_folder(self.weights)).map_err(|error| plain(error.into()))?;
        match (model.net.head, model.labels.len()) {
            (Head::Classify { classes, .. }, names) if names > 0 && names != classes => Err(self.wrong(&format!(
                "tells {classes} classes apart, but its `config.json` names {names}: the files are of different models"
            ))),
            _ => Ok(model),
        }
    }

    #[cfg(not(feature = "onnx"))]
    fn of_file(&self, _: usize) -> Result<Pretrained, BuildError> {
        Err(BuildError::no_onnx(self.weights))
    }

    /// The network with its classes in the order of the data, if it names them and they are the same.
    fn ordered(&self, mut model: Pretrained) -> Result<Graph, BuildError> {
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
        BuildError::text(format!("{} {problem}", self.weights.display()))
    }
}

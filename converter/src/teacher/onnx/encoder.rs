//! Encoders of texts in ONNX files, which become the networks of [`families::distilbert`](crate::families::distilbert).
//!
//! Exporters take padded texts with a mask. Here a text ends where it ends, and no operator looks behind it. So a file is read for texts
//! of one length without padding, all of the first type: its mask is all ones, and what follows from such inputs alone is computed at
//! import. In the rest, rules find lookups, normalizations, attention and pooling.

use super::error::ImportError;
use super::file::{ModelFile, tensor_type};
use super::{fuse, lower};
use crate::families::distilbert::{inherit, recognize};
use crate::graph::rewrite;
use crate::teacher::Pretrained;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude as tract;

/// Every encoder has room for texts of this many tokens.
const SHORT: usize = 4;

/// Reads an encoder for texts of up to `tokens` tokens.
///
/// Of several outputs it is the first that says something of a text as a whole, or else of its tokens. There are no names of classes:
/// ONNX files have none.
///
/// # Errors
/// As [`import`](super::import), or if the file takes something else than ids, a mask, types and positions, has no room for so many
/// tokens, or is another network than BERT and its kin.
pub fn import_encoder(path: &Path, tokens: usize) -> Result<Pretrained, ImportError> {
    let mut source = Source::read(path)?;
    let room = source.room()?;
    if let Some(room) = room.filter(|&room| room < tokens) {
        let problem = format!(
            "is for {room} tokens, but {tokens} are asked for; ask for fewer, or export it with an open length"
        );
        return Err(source.wrong(&source.ids, problem));
    }
    let length = room.unwrap_or(tokens);
    let found = source.encoder(length);
    match found {
        Ok(encoder) if length == tokens => Ok(encoder),
        Ok(encoder) => Ok(shortened(&encoder, tokens)),
        // The table of positions is known by nothing but that longer texts cannot be read.
        Err(error) if room.is_none() && tokens > SHORT && source.encoder(SHORT).is_ok() => {
            Err(ImportError::Length { path: path.to_owned(), tokens, source: Box::new(error) })
        }
        Err(error) => Err(error),
    }
}

/// The same encoder with fewer positions.
fn shortened(encoder: &Pretrained, tokens: usize) -> Pretrained {
    let mut net = encoder.net.clone();
    net.tokens = tokens;
    let mut graph = net.build(&encoder.graph.name, None).expect("it was built once");
    inherit(&mut graph, &encoder.graph, None).expect("nothing else differs");
    Pretrained { graph, net, labels: encoder.labels.clone() }
}

/// A file, of which one output after another is tried.
struct Source {
    /// Its nodes and outputs are those of the last try.
    file: ModelFile,
    nodes: Vec<pb::NodeProto>,
    /// Those that may hold floats, the likeliest first.
    outputs: Vec<pb::ValueInfoProto>,
    /// The input of token ids.
    ids: String,
}

impl Source {
    fn read(path: &Path) -> Result<Self, ImportError> {
        let mut file = ModelFile::read(path)?;
        let nodes = std::mem::take(&mut file.graph.node);
        let mut outputs = std::mem::take(&mut file.graph.output);
        outputs.retain(|info| tensor_type(info).is_none_or(|tensor| !is_integer(tensor)));
        // A text as a whole has two axes, its tokens have three.
        outputs.sort_by_key(|info| tensor_type(info).and_then(|t| t.shape.as_ref()).map_or(3, |shape| shape.dim.len()));
        let mut source = Source { file, nodes, outputs, ids: String::new() };
        let open: Vec<&str> = source.inputs().map(|info| info.name.as_str()).collect();
        let named: Vec<&str> = open.iter().copied().filter(|name| role(name) == Some(Role::Ids)).collect();
        source.ids = match (&open[..], &named[..]) {
            (&[only], _) | (_, &[only]) => only.to_owned(),
            _ => {
                let reason = format!(
                    "its inputs are {open:?}, of which exactly one must be token ids; call them `input_ids`, `attention_mask`, \
                     `token_type_ids` and `position_ids`"
                );
                return Err(ImportError::Malformed { path: path.to_owned(), reason });
            }
        };
        Ok(source)
    }

    /// The inputs of which the file holds no numbers.
    fn inputs(&self) -> impl Iterator<Item = &pb::ValueInfoProto> {
        let stored = |name: &str| self.file.graph.initializer.iter().any(|tensor| tensor.name == name);
        self.file.graph.input.iter().filter(move |info| !stored(&info.name))
    }

    fn wrong(&self, tensor: &str, problem: impl Into<String>) -> ImportError {
        ImportError::Tensor { path: self.file.path.clone(), tensor: tensor.to_owned(), problem: problem.into() }
    }

    /// The only length of texts that the file takes, if it is not open.
    fn room(&self) -> Result<Option<usize>, ImportError> {
        use pb::tensor_shape_proto::dimension::Value;
        let info = self.inputs().find(|info| info.name == self.ids);
        let Some(shape) = info.and_then(tensor_type).and_then(|tensor| tensor.shape.as_ref()) else { return Ok(None) };
        let size = |axis: usize| match shape.dim.get(axis).and_then(|dim| dim.value.as_ref()) {
            Some(&Value::DimValue(size)) => usize::try_from(size).ok().filter(|&size| size > 0),
            _ => None,
        };
        match (shape.dim.len(), size(0)) {
            (2, None | Some(1)) => Ok(size(1)),
            (2, Some(batch)) => Err(self
                .wrong(&self.ids, format!("is for {batch} texts at once; export it for one, or with an open batch"))),
            (axes, _) => Err(self.wrong(&self.ids, format!("has {axes} axes; token ids are [batch, tokens]"))),
        }
    }

    /// The encoder for texts of exactly this length.
    fn encoder(&mut self, tokens: usize) -> Result<Pretrained, ImportError> {
        let stored = self.stored(tokens)?;
        let path = self.file.path.clone();
        let name = path.file_stem().map_or_else(|| "encoder".into(), |stem| stem.to_string_lossy());
        let mut result =
            Err(ImportError::Malformed { path: path.clone(), reason: "it has no output of floats".to_owned() });
        for output in &self.outputs {
            self.file.graph.node = fuse::fuse(&self.file, &self.nodes, Some(&output.name));
            self.file.graph.output = vec![output.clone()];
            result = lower::lower_texts(&self.file, &stored, tokens).and_then(|mut graph| {
                graph.remove_dead();
                rewrite::run(&mut graph, rewrite::ENCODERS);
                let (net, graph) = recognize(&rewrite::canonicalize(graph), &name)
                    .map_err(|source| ImportError::Encoder { path: path.clone(), source })?;
                Ok(Pretrained { graph, net, labels: Vec::new() })
            });
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// The values of all inputs but the ids.
    fn stored(&self, tokens: usize) -> Result<HashMap<String, Arc<tract::Tensor>>, ImportError> {
        let mut stored = HashMap::new();
        for info in self.inputs().filter(|info| info.name != self.ids) {
            let value: fn(usize) -> i64 = match role(&info.name) {
                Some(Role::Mask) => |_| 1,
                Some(Role::Types) => |_| 0,
                Some(Role::Positions) => |place| place as i64,
                Some(Role::Ids) | None => {
                    let problem = "is none of the inputs of an encoder; export it with `input_ids`, `attention_mask`, \
                                   `token_type_ids` and `position_ids` alone";
                    return Err(self.wrong(&info.name, problem));
                }
            };
            let row: Vec<i64> = (0..tokens).map(value).collect();
            let tensor =
                typed(info, &row).map_err(|error| self.wrong(&info.name, format!("cannot be made: {error:#}")))?;
            stored.insert(info.name.clone(), Arc::new(tensor));
        }
        Ok(stored)
    }
}

/// What an input of an encoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Ids,
    Mask,
    Types,
    Positions,
}

/// What the name of an input says.
fn role(name: &str) -> Option<Role> {
    let name = name.to_ascii_lowercase();
    let parts = [
        ("mask", Role::Mask),
        ("type", Role::Types),
        ("segment", Role::Types),
        ("position", Role::Positions),
        ("id", Role::Ids),
    ];
    parts.into_iter().find(|(part, _)| name.contains(part)).map(|(_, role)| role)
}

/// One row of numbers in the type that the file gives an input.
fn typed(info: &pb::ValueInfoProto, row: &[i64]) -> tract::TractResult<tract::Tensor> {
    let tensor = tract::Tensor::from_shape(&[1, row.len()], row)?;
    Ok(match tensor_type(info).map(|tensor| DataType::try_from(tensor.elem_type)) {
        Some(Ok(DataType::Int32)) => tensor.cast_to::<i32>()?.into_owned(),
        Some(Ok(DataType::Float)) => tensor.cast_to::<f32>()?.into_owned(),
        Some(Ok(DataType::Bool)) => tensor.cast_to::<bool>()?.into_owned(),
        _ => tensor,
    })
}

fn is_integer(tensor: &pb::type_proto::Tensor) -> bool {
    matches!(DataType::try_from(tensor.elem_type), Ok(DataType::Int64 | DataType::Int32 | DataType::Bool))
}

#[cfg(test)]
mod tests;

//! ONNX files as tract reads them: the model's protobuf, its tensors, and tensors kept beside it.

use super::error::ImportError;
use prost::Message;
use std::path::{Path, PathBuf};
use tract_onnx::pb;
use tract_onnx::prelude as tract;

/// A parsed model and where it came from.
pub(super) struct ModelFile {
    pub(super) path: PathBuf,
    pub(super) graph: pb::GraphProto,
    pub(super) opset: i64,
}

impl ModelFile {
    /// Reads and parses a file.
    pub(super) fn read(path: &Path) -> Result<Self, ImportError> {
        let malformed = |reason: String| ImportError::Malformed { path: path.to_owned(), reason };
        let model = pb::ModelProto::decode(&*bytes(path)?).map_err(|e| malformed(e.to_string()))?;
        let graph = model.graph.filter(|g| !g.output.is_empty());
        let graph = graph.ok_or_else(|| malformed("it has no graph with outputs".to_owned()))?;
        let standard = |import: &&pb::OperatorSetIdProto| is_standard(&import.domain);
        let opset = model.opset_import.iter().find(standard).map(|import| import.version);
        let opset = opset.ok_or_else(|| malformed("it does not say its opset".to_owned()))?;
        if !super::OPSETS.contains(&opset) {
            return Err(ImportError::Opset { path: path.to_owned(), opset });
        }
        Ok(ModelFile { path: path.to_owned(), graph, opset })
    }

    /// The numbers of a stored tensor, wherever they lie.
    pub(super) fn tensor(&self, proto: &pb::TensorProto) -> Result<tract::Tensor, ImportError> {
        load(&self.path, proto)
    }
}

/// Whether an operator belongs to the standard's own set.
pub(super) fn is_standard(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// The type of an input or output, if it is a tensor's.
pub(super) fn tensor_type(info: &pb::ValueInfoProto) -> Option<&pb::type_proto::Tensor> {
    let pb::type_proto::Value::TensorType(tensor) = info.r#type.as_ref()?.value.as_ref()?;
    Some(tensor)
}

/// A tensor that stands alone in a file (`.pb`, as in ONNX test data), with its name.
///
/// # Errors
/// If the file cannot be read or holds something else.
pub fn read_tensor(path: &Path) -> Result<(String, crate::graph::Tensor), ImportError> {
    let proto = pb::TensorProto::decode(&*bytes(path)?)
        .map_err(|e| ImportError::Malformed { path: path.to_owned(), reason: e.to_string() })?;
    let tensor = load(path, &proto)?;
    let floats = floats(&tensor).map_err(|problem| bad(path, &proto, problem))?;
    Ok((proto.name, floats))
}

/// The same numbers as 32-bit floats; types that do not convert exactly enough are refused.
pub(super) fn floats(tensor: &tract::Tensor) -> Result<crate::graph::Tensor, String> {
    let numbers = tensor.cast_to::<f32>().map_err(|e| format!("does not convert to floats: {e}"))?;
    let numbers = numbers.to_plain_array_view::<f32>().map_err(|e| format!("does not convert to floats: {e}"))?;
    Ok(crate::graph::Tensor::new(tensor.shape(), numbers.iter().copied().collect()))
}

fn bytes(path: &Path) -> Result<Vec<u8>, ImportError> {
    std::fs::read(path).map_err(|source| ImportError::Read { path: path.to_owned(), source })
}

fn bad(path: &Path, proto: &pb::TensorProto, problem: String) -> ImportError {
    ImportError::Tensor { path: path.to_owned(), tensor: proto.name.clone(), problem }
}

fn load(path: &Path, proto: &pb::TensorProto) -> Result<tract::Tensor, ImportError> {
    let is_text = proto.data_type == pb::tensor_proto::DataType::String as i32;
    if is_text {
        return Err(bad(path, proto, "holds text, not numbers".to_owned()));
    }
    let folder = path.parent().and_then(Path::to_str);
    tract_onnx::tensor::load_tensor(&*tract_onnx::onnx().provider, proto, folder).map_err(|error| {
        let external = proto.external_data.iter().find(|entry| entry.key == "location");
        let place = external.map_or_else(String::new, |e| format!(" from the file `{}` beside the model", e.value));
        bad(path, proto, format!("cannot be read{place}: {error:#}"))
    })
}

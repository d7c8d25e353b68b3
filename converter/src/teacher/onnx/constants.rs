//! Nodes that read only constants are computed by tract: exporters leave whole chains of them for a shape or a pad.

use super::call::Call;
use super::error::Problem;
use super::proto;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tract_onnx::pb;
use tract_onnx::prelude as tract;
use tract_onnx::prelude::{Datum, DatumType, Framework, InferenceModelExt, IntoRunnable, IntoTensor};

/// The outputs of a node for constant inputs, in the order of the node's.
pub(super) fn evaluate(call: Call<'_>, inputs: &[(&str, Arc<tract::Tensor>)]) -> Result<Vec<tract::Tensor>, Problem> {
    let unsupported = |reason: String| {
        Problem::unsupported(
            format!("it reads only constants, and computing it at import failed ({reason})"),
            "a model simplified by its exporter (constant folding on)",
        )
    };
    // A file from outside must not end the program, whatever an operator does with values it does not expect.
    catch_unwind(AssertUnwindSafe(|| run(call, inputs)))
        .map_err(|_| unsupported("its values make no sense".to_owned()))?
        .map_err(|error| unsupported(format!("{error:#}")))
}

fn run(call: Call<'_>, inputs: &[(&str, Arc<tract::Tensor>)]) -> tract::TractResult<Vec<tract::Tensor>> {
    let outputs = call.node.output.iter().filter(|name| !name.is_empty());
    let value = |name: &String| pb::ValueInfoProto { name: name.clone(), ..Default::default() };
    let graph = pb::GraphProto {
        node: vec![call.node.clone()],
        initializer: inputs.iter().map(|(name, tensor)| stored(name, tensor)).collect::<tract::TractResult<_>>()?,
        output: outputs.map(value).collect(),
        ..Default::default()
    };
    let model = proto::model(graph, call.opset);
    let model = tract_onnx::onnx().model_for_proto_model(&model)?.into_typed()?.into_runnable()?;
    let outputs = model.run(Default::default())?;
    outputs.into_iter().map(|value| plain(value.into_tensor())).collect()
}

/// Symbolic dimensions as numbers.
fn plain(tensor: tract::Tensor) -> tract::TractResult<tract::Tensor> {
    if tensor.datum_type() == tract::TDim::datum_type() {
        Ok(tensor.cast_to::<i64>()?.into_owned())
    } else {
        Ok(tensor)
    }
}

/// A tensor as a file would store it.
fn stored(name: &str, tensor: &tract::Tensor) -> tract::TractResult<pb::TensorProto> {
    use pb::tensor_proto::DataType;
    let data_type = match tensor.datum_type() {
        DatumType::Bool => DataType::Bool,
        DatumType::U8 => DataType::Uint8,
        DatumType::U16 => DataType::Uint16,
        DatumType::U32 => DataType::Uint32,
        DatumType::U64 => DataType::Uint64,
        DatumType::I8 => DataType::Int8,
        DatumType::I16 => DataType::Int16,
        DatumType::I32 => DataType::Int32,
        DatumType::I64 => DataType::Int64,
        DatumType::F16 => DataType::Float16,
        DatumType::F32 => DataType::Float,
        DatumType::F64 => DataType::Double,
        other => return Err(tract::TractError::msg(format!("constants of type {other:?}"))),
    };
    Ok(proto::tensor(name, data_type, tensor.shape(), tensor.as_bytes().to_vec()))
}

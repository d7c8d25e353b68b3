//! Makes the pieces of ONNX's protobuf: attributes, tensors, types.

use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;

fn attribute(name: &str, kind: AttributeType) -> pb::AttributeProto {
    pb::AttributeProto { name: name.to_owned(), r#type: kind as i32, ..Default::default() }
}

pub(super) fn int(name: &str, value: i64) -> pb::AttributeProto {
    pb::AttributeProto { i: value, ..attribute(name, AttributeType::Int) }
}

pub(super) fn float(name: &str, value: f32) -> pb::AttributeProto {
    pb::AttributeProto { f: value, ..attribute(name, AttributeType::Float) }
}

pub(super) fn ints(name: &str, values: &[usize]) -> pb::AttributeProto {
    let ints = values.iter().map(|&v| v as i64).collect();
    pb::AttributeProto { ints, ..attribute(name, AttributeType::Ints) }
}

pub(super) fn text(name: &str, value: &str) -> pb::AttributeProto {
    pb::AttributeProto { s: value.into(), ..attribute(name, AttributeType::String) }
}

/// A tensor of floats.
pub(super) fn floats(name: &str, shape: &[usize], values: &[f32]) -> pb::TensorProto {
    tensor(name, DataType::Float, shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// A vector of integers.
pub(super) fn vector(name: &str, values: &[i64]) -> pb::TensorProto {
    tensor(name, DataType::Int64, &[values.len()], values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// A tensor of little-endian bytes.
pub(super) fn tensor(name: &str, kind: DataType, shape: &[usize], raw_data: Vec<u8>) -> pb::TensorProto {
    let dims = shape.iter().map(|&n| n as i64).collect();
    pb::TensorProto { name: name.to_owned(), data_type: kind as i32, dims, raw_data, ..Default::default() }
}

/// Name and type of an input or output of floats; `None` is an open batch.
pub(super) fn value(name: &str, shape: &[Option<usize>]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension::Value};
    let dim = shape.iter().map(|size| Dimension {
        value: Some(size.map_or_else(|| Value::DimParam("N".to_owned()), |n| Value::DimValue(n as i64))),
        ..Default::default()
    });
    let shape = pb::TensorShapeProto { dim: dim.collect() };
    let tensor = pb::type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(shape) };
    let kind = pb::TypeProto { value: Some(pb::type_proto::Value::TensorType(tensor)), ..Default::default() };
    pb::ValueInfoProto { name: name.to_owned(), r#type: Some(kind), ..Default::default() }
}

/// A node; an empty input name is one left out.
pub(super) fn node(
    name: &str,
    op: &str,
    inputs: &[&str],
    output: &str,
    attribute: Vec<pb::AttributeProto>,
) -> pb::NodeProto {
    pb::NodeProto {
        name: name.to_owned(),
        op_type: op.to_owned(),
        input: inputs.iter().map(|&i| i.to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute,
        ..Default::default()
    }
}

/// A model of one graph.
pub(super) fn model(graph: pb::GraphProto, opset: i64) -> pb::ModelProto {
    let opset = pb::OperatorSetIdProto { version: opset, ..Default::default() };
    let producer_name = env!("CARGO_PKG_NAME").to_owned();
    let producer_version = env!("CARGO_PKG_VERSION").to_owned();
    pb::ModelProto {
        ir_version: 8,
        opset_import: vec![opset],
        producer_name,
        producer_version,
        graph: Some(graph),
        ..Default::default()
    }
}

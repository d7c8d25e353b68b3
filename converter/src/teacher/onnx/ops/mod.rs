//! How each ONNX operator is said in the float graph; [`OPS`] is the list of what can be imported.

mod conv;
mod elementwise;
mod layout;
mod matrix;
pub(super) mod shape;

use super::call::{Call, axes, axis};
use super::error::Problem;
use super::lower::Lower;
use crate::graph::ValueId;

/// Adds the nodes for a call and returns the value of its first output.
type Lowering = for<'a> fn(&mut Lower<'a>, Call<'a>) -> Result<ValueId, Problem>;

/// Every operator of the standard that can be imported, beside those that read only constants.
const OPS: &[(&str, Lowering)] = &[
    ("Add", elementwise::add),
    ("AveragePool", conv::average_pool),
    ("BatchNormalization", conv::batch_normalization),
    ("Cast", elementwise::cast),
    ("Clip", elementwise::clip),
    ("Concat", layout::concat),
    ("Conv", conv::conv),
    ("Div", elementwise::div),
    ("Dropout", elementwise::dropout),
    ("Flatten", shape::flatten),
    ("Gemm", matrix::gemm),
    ("GlobalAveragePool", conv::global_average_pool),
    ("HardSigmoid", elementwise::hard_sigmoid),
    ("HardSwish", elementwise::hard_swish),
    ("Identity", elementwise::identity),
    ("LeakyRelu", elementwise::leaky_relu),
    ("MatMul", matrix::matmul),
    ("MaxPool", conv::max_pool),
    ("Mul", elementwise::mul),
    ("Pad", layout::pad),
    ("ReduceMean", conv::reduce_mean),
    ("Relu", elementwise::relu),
    ("Reshape", shape::reshape),
    ("Sigmoid", elementwise::sigmoid),
    ("Slice", layout::slice),
    ("Softmax", layout::softmax),
    ("Squeeze", shape::squeeze),
    ("Sub", elementwise::sub),
    ("Sum", elementwise::sum),
    ("Tanh", elementwise::tanh),
    ("Transpose", layout::transpose),
    ("Unsqueeze", shape::unsqueeze),
];

/// How a node is lowered, if it can be.
pub(super) fn find(call: &Call<'_>) -> Option<Lowering> {
    let standard = super::file::is_standard(&call.node.domain);
    OPS.iter().find(|(name, _)| standard && *name == call.node.op_type).map(|(_, lowering)| *lowering)
}

/// All operators, for messages.
pub(super) fn names() -> String {
    OPS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

//! How each ONNX operator is said in the float graph; [`OPS`] is the list of what can be imported.

mod conv;
mod elementwise;
mod layout;
mod matrix;
mod shape;
mod texts;

use super::call::{Call, axes, axis};
use super::error::Problem;
use super::file::is_standard;
use super::lower::Lower;
use crate::graph::ValueId;
use tract_onnx::prelude as tract;

/// Adds the nodes for a call and returns the value of its first output.
type Lowering = for<'a> fn(&mut Lower<'a>, Call<'a>) -> Result<ValueId, Problem>;

/// Every operator of the standard that can be imported, beside those that read only constants.
const OPS: &[(&str, Lowering)] = &[
    ("Add", elementwise::add),
    ("Attention", texts::attention),
    ("AveragePool", conv::average_pool),
    ("BatchNormalization", conv::batch_normalization),
    ("Cast", elementwise::cast),
    ("Clip", elementwise::clip),
    ("Concat", layout::concat),
    ("Conv", conv::conv),
    ("Div", elementwise::div),
    ("Dropout", elementwise::dropout),
    ("Flatten", shape::flatten),
    ("Gather", texts::gather),
    ("Gelu", texts::gelu),
    ("Gemm", matrix::gemm),
    ("GlobalAveragePool", conv::global_average_pool),
    ("HardSigmoid", elementwise::hard_sigmoid),
    ("HardSwish", elementwise::hard_swish),
    ("Identity", elementwise::identity),
    ("LayerNormalization", texts::layer_normalization),
    ("LeakyRelu", elementwise::leaky_relu),
    ("LpNormalization", texts::lp_normalization),
    ("MatMul", matrix::matmul),
    ("MaxPool", conv::max_pool),
    ("Mul", elementwise::mul),
    ("Pad", layout::pad),
    ("ReduceMean", conv::reduce_mean),
    ("ReduceSum", texts::reduce_sum),
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
    ("Where", texts::choose),
];

/// What is known at import of values that are not.
type Answer = for<'a> fn(&mut Lower<'a>, Call<'a>) -> Result<tract::Tensor, Problem>;

/// Operators whose results do not depend on the numbers that they read.
const ANSWERS: &[(&str, Answer)] =
    &[("Equal", texts::no_padding), ("IsNaN", texts::no_nan), ("Shape", shape::extent), ("Size", shape::extent)];

/// What a node says of values that are computed, if it can be said at import.
pub(super) fn answer(call: &Call<'_>) -> Option<Answer> {
    let standard = is_standard(&call.node.domain);
    ANSWERS.iter().find(|(name, _)| standard && *name == call.node.op_type).map(|(_, answer)| *answer)
}

/// Operators that are known only where several together are another.
const PARTS: &[&str] = &["Erf", "Expand", "Pow", "Reciprocal", "ReduceL2", "Sqrt"];

/// How a node is lowered.
pub(super) fn find(call: &Call<'_>) -> Result<Lowering, Problem> {
    let op = call.node.op_type.as_str();
    if !is_standard(&call.node.domain) {
        let problem = "the operator is not of the standard";
        return Err(Problem::unsupported(problem, "a model as its exporter writes it, before a runtime optimizes it"));
    }
    let found = OPS.iter().find(|(name, _)| *name == op).map(|(_, lowering)| *lowering);
    found.ok_or_else(|| {
        if ["Quantize", "Dequantize", "Integer", "QLinear"].iter().any(|part| op.contains(part)) {
            Problem::unsupported("the model is quantized already", "the float model that it was made from")
        } else if PARTS.contains(&op) {
            let whole = "Gelu, LayerNormalization or LpNormalization";
            Problem::unsupported("it is no part of what it is known in", format!("it as a part of {whole}"))
        } else {
            let known = OPS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            Problem::unsupported("no such operator in the float graph", known)
        }
    })
}

//! Functions of single elements, and nodes that do nothing at inference.

use super::{Call, Lower, Problem};
use crate::graph::{Op, Tensor, Unary, ValueId};
use tract_onnx::pb::tensor_proto::DataType;

type Lowered = Result<ValueId, Problem>;

fn unary<'a>(lower: &mut Lower<'a>, call: Call<'a>, f: Unary) -> Lowered {
    let x = lower.operand(call, 0)?;
    lower.add(call, Op::Unary(f), &[x])
}

pub(super) fn relu<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    unary(lower, call, Unary::Relu)
}

pub(super) fn sigmoid<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    unary(lower, call, Unary::Sigmoid)
}

pub(super) fn tanh<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    unary(lower, call, Unary::Tanh)
}

pub(super) fn hard_swish<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    unary(lower, call, Unary::HardSwish)
}

pub(super) fn hard_sigmoid<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let (alpha, beta) = (call.float("alpha", 0.2), call.float("beta", 0.5));
    unary(lower, call, Unary::HardSigmoid { alpha, beta })
}

pub(super) fn leaky_relu<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    unary(lower, call, Unary::LeakyRelu { alpha: call.float("alpha", 0.01) })
}

/// The bounds are attributes before opset 11 and inputs from then on.
pub(super) fn clip<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let mut bounds = [call.float("min", f32::NEG_INFINITY), call.float("max", f32::INFINITY)];
    if call.opset >= 11 {
        bounds = [lower.float(call, 1)?.unwrap_or(f32::NEG_INFINITY), lower.float(call, 2)?.unwrap_or(f32::INFINITY)];
    }
    if bounds.iter().any(|b| b.is_nan()) {
        return Err(Problem::invalid("a bound is not a number"));
    }
    let [min, max] = bounds;
    unary(lower, call, Unary::Clip { min, max })
}

fn binary<'a>(lower: &mut Lower<'a>, call: Call<'a>, op: Op) -> Lowered {
    let inputs = [lower.operand(call, 0)?, lower.operand(call, 1)?];
    lower.add(call, op, &inputs)
}

pub(super) fn add<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    binary(lower, call, Op::Add)
}

pub(super) fn mul<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    binary(lower, call, Op::Mul)
}

/// The sum of any number of tensors.
pub(super) fn sum<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let last = call.node.input.len().saturating_sub(1);
    let mut total = lower.operand(call, 0)?;
    for index in 1..=last {
        let inputs = [total, lower.operand(call, index)?];
        total = match index == last {
            true => lower.add(call, Op::Add, &inputs)?,
            false => lower.part(call, &format!("first{}", index + 1), Op::Add, &inputs)?,
        };
    }
    Ok(total)
}

/// `a - b` is `a + -b`.
pub(super) fn sub<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let a = lower.operand(call, 0)?;
    let negated = if lower.is_constant(call, 1) {
        mapped(lower, call, "negated", |v| -v)?
    } else {
        let (b, minus) = (lower.operand(call, 1)?, lower.add_param("minus_one", Tensor::scalar(-1.0))?);
        lower.part(call, "negated", Op::Mul, &[b, minus])?
    };
    lower.add(call, Op::Add, &[a, negated])
}

/// `a / b` is `a * (1 / b)`, with a stored `b`.
pub(super) fn div<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    if !lower.is_constant(call, 1) {
        return Err(Problem::unsupported("its divisor is computed from the model's input", "a constant divisor"));
    }
    let a = lower.operand(call, 0)?;
    let inverted = mapped(lower, call, "inverted", |v| 1.0 / v)?;
    lower.add(call, Op::Mul, &[a, inverted])
}

/// The second input with a function applied to its numbers.
fn mapped<'a>(lower: &mut Lower<'a>, call: Call<'a>, what: &str, f: impl Fn(f32) -> f32) -> Lowered {
    let (Some(name), Some(mut tensor)) = (call.input(1), lower.weight(call, 1)?) else {
        return Err(Problem::invalid("input 1 is missing"));
    };
    tensor.data_mut().iter_mut().for_each(|v| *v = f(*v));
    lower.add_param(&format!("{name}.{what}"), tensor)
}

pub(super) fn identity<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    lower.operand(call, 0)
}

/// At inference nothing is dropped.
pub(super) fn dropout<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let training = if call.opset >= 12 { lower.ints(call, 2)? } else { None };
    if training.is_some_and(|flag| flag != [0]) {
        return Err(Problem::unsupported("it is in training mode", "a model exported for inference"));
    }
    lower.operand(call, 0)
}

/// Between float types nothing changes, as the float graph has one; nor do small integers in a larger type.
pub(super) fn cast<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    match DataType::try_from(call.int("to", 0) as i32) {
        _ if call.casts_to_float() => lower.operand(call, 0),
        Ok(DataType::Int32 | DataType::Int64) if lower.is_integer(call, 0) => lower.operand(call, 0),
        other => {
            let name = other.map_or("an unknown type", |t| t.as_str_name());
            Err(Problem::unsupported(format!("it casts to {name}"), "a cast to FLOAT, FLOAT16 or DOUBLE"))
        }
    }
}

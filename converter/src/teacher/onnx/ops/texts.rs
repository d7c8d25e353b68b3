//! Operators of encoders of texts, in which every text is as long as the model's input.

use super::{Call, Lower, Problem, axes, axis};
use crate::graph::{Dim, Op, Pick, Tensor, Unary, ValueId};
use tract_onnx::prelude as tract;

type Lowered = Result<ValueId, Problem>;

/// Rows of a stored table for ids, or what stands at one index of an axis.
pub(super) fn gather<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    if lower.is_integer(call, 1) {
        let (table, ids) = (lower.stored(call, 0)?, lower.operand(call, 1)?);
        if call.int("axis", 0) != 0 || lower.shape(table).len() != 2 {
            return Err(Problem::unsupported("it looks ids up in no table of rows", "a table [vocabulary, width]"));
        }
        return lower.add(call, Op::Embedding, &[ids, table]);
    }
    let Some(&[index]) = lower.ints(call, 1)?.as_deref() else {
        return Err(Problem::unsupported("it takes several indices", "one index, or ids looked up in a table"));
    };
    let x = lower.operand(call, 0)?;
    let shape = lower.shape(x).to_vec();
    let along = axis(call.int("axis", 0), shape.len())?;
    let op = Op::Slice { axis: along, start: axis(index, shape[along])?, step: 1, len: 1 };
    if lower.constant(call, 1)?.is_some_and(|index| index.rank() == 1) {
        return lower.add(call, op, &[x]);
    }
    let row = lower.part(call, "row", op, &[x])?;
    let dims = (0..shape.len()).filter(|&axis| axis != along).map(Dim::Same).collect();
    lower.add(call, Op::Reshape(dims), &[row])
}

pub(super) fn layer_normalization<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let x = lower.operand(call, 0)?;
    let rank = lower.shape(x).len();
    if axis(call.int("axis", -1), rank)? + 1 != rank {
        return Err(Problem::unsupported("it normalizes several axes together", "the last axis alone"));
    }
    let gamma = lower.stored(call, 1)?;
    let beta = match call.input(2) {
        Some(_) => lower.stored(call, 2)?,
        None => {
            let zeros = Tensor::zeros(lower.shape(gamma).to_vec());
            lower.add_param(&format!("{}.beta", call.output()), zeros)?
        }
    };
    lower.add(call, Op::LayerNorm { eps: call.float("epsilon", 1e-5) }, &[x, gamma, beta])
}

/// A vector scaled to length 1.
pub(super) fn lp_normalization<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let x = lower.operand(call, 0)?;
    let rank = lower.shape(x).len();
    if call.int("p", 2) != 2 || axis(call.int("axis", -1), rank)? + 1 != rank {
        return Err(Problem::unsupported("it is another length than the Euclidean of the last axis", "that"));
    }
    lower.add(call, Op::Normalize, &[x])
}

pub(super) fn gelu<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let x = lower.operand(call, 0)?;
    let function = match call.text("approximate", "none")? {
        "none" => Unary::Gelu,
        "tanh" => Unary::GeluTanh,
        other => return Err(Problem::unsupported(format!("it is approximated by `{other}`"), "`none` or `tanh`")),
    };
    lower.add(call, Op::Unary(function), &[x])
}

/// Whether a token is padding: none is, as no text is filled up. From this RoBERTa counts its positions.
pub(super) fn no_padding<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Result<tract::Tensor, Problem> {
    let index = usize::from(lower.is_constant(call, 0));
    let ids = if lower.is_integer(call, index) { Some(lower.operand(call, index)?) } else { None };
    // BERT and its kin have number 0, RoBERTa's 1. Another token, such as the end of a text, may well be there.
    let padding =
        lower.is_constant(call, 1 - index) && matches!(lower.ints(call, 1 - index)?.as_deref(), Some([0 | 1]));
    match ids.filter(|ids| padding && lower.ids() == Some(*ids)) {
        Some(ids) => nowhere(lower.shape(ids)),
        None => {
            Err(Problem::unsupported("it compares numbers that are computed", "token ids with that of padding, 0 or 1"))
        }
    }
}

/// Attention by heads in its parts, as older operator sets have it; a rule joins those of an encoder.
pub(super) fn attention<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let [q, k, v] = [lower.operand(call, 0)?, lower.operand(call, 1)?, lower.operand(call, 2)?];
    let (&[_, _, _, depth], [_, _, _, _], [_, _, _, _]) = (lower.shape(q), lower.shape(k), lower.shape(v)) else {
        return Err(Problem::unsupported("its heads are no axis", "queries [batch, heads, tokens, depth]"));
    };
    let past = (4..call.node.input.len()).any(|index| call.input(index).is_some());
    if past || call.int("is_causal", 0) != 0 || call.float("softcap", 0.0) != 0.0 {
        return Err(Problem::unsupported("it is that of a decoder", "attention of each token to all"));
    }
    if lower.shape(k)[..2] != lower.shape(q)[..2] || lower.shape(v)[..2] != lower.shape(q)[..2] {
        return Err(Problem::unsupported("several heads share keys", "keys and values of as many heads as queries"));
    }
    if let Some(mask) = lower.constant(call, 3)? {
        let is_open = match mask.datum_type() {
            tract::DatumType::Bool => lower.ints(call, 3)?.is_some_and(|mask| mask.iter().all(|&sees| sees != 0)),
            _ => lower.weight(call, 3)?.is_some_and(|mask| mask.data().iter().all(|&added| added == 0.0)),
        };
        if !is_open {
            let supported = "a mask that follows from `attention_mask` alone";
            return Err(Problem::unsupported("some tokens see others less", supported));
        }
    }
    let scale = call.float("scale", 1.0 / (depth as f32).sqrt());
    let keys = lower.part(call, "keys", Op::Transpose(vec![0, 1, 3, 2]), &[k])?;
    let scores = lower.part(call, "scores", Op::MatMul, &[q, keys])?;
    let scale = lower.add_param(&format!("{}.scale", call.output()), Tensor::scalar(scale))?;
    let scaled = lower.part(call, "scaled", Op::Mul, &[scores, scale])?;
    let shares = lower.part(call, "shares", Op::Softmax { axis: 3 }, &[scaled])?;
    lower.add(call, Op::MatMul, &[shares, v])
}

/// The sum over the tokens of a text, which is their mean times their number.
pub(super) fn reduce_sum<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let mean = token_mean(lower, call)?.ok_or_else(|| {
        Problem::unsupported("it is no sum over the tokens of a text", "a sum over axis 1 of [batch, tokens, width]")
    })?;
    let x = lower.operand(call, 0)?;
    let count = Tensor::scalar(lower.shape(x)[1] as f32);
    let count = lower.add_param(&format!("{}.tokens", call.output()), count)?;
    lower.part(call, "sum", Op::Mul, &[mean, count])
}

/// The mean over the tokens of a text, if that is what is reduced.
pub(super) fn token_mean<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Result<Option<ValueId>, Problem> {
    let x = lower.operand(call, 0)?;
    let shape = lower.shape(x).to_vec();
    let reduced = axes(&lower.ints_or_attribute(call, 1, "axes")?.unwrap_or_default(), shape.len())?;
    let Some(ids) = lower.ids().filter(|_| shape.len() == 3 && reduced == [1]) else { return Ok(None) };
    if lower.shape(ids) != &shape[..2] {
        return Ok(None);
    }
    let mean = lower.add(call, Op::Pick(Pick::Mean), &[x, ids])?;
    if call.int("keepdims", 1) == 0 {
        return Ok(Some(mean));
    }
    lower.part(call, "kept", Op::Reshape(vec![Dim::Same(0), Dim::Size(1), Dim::Same(1)]), &[mean]).map(Some)
}

/// One of two values, by a condition that is known at import and the same everywhere.
pub(super) fn choose<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let condition = lower.ints(call, 0)?.unwrap_or_default();
    let first = condition.iter().all(|&v| v != 0);
    if !first && condition.iter().any(|&v| v != 0) {
        return Err(Problem::unsupported(
            "its condition differs from element to element",
            "one that is the same everywhere",
        ));
    }
    let values = [lower.operand(call, 1)?, lower.operand(call, 2)?];
    let chosen = values[usize::from(!first)];
    let size = |id: ValueId| lower.shape(id).iter().product::<usize>();
    if condition.len().max(size(values[0])).max(size(values[1])) > size(chosen) {
        return Err(Problem::unsupported("it makes a value larger", "values of one shape"));
    }
    Ok(chosen)
}

/// Which elements are no numbers: none, as weights are finite and nothing here makes others of them.
pub(super) fn no_nan<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Result<tract::Tensor, Problem> {
    let x = lower.operand(call, 0)?;
    nowhere(lower.shape(x))
}

/// False, everywhere.
fn nowhere(shape: &[usize]) -> Result<tract::Tensor, Problem> {
    let none = vec![false; shape.iter().product()];
    tract::Tensor::from_shape(shape, &none).map_err(|e| Problem::invalid(format!("{e:#}")))
}

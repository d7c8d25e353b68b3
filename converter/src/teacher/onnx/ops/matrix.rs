//! Matrix products.

use super::{Call, Lower, Problem};
use crate::graph::{Dim, Op, Tensor, ValueId};

type Lowered = Result<ValueId, Problem>;

/// `alpha * A' * B' + beta * C`, where a dash is a transposition if told so.
pub(super) fn gemm<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let (alpha, beta) = (call.float("alpha", 1.0), call.float("beta", 1.0));
    let turned = |lower: &mut Lower<'a>, index: usize, attribute: &str| -> Lowered {
        let x = lower.operand(call, index)?;
        match call.int(attribute, 0) {
            0 => Ok(x),
            _ => lower.part(call, attribute, Op::Transpose(vec![1, 0]), &[x]),
        }
    };
    let a = turned(lower, 0, "transA")?;
    let scaled = match lower.weight(call, 1) {
        Ok(Some(weight)) if weight.shape().len() == 2 => {
            let mut weight = if call.int("transB", 0) == 0 { weight.transpose(&[1, 0]) } else { weight };
            weight.data_mut().iter_mut().for_each(|w| *w *= alpha);
            let weight = lower.add_param(call.input(1).unwrap_or_default(), weight)?;
            lower.add(call, Op::Linear, &[a, weight])?
        }
        _ => {
            let b = turned(lower, 1, "transB")?;
            let product = lower.add(call, Op::MatMul, &[a, b])?;
            scale(lower, call, product, alpha, "alpha")?
        }
    };
    if call.input(2).is_none() {
        return Ok(scaled);
    }
    let c = lower.operand(call, 2)?;
    let c = scale(lower, call, c, beta, "beta")?;
    lower.part(call, "plus", Op::Add, &[scaled, c])
}

fn scale<'a>(lower: &mut Lower<'a>, call: Call<'a>, x: ValueId, factor: f32, name: &str) -> Lowered {
    if factor == 1.0 {
        return Ok(x);
    }
    let factor = lower.add_param(&format!("{}.{name}", call.output()), Tensor::scalar(factor))?;
    lower.part(call, "scaled", Op::Mul, &[x, factor])
}

/// A vector counts as a matrix of one row on the left, and of one column on the right.
pub(super) fn matmul<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let (mut a, mut b) = (lower.operand(call, 0)?, lower.operand(call, 1)?);
    let [row, column] = [a, b].map(|id| lower.shape(id).len() == 1);
    if row {
        a = lower.part(call, "row", Op::Reshape(vec![Dim::Size(1), Dim::Same(0)]), &[a])?;
    }
    if column {
        b = lower.part(call, "column", Op::Reshape(vec![Dim::Same(0), Dim::Size(1)]), &[b])?;
    }
    let product = lower.add(call, Op::MatMul, &[a, b])?;
    if !row && !column {
        return Ok(product);
    }
    let rank = lower.shape(product).len();
    let mut dims: Vec<Dim> = (0..rank).map(Dim::Same).collect();
    if column {
        dims.pop();
    }
    if row {
        dims.remove(rank - 2);
    }
    lower.part(call, "vector", Op::Reshape(dims), &[product])
}

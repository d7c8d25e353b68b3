//! The same elements under another shape, and questions about shapes.

use super::{Call, Lower, Problem, axes, axis};
use crate::graph::{Dim, Op, ValueId};
use tract_onnx::prelude as tract;

type Lowered = Result<ValueId, Problem>;

/// The answer of Shape or Size, which is known at import.
pub(super) fn extent<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Result<tract::Tensor, Problem> {
    let x = lower.operand(call, 0)?;
    let sizes: Vec<i64> = lower.shape(x).iter().map(|&n| n as i64).collect();
    if call.node.op_type == "Size" {
        return Ok(tract::tensor0(sizes.iter().product::<i64>()));
    }
    let rank = sizes.len() as i64;
    let bound = |v: i64| (if v < 0 { v + rank } else { v }).clamp(0, rank) as usize;
    let (start, end) = (bound(call.int("start", 0)), bound(call.int("end", rank)));
    Ok(tract::tensor1(sizes.get(start..end).unwrap_or_default()))
}

/// Two axes: all before the named one, and the rest.
pub(super) fn flatten<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let x = lower.operand(call, 0)?;
    let rank = lower.shape(x).len();
    let split = call.int("axis", 1);
    let split = if split == rank as i64 { rank } else { axis(split, rank)? };
    let behind = Dim::Size(lower.shape(x)[split..].iter().product());
    let dims = match split {
        0 => vec![Dim::Size(1), behind],
        1 => vec![Dim::Same(0), behind],
        _ => vec![Dim::Rest, behind],
    };
    lower.add(call, Op::Reshape(dims), &[x])
}

pub(super) fn reshape<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let x = lower.operand(call, 0)?;
    let target = lower.ints(call, 1)?.ok_or_else(|| Problem::invalid("the target shape is missing"))?;
    let allow_zero = call.int("allowzero", 0) != 0;
    let batch = lower.shape(x).first().copied();
    let dims = target.iter().enumerate().map(|(i, &n)| match usize::try_from(n) {
        Ok(0) if !allow_zero => Ok(Dim::Same(i)),
        // Exporters write the size of the batch down where they mean the batch.
        Ok(n) if i == 0 && Some(n) == batch => Ok(Dim::Same(0)),
        Ok(n) => Ok(Dim::Size(n)),
        Err(_) if n == -1 => Ok(Dim::Rest),
        Err(_) => Err(Problem::invalid(format!("the target shape is {target:?}"))),
    });
    let dims = dims.collect::<Result<_, _>>()?;
    lower.add(call, Op::Reshape(dims), &[x])
}

pub(super) fn squeeze<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let x = lower.operand(call, 0)?;
    let shape = lower.shape(x);
    let gone = match lower.ints_or_attribute(call, 1, "axes")? {
        Some(indices) => axes(&indices, shape.len())?,
        None => (0..shape.len()).filter(|&i| shape[i] == 1).collect(),
    };
    if let Some(axis) = gone.iter().find(|&&axis| shape[axis] != 1) {
        return Err(Problem::invalid(format!("axis {axis} of {shape:?} is longer than 1")));
    }
    let dims = (0..shape.len()).filter(|axis| !gone.contains(axis)).map(Dim::Same).collect();
    lower.add(call, Op::Reshape(dims), &[x])
}

pub(super) fn unsqueeze<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let x = lower.operand(call, 0)?;
    let indices = lower.ints_or_attribute(call, 1, "axes")?.ok_or_else(|| Problem::invalid("the axes are missing"))?;
    let rank = lower.shape(x).len() + indices.len();
    let new = axes(&indices, rank)?;
    if new.len() != indices.len() {
        return Err(Problem::invalid(format!("axes {indices:?} name one axis twice")));
    }
    let mut old = 0..;
    let dims = (0..rank).map(|i| if new.contains(&i) { Some(Dim::Size(1)) } else { old.next().map(Dim::Same) });
    let dims = dims.flatten().collect();
    lower.add(call, Op::Reshape(dims), &[x])
}

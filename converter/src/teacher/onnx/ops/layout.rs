//! Operators that move elements along axes, and softmax, which works along one.

use super::{Call, Lower, Problem, axis};
use crate::graph::{Dim, Op, ValueId};

type Lowered = Result<ValueId, Problem>;

pub(super) fn transpose<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let x = lower.operand(call, 0)?;
    let rank = lower.shape(x).len();
    let perm = match call.ints("perm") {
        Some(perm) => perm.iter().map(|&i| axis(i, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect(),
    };
    lower.add(call, Op::Transpose(perm), &[x])
}

pub(super) fn concat<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let inputs = (0..call.node.input.len()).map(|i| lower.operand(call, i)).collect::<Result<Vec<_>, _>>()?;
    let first = *inputs.first().ok_or_else(|| Problem::invalid("it has no inputs"))?;
    let axis = axis(call.int("axis", 1), lower.shape(first).len())?;
    lower.add(call, Op::Concat { axis }, &inputs)
}

/// Sizes are attributes before opset 11 and inputs from then on; negative ones cut off.
pub(super) fn pad<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let x = lower.operand(call, 0)?;
    let mode = call.text("mode", "constant")?;
    if mode != "constant" {
        return Err(Problem::unsupported(format!("its mode is `{mode}`"), "mode `constant`"));
    }
    let rank = lower.shape(x).len();
    let sizes = lower.ints_or_attribute(call, 1, "pads")?.ok_or_else(|| Problem::invalid("the pads are missing"))?;
    let value = if call.opset >= 11 { lower.float(call, 2)?.unwrap_or(0.0) } else { call.float("value", 0.0) };
    let padded = match lower.ints(call, 3)? {
        Some(indices) => indices.iter().map(|&i| axis(i, rank)).collect::<Result<Vec<_>, _>>()?,
        None => (0..rank).collect(),
    };
    if sizes.len() != 2 * padded.len() {
        return Err(Problem::invalid(format!("{} pads for {} axes", sizes.len(), padded.len())));
    }
    let mut pads = vec![(0, 0); rank];
    for (i, &axis) in padded.iter().enumerate() {
        pads[axis] = (sizes[i], sizes[i + padded.len()]);
    }
    let added = pads.iter().map(|&(before, after)| (before.max(0) as usize, after.max(0) as usize)).collect();
    let mut y = lower.add(call, Op::Pad { pads: added, value }, &[x])?;
    for (axis, (before, after)) in pads.into_iter().enumerate() {
        let [start, end] = [before, after].map(|n| n.min(0).unsigned_abs() as usize);
        if start + end > 0 {
            let len = lower.shape(y)[axis].saturating_sub(start + end);
            y = lower.part(call, "cut", Op::Slice { axis, start, step: 1, len }, &[y])?;
        }
    }
    Ok(y)
}

/// Bounds are attributes before opset 10 and inputs from then on.
pub(super) fn slice<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let mut x = lower.operand(call, 0)?;
    let rank = lower.shape(x).len();
    let missing = || Problem::invalid("starts or ends are missing");
    let starts = lower.ints_or_attribute(call, 1, "starts")?.ok_or_else(missing)?;
    let ends = lower.ints_or_attribute(call, 2, "ends")?.ok_or_else(missing)?;
    let sliced = lower.ints_or_attribute(call, 3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = lower.ints(call, 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), sliced.len(), steps.len()] != [starts.len(); 3] {
        return Err(Problem::invalid("starts, ends, axes and steps differ in number"));
    }
    for i in 0..starts.len() {
        let axis = axis(sliced[i], rank)?;
        let size = lower.shape(x)[axis] as i64;
        let step = usize::try_from(steps[i]).ok().filter(|&step| step > 0).ok_or_else(|| {
            Problem::unsupported(format!("it goes by {} along axis {axis}", steps[i]), "positive steps")
        })?;
        let bound = |v: i64| (if v < 0 { v.saturating_add(size) } else { v }).clamp(0, size) as usize;
        let (start, end) = (bound(starts[i]), bound(ends[i]));
        let len = end.saturating_sub(start).div_ceil(step);
        if len == 0 {
            return Err(Problem::unsupported(format!("nothing is left of axis {axis}"), "slices that keep something"));
        }
        let op = Op::Slice { axis, start, step, len };
        let last = i + 1 == starts.len();
        x = if last { lower.add(call, op, &[x])? } else { lower.part(call, &format!("axis{axis}"), op, &[x])? };
    }
    Ok(x)
}

/// Before opset 13 the axes from the named one on are taken together.
pub(super) fn softmax<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let x = lower.operand(call, 0)?;
    let shape = lower.shape(x).to_vec();
    let axis = axis(call.int("axis", if call.opset < 13 { 1 } else { -1 }), shape.len())?;
    if call.opset >= 13 || shape[axis + 1..].iter().all(|&n| n == 1) {
        return lower.add(call, Op::Softmax { axis }, &[x]);
    }
    let together = Dim::Size(shape[axis..].iter().product());
    let flat = lower.part(call, "flat", Op::Reshape(vec![Dim::Rest, together]), &[x])?;
    let soft = lower.add(call, Op::Softmax { axis: 1 }, &[flat])?;
    let first = if axis == 0 { Dim::Size(shape[0]) } else { Dim::Rest };
    let dims = [first].into_iter().chain(shape[1..].iter().map(|&n| Dim::Size(n))).collect();
    lower.part(call, "open", Op::Reshape(dims), &[soft])
}

//! Shape rules: what each operator makes of its inputs' shapes, or why it cannot take them.

use super::op::{Dim, Op, Window};

/// Why an operator cannot take its inputs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("node `{node}` ({op}): {problem}")]
pub struct ShapeError {
    /// The node; empty until known.
    pub node: String,
    /// The operator.
    pub op: &'static str,
    /// What was found and what is needed.
    pub problem: String,
}

impl ShapeError {
    /// The same error, told of a node.
    pub(super) fn at(mut self, node: &str) -> Self {
        self.node = node.to_owned();
        self
    }
}

/// The output shape of `op` for inputs of these shapes.
pub(super) fn infer(op: &Op, inputs: &[&[usize]]) -> Result<Vec<usize>, ShapeError> {
    let fail = |problem: String| ShapeError { node: String::new(), op: op.name(), problem };
    let arity = match op {
        Op::Conv2d { .. } | Op::Linear => 2..=3,
        Op::BatchNorm { .. } => 5..=5,
        Op::Embedding => 2..=3,
        Op::LayerNorm { .. } => 3..=3,
        Op::Attention { .. } => 4..=4,
        Op::MatMul | Op::Add | Op::Mul | Op::Pick(_) => 2..=2,
        Op::Concat { .. } => 1..=usize::MAX,
        _ => 1..=1,
    };
    if !arity.contains(&inputs.len()) {
        return Err(fail(format!("takes {} to {} inputs, got {}", arity.start(), arity.end(), inputs.len())));
    }
    let x = inputs[0];
    match op {
        Op::Conv2d { window, groups } => conv2d(window, *groups, inputs),
        Op::Linear => linear(inputs),
        Op::MatMul => matmul(x, inputs[1]),
        Op::BatchNorm { .. } | Op::LayerNorm { .. } => match x.last() {
            Some(c) if inputs[1..].iter().all(|s| *s == [*c]) => Ok(x.to_vec()),
            _ => Err(format!("every parameter must have one value for each channel of {x:?}, got {:?}", &inputs[1..])),
        },
        Op::Embedding => embedding(inputs),
        Op::Attention { heads } => attention(*heads, inputs),
        Op::Pick(_) => match (x, inputs[1]) {
            (&[n, s, width], [n2, s2]) if n == *n2 && s == *s2 => Ok(vec![n, width]),
            (_, ids) => Err(format!("needs [batch, length, width] and ids [batch, length], got {x:?} and {ids:?}")),
        },
        Op::Normalize if x.is_empty() => Err("needs at least one axis".to_owned()),
        Op::Unary(_) | Op::Normalize => Ok(x.to_vec()),
        Op::Add | Op::Mul => broadcast(x, inputs[1]),
        Op::MaxPool(window) | Op::AvgPool { window, .. } => {
            image(x).and_then(|[n, h, w, c]| slide(window, [h, w]).map(|[oh, ow]| vec![n, oh, ow, c]))
        }
        Op::GlobalAvgPool => image(x).map(|[n, _, _, c]| vec![n, 1, 1, c]),
        Op::Softmax { axis } => axis_of(x, *axis).map(|_| x.to_vec()),
        Op::Concat { axis } => concat(*axis, inputs),
        Op::Pad { pads, .. } if pads.len() == x.len() => {
            Ok(x.iter().zip(pads).map(|(size, (before, after))| size + before + after).collect())
        }
        Op::Pad { pads, .. } => Err(format!("pads {} axes of an input of shape {x:?}", pads.len())),
        Op::Slice { axis, start, step, len } => axis_of(x, *axis).and_then(|size| {
            if *len > 0 && *step > 0 && start + (len - 1) * step < size {
                Ok(x.iter().enumerate().map(|(i, &s)| if i == *axis { *len } else { s }).collect())
            } else {
                Err(format!("takes {len} elements from {start} by {step} of an axis of {size}"))
            }
        }),
        Op::Reshape(dims) => reshape(x, dims),
        Op::Transpose(perm) => {
            let mut seen = perm.clone();
            seen.sort_unstable();
            if seen.iter().copied().eq(0..x.len()) {
                Ok(perm.iter().map(|&p| x[p]).collect())
            } else {
                Err(format!("{perm:?} is not a permutation of the axes of {x:?}"))
            }
        }
    }
    .map_err(fail)
}

fn image(x: &[usize]) -> Result<[usize; 4], String> {
    <[usize; 4]>::try_from(x).map_err(|_| format!("needs [batch, height, width, channels], got {x:?}"))
}

fn slide(window: &Window, input: [usize; 2]) -> Result<[usize; 2], String> {
    window.output(input).ok_or_else(|| format!("window {window:?} does not fit an input of {input:?}"))
}

fn axis_of(x: &[usize], axis: usize) -> Result<usize, String> {
    x.get(axis).copied().ok_or_else(|| format!("axis {axis} of an input of shape {x:?}"))
}

fn conv2d(window: &Window, groups: usize, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
    let [n, h, w, c] = image(inputs[0])?;
    let &[out, kh, kw, depth] = inputs[1] else {
        return Err(format!("needs a weight [out, rows, columns, in / groups], got {:?}", inputs[1]));
    };
    if [kh, kw] != window.kernel {
        return Err(format!("weight {:?} does not match a kernel of {:?}", inputs[1], window.kernel));
    }
    if groups == 0 || c != depth * groups || out % groups != 0 {
        return Err(format!("weight {:?} in {groups} groups does not fit {c} input channels", inputs[1]));
    }
    bias(inputs.get(2), out)?;
    slide(window, [h, w]).map(|[oh, ow]| vec![n, oh, ow, out])
}

fn linear(inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
    let (x, weight) = (inputs[0], inputs[1]);
    match (x, weight) {
        ([lead @ .., depth], [out, expected]) if depth == expected => {
            bias(inputs.get(2), *out)?;
            Ok([lead, &[*out]].concat())
        }
        _ => Err(format!("needs [.., in] and a weight [out, in], got {x:?} and {weight:?}")),
    }
}

fn embedding(inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
    let (&[n, s], &[_, width]) = (inputs[0], inputs[1]) else {
        return Err(format!(
            "needs ids [batch, length] and a table [vocabulary, width], got {:?} and {:?}",
            inputs[0], inputs[1]
        ));
    };
    match inputs.get(2) {
        Some(&&[positions, found]) if found == width && positions >= s => {}
        None => {}
        Some(found) => return Err(format!("needs positions [{s} or more, {width}], got {found:?}")),
    }
    Ok(vec![n, s, width])
}

fn attention(heads: usize, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
    let &[n, s, width] = inputs[0] else {
        return Err(format!("needs q, k, v [batch, length, width], got {:?}", &inputs[..3]));
    };
    if inputs[1] != inputs[0] || inputs[2] != inputs[0] || *inputs[3] != [n, s] {
        return Err(format!("needs q, k, v of one shape and ids [{n}, {s}], got {inputs:?}"));
    }
    if heads == 0 || width % heads != 0 {
        return Err(format!("{heads} heads do not divide a width of {width}"));
    }
    Ok(inputs[0].to_vec())
}

fn bias(shape: Option<&&[usize]>, out: usize) -> Result<(), String> {
    match shape {
        Some(&shape) if *shape != [out] => Err(format!("needs a bias [{out}], got {shape:?}")),
        _ => Ok(()),
    }
}

fn matmul(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    match (a, b) {
        ([lead_a @ .., m, k], [lead_b @ .., k2, n]) if k == k2 => {
            let mut shape = broadcast(lead_a, lead_b)?;
            shape.extend([*m, *n]);
            Ok(shape)
        }
        _ => Err(format!("needs [.., m, k] and [.., k, n], got {a:?} and {b:?}")),
    }
}

fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let size = |s: &[usize], axis: usize| (axis + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    (0..rank)
        .map(|axis| match (size(a, axis), size(b, axis)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            _ => Err(format!("{a:?} and {b:?} do not broadcast")),
        })
        .collect()
}

fn concat(axis: usize, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
    let mut shape = inputs[0].to_vec();
    axis_of(&shape, axis)?;
    for other in &inputs[1..] {
        let same = other.len() == shape.len() && (0..shape.len()).all(|i| i == axis || other[i] == shape[i]);
        if !same {
            return Err(format!("{:?} and {other:?} differ beside axis {axis}", inputs[0]));
        }
        shape[axis] += other[axis];
    }
    Ok(shape)
}

fn reshape(x: &[usize], dims: &[Dim]) -> Result<Vec<usize>, String> {
    let total: usize = x.iter().product();
    let mut shape = Vec::with_capacity(dims.len());
    let mut rest = None;
    for (i, dim) in dims.iter().enumerate() {
        shape.push(match *dim {
            Dim::Size(n) => n,
            Dim::Same(axis) => axis_of(x, axis)?,
            Dim::Rest if rest.is_none() => {
                rest = Some(i);
                1
            }
            Dim::Rest => return Err("more than one size is left open".to_owned()),
        });
    }
    let known: usize = shape.iter().product();
    if let Some(i) = rest {
        shape[i] = total.checked_div(known).unwrap_or(0);
    }
    if shape.iter().product::<usize>() == total {
        Ok(shape)
    } else {
        Err(format!("{x:?} has {total} elements, which do not fill {dims:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::op::{Pick, Unary};

    type Shapes = &'static [&'static [usize]];

    #[test]
    fn shapes_follow_from_inputs() {
        let conv = Op::Conv2d { window: Window::square(3, 2, 1), groups: 1 };
        let rows: &[(Op, Shapes, &[usize])] = &[
            (conv, &[&[1, 32, 32, 16], &[32, 3, 3, 16], &[32]], &[1, 16, 16, 32]),
            (Op::Conv2d { window: Window::square(3, 1, 1), groups: 8 }, &[&[2, 5, 5, 8], &[8, 3, 3, 1]], &[2, 5, 5, 8]),
            (Op::Linear, &[&[4, 64], &[10, 64], &[10]], &[4, 10]),
            (Op::MatMul, &[&[2, 1, 3, 4], &[5, 4, 6]], &[2, 5, 3, 6]),
            (Op::Add, &[&[2, 3, 4], &[3, 1]], &[2, 3, 4]),
            (Op::Embedding, &[&[4, 16], &[100, 8], &[64, 8]], &[4, 16, 8]),
            (Op::LayerNorm { eps: 1e-12 }, &[&[4, 16, 8], &[8], &[8]], &[4, 16, 8]),
            (Op::Attention { heads: 2 }, &[&[4, 16, 8], &[4, 16, 8], &[4, 16, 8], &[4, 16]], &[4, 16, 8]),
            (Op::Pick(Pick::Mean), &[&[4, 16, 8], &[4, 16]], &[4, 8]),
            (Op::Normalize, &[&[4, 8]], &[4, 8]),
            (Op::Unary(Unary::Relu), &[&[7]], &[7]),
            (Op::MaxPool(Window::square(2, 2, 0)), &[&[1, 4, 6, 3]], &[1, 2, 3, 3]),
            (Op::GlobalAvgPool, &[&[1, 8, 8, 64]], &[1, 1, 1, 64]),
            (Op::Concat { axis: 1 }, &[&[1, 2, 3], &[1, 5, 3]], &[1, 7, 3]),
            (Op::Pad { pads: vec![(0, 0), (1, 2)], value: 0.0 }, &[&[3, 4]], &[3, 7]),
            (Op::Slice { axis: 1, start: 1, step: 2, len: 2 }, &[&[3, 4]], &[3, 2]),
            (Op::Reshape(vec![Dim::Same(0), Dim::Rest]), &[&[2, 3, 4]], &[2, 12]),
            (Op::Transpose(vec![0, 3, 1, 2]), &[&[1, 2, 3, 4]], &[1, 4, 2, 3]),
        ];
        for (op, inputs, expected) in rows {
            assert_eq!(infer(op, inputs).as_deref(), Ok(*expected), "{op:?} of {inputs:?}");
        }
    }

    #[test]
    fn misfits_are_told() {
        let rows: &[(Op, Shapes)] = &[
            (Op::Conv2d { window: Window::square(3, 1, 0), groups: 1 }, &[&[1, 2, 2, 3], &[8, 3, 3, 3]]),
            (Op::Conv2d { window: Window::square(3, 1, 1), groups: 2 }, &[&[1, 8, 8, 3], &[8, 3, 3, 1]]),
            (Op::Linear, &[&[4, 64], &[10, 32]]),
            (Op::Linear, &[&[4, 64], &[10, 64], &[11]]),
            (Op::Embedding, &[&[4, 16], &[100, 8], &[15, 8]]),
            (Op::Embedding, &[&[4, 16, 1], &[100, 8]]),
            (Op::LayerNorm { eps: 1e-12 }, &[&[4, 8], &[8], &[7]]),
            (Op::Attention { heads: 3 }, &[&[4, 16, 8], &[4, 16, 8], &[4, 16, 8], &[4, 16]]),
            (Op::Attention { heads: 2 }, &[&[4, 16, 8], &[4, 15, 8], &[4, 16, 8], &[4, 16]]),
            (Op::Pick(Pick::First), &[&[4, 16, 8], &[4, 15]]),
            (Op::Add, &[&[2, 3], &[2, 4]]),
            (Op::Softmax { axis: 2 }, &[&[2, 3]]),
            (Op::Reshape(vec![Dim::Size(5), Dim::Rest]), &[&[2, 3]]),
            (Op::Reshape(vec![Dim::Size(0), Dim::Rest]), &[&[2, 3]]),
            (Op::Transpose(vec![0, 0]), &[&[2, 3]]),
            (Op::Slice { axis: 0, start: 1, step: 2, len: 2 }, &[&[3]]),
            (Op::MaxPool(Window { stride: [0, 1], ..Window::square(2, 1, 0) }), &[&[1, 4, 4, 1]]),
        ];
        for (op, inputs) in rows {
            assert!(infer(op, inputs).is_err(), "{op:?} of {inputs:?}");
        }
    }
}

//! Convolutions, pools and batch norms: operators on channels-first images, and on rows as images of one row.

use super::{Call, Lower, Problem, axes, axis};
use crate::graph::{Dim, Op, Pads, Pair, ValueId, Window};

type Lowered = Result<ValueId, Problem>;

/// The first input as a channels-last image; three axes are an image of one row.
fn image<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let x = lower.operand(call, 0)?;
    let last = match lower.shape(x).len() {
        3 | 4 => lower.image(x)?,
        rank => {
            let problem = format!("its input has {rank} axes");
            return Err(Problem::unsupported(problem, "[batch, channels, height, width] or [batch, channels, length]"));
        }
    };
    if lower.shape(last).len() == 4 {
        return Ok(last);
    }
    let dims = vec![Dim::Same(0), Dim::Size(1), Dim::Same(1), Dim::Same(2)];
    lower.part(call, "image", Op::Reshape(dims), &[last])
}

/// A channels-last image in the order of axes of the first input.
fn finish<'a>(lower: &mut Lower<'a>, call: Call<'a>, mut y: ValueId) -> Lowered {
    let x = lower.operand(call, 0)?;
    if lower.shape(x).len() == 3 {
        y = lower.part(call, "row", Op::Reshape(vec![Dim::Same(0), Dim::Same(2), Dim::Same(3)]), &[y])?;
    }
    lower.channels_first(call, y)
}

/// Attributes of a window over an image, for the kernel given if the attributes leave it out.
///
/// The second part is how far a rounded-up output reaches over the padding of the attributes, at the bottom and right.
fn window<'a>(
    lower: &mut Lower<'a>,
    call: Call<'a>,
    x: ValueId,
    kernel: Option<Pair>,
) -> Result<(Window, Pair), Problem> {
    let given = lower.operand(call, 0)?;
    let given = lower.shape(given).len();
    let &[_, height, width, _] = lower.shape(x) else { return Err(Problem::invalid("its input is no image")) };
    let pair = |name: &str, default: usize| -> Result<Pair, Problem> {
        if given == 3 { call.sizes::<1>(name, default).map(|[n]| [1, n]) } else { call.sizes::<2>(name, default) }
    };
    let listed = if call.ints("kernel_shape").is_some() { Some(pair("kernel_shape", 1)?) } else { None };
    let kernel = match (listed, kernel) {
        (Some(listed), Some(kernel)) if listed != kernel => {
            return Err(Problem::invalid(format!("its kernel is {listed:?}, its weight's is {kernel:?}")));
        }
        (listed, kernel) => kernel.or(listed).ok_or_else(|| Problem::invalid("`kernel_shape` is missing"))?,
    };
    let (stride, dilation) = (pair("strides", 1)?, pair("dilations", 1)?);
    if kernel.contains(&0) || stride.contains(&0) || dilation.contains(&0) {
        return Err(Problem::invalid("a kernel, stride or dilation is 0"));
    }
    let (input, mut before, mut after) = ([height, width], [0; 2], [0; 2]);
    let auto = call.text("auto_pad", "NOTSET")?;
    match auto {
        "NOTSET" if given == 3 => [before[1], after[1]] = call.sizes::<2>("pads", 0)?,
        "NOTSET" => [before[0], before[1], after[0], after[1]] = call.sizes::<4>("pads", 0)?,
        "VALID" => {}
        "SAME_UPPER" | "SAME_LOWER" => {
            for axis in 0..2 {
                let reach =
                    (input[axis].div_ceil(stride[axis]) - 1) * stride[axis] + dilation[axis] * (kernel[axis] - 1) + 1;
                let total = reach.saturating_sub(input[axis]);
                let (less, more) = (total / 2, total.div_ceil(2));
                (before[axis], after[axis]) = if auto == "SAME_UPPER" { (less, more) } else { (more, less) };
            }
        }
        other => return Err(Problem::invalid(format!("`auto_pad` is `{other}`"))),
    }
    let mut over = [0; 2];
    if call.int("ceil_mode", 0) != 0 {
        for axis in 0..2 {
            let reach = dilation[axis] * (kernel[axis] - 1) + 1;
            let padded = before[axis] + input[axis] + after[axis];
            let steps = padded.saturating_sub(reach).div_ceil(stride[axis]);
            // A window that would start behind the image and the padding before it is left out.
            let steps =
                if steps * stride[axis] >= before[axis] + input[axis] { steps.saturating_sub(1) } else { steps };
            over[axis] = (steps * stride[axis] + reach).saturating_sub(padded);
        }
    }
    let pads = Pads { top: before[0], left: before[1], bottom: after[0], right: after[1] };
    Ok((Window { kernel, stride, dilation, pads }, over))
}

/// The window with what a rounded-up output adds at its end.
fn widened(window: Window, [bottom, right]: Pair) -> Window {
    let pads = Pads { bottom: window.pads.bottom + bottom, right: window.pads.right + right, ..window.pads };
    Window { pads, ..window }
}

pub(super) fn conv<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let x = image(lower, call)?;
    let weight = lower.weight(call, 1)?.ok_or_else(|| Problem::invalid("the weight is missing"))?;
    let weight = match *weight.shape() {
        [_, _, _, _] => weight.transpose(&[0, 2, 3, 1]),
        [out, depth, len] => weight.transpose(&[0, 2, 1]).reshape([out, 1, len, depth]),
        _ => return Err(Problem::invalid(format!("its weight is {:?}", weight.shape()))),
    };
    let kernel = [weight.shape()[1], weight.shape()[2]];
    let (window, _) = window(lower, call, x, Some(kernel))?;
    let groups = usize::try_from(call.int("group", 1)).unwrap_or(0);
    let mut inputs = vec![x, lower.add_param(call.input(1).unwrap_or_default(), weight)?];
    if call.input(2).is_some() {
        inputs.push(lower.stored(call, 2)?);
    }
    let y = lower.add(call, Op::Conv2d { window, groups }, &inputs)?;
    finish(lower, call, y)
}

pub(super) fn max_pool<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let x = image(lower, call)?;
    let (window, over) = window(lower, call, x, None)?;
    let y = lower.add(call, Op::MaxPool(widened(window, over)), &[x])?;
    finish(lower, call, y)
}

pub(super) fn average_pool<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let mut x = image(lower, call)?;
    let (mut window, over) = window(lower, call, x, None)?;
    let mut count_pad = call.int("count_include_pad", 0) != 0;
    if count_pad && over != [0, 0] {
        // The padding of the attributes counts, what lies behind it does not: so the first becomes part of the image.
        let Pads { top, left, bottom, right } = std::mem::take(&mut window.pads);
        let pads = vec![(0, 0), (top, bottom), (left, right), (0, 0)];
        x = lower.part(call, "padded", Op::Pad { pads, value: 0.0 }, &[x])?;
        count_pad = false;
    }
    let y = lower.add(call, Op::AvgPool { window: widened(window, over), count_pad }, &[x])?;
    finish(lower, call, y)
}

pub(super) fn global_average_pool<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    let x = image(lower, call)?;
    let y = lower.add(call, Op::GlobalAvgPool, &[x])?;
    finish(lower, call, y)
}

/// The axes are an attribute before opset 18 and an input from then on.
pub(super) fn reduce_mean<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    if let Some(mean) = super::texts::token_mean(lower, call)? {
        return Ok(mean);
    }
    let x = lower.operand(call, 0)?;
    let shape = lower.shape(x).to_vec();
    let given = lower.ints_or_attribute(call, 1, "axes")?.filter(|indices| !indices.is_empty());
    let reduced = match given {
        Some(indices) => axes(&indices, shape.len())?,
        None if call.int("noop_with_empty_axes", 0) != 0 => return Ok(x),
        None => (0..shape.len()).collect(),
    };
    let kept: Vec<usize> = (0..shape.len()).filter(|axis| !reduced.contains(axis)).collect();
    let keep = call.int("keepdims", 1) != 0;
    let mean = match (shape.len(), &reduced[..]) {
        (3, [2]) | (4, [2, 3]) => global_average_pool(lower, call)?,
        (4, [1, 2]) => lower.add(call, Op::GlobalAvgPool, &[x])?,
        _ => return flat_mean(lower, call, x, &kept, &reduced, keep),
    };
    if keep {
        return Ok(mean);
    }
    let dims = kept.into_iter().map(Dim::Same).collect();
    lower.part(call, "squeezed", Op::Reshape(dims), &[mean])
}

/// The mean over any axes: those that go lie together as the rows of an image of one channel.
fn flat_mean<'a>(
    lower: &mut Lower<'a>,
    call: Call<'a>,
    x: ValueId,
    kept: &[usize],
    reduced: &[usize],
    keep: bool,
) -> Lowered {
    let shape = lower.shape(x).to_vec();
    let rows = reduced.iter().map(|&axis| shape[axis]).product();
    let sorted = lower.part(call, "sorted", Op::Transpose([kept, reduced].concat()), &[x])?;
    let columns = vec![Dim::Rest, Dim::Size(rows), Dim::Size(1), Dim::Size(1)];
    let columns = lower.part(call, "columns", Op::Reshape(columns), &[sorted])?;
    let mean = lower.add(call, Op::GlobalAvgPool, &[columns])?;
    // An axis that stands first is the batch, which may change.
    let size = |axis: usize| match kept.first() {
        Some(first) if axis == *first => Dim::Rest,
        _ if reduced.contains(&axis) => Dim::Size(1),
        _ => Dim::Size(shape[axis]),
    };
    let dims = if keep { (0..shape.len()).map(size).collect() } else { kept.iter().copied().map(size).collect() };
    lower.part(call, "shaped", Op::Reshape(dims), &[mean])
}

pub(super) fn batch_normalization<'a>(lower: &mut Lower<'a>, call: Call<'a>) -> Lowered {
    if call.int("training_mode", 0) != 0 {
        return Err(Problem::unsupported("it is in training mode", "a model exported for inference"));
    }
    if call.int("spatial", 1) == 0 {
        return Err(Problem::unsupported("its statistics differ from pixel to pixel", "one of each for a channel"));
    }
    let x = lower.operand(call, 0)?;
    let rank = lower.shape(x).len();
    axis(1, rank)?;
    let mut inputs = vec![if rank == 2 { x } else { lower.image(x)? }];
    for index in 1..5 {
        inputs.push(lower.stored(call, index)?);
    }
    let y = lower.add(call, Op::BatchNorm { eps: call.float("epsilon", 1e-5) }, &inputs)?;
    if rank == 2 { Ok(y) } else { lower.channels_first(call, y) }
}

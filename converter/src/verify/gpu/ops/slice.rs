//! Every so-manyth element of each axis; and what else only copies elements.

use super::prelude::*;
use crate::verify::gpu::values::Value;
use limbeck_runtime::ops::Slice;

static COPY: Shader = shader!("copy");

pub(super) fn lower(op: &Slice, call: &Call, to: &mut Lowering) {
    let copied = Copied { start: op.start, step: op.step, fill: Some(0), ..Copied::WHOLE };
    copy(only(call), &call.output, &copied, to);
}

/// Which elements of an input go where; three numbers are of rows, columns, channels.
pub(super) struct Copied {
    /// Elements of the output before the first of the input.
    pub(super) before: [usize; 3],
    /// The first element of the input.
    pub(super) start: [usize; 3],
    /// From each element of the input to the next.
    pub(super) step: [usize; 3],
    /// What the other elements of the output become; nothing if they stay what they are.
    pub(super) fill: Option<i8>,
}

impl Copied {
    /// All elements, to the beginning.
    pub(super) const WHOLE: Copied = Copied { before: [0; 3], start: [0; 3], step: [1; 3], fill: None };
}

/// Copies elements of an input.
pub(super) fn copy(input: &Value, output: &Value, copied: &Copied, to: &mut Lowering) {
    let Copied { before, start, step, fill } = copied;
    let params = Params::of(output).value(input).value(output);
    let params = params.sizes(&[output.tensor.shape.width]).sizes(&input.tensor.shape.sizes());
    let params = params.sizes(before).sizes(start).sizes(step);
    let params = params.u32s(&[u32::from(fill.is_none())]).i32s(&[fill.unwrap_or(0).into()]);
    to.quads(&COPY, output, params);
}

//! Any function of one value as a table of 256 bytes.

use super::prelude::*;
use limbeck_runtime::ops::Lut;

static SHADER: Shader = shader!("lut");

pub(super) fn lower(op: &Lut<'_>, call: &Call, to: &mut Lowering) {
    let table = to.constants(op.table.as_chunks().0.iter().map(|&bytes| word(bytes)));
    let y = &call.output;
    to.quads(&SHADER, y, Params::of(y).value(only(call)).value(y).u32s(&[table]));
}

//! Rows of a table for tokens, each with the row of its place.

use super::prelude::*;
use limbeck_runtime::ops::Embed;

static SHADER: Shader = shader!("embed");

pub(super) fn lower(op: &Embed<'_>, call: &Call, to: &mut Lowering) {
    let rows = |to: &mut Lowering, table: &[i8]| to.constants(table.chunks_exact(op.width).flat_map(words));
    let multipliers = |to: &mut Lowering, of: &[i16]| to.constants(of.iter().map(|&m| i32::from(m).cast_unsigned()));
    let tables = [rows(to, op.words), rows(to, op.positions)];
    let factors = [multipliers(to, op.word_multipliers), multipliers(to, op.position_multipliers)];
    let y = &call.output;
    let params = Params::of(y).value(only(call)).value(y).sizes(&[op.vocabulary()]);
    to.quads(&SHADER, y, params.u32s(&tables).u32s(&factors).u32s(&[op.shift.into()]));
}

/// A row in quads.
fn words(row: &[i8]) -> impl Iterator<Item = u32> {
    row.chunks(QUAD).map(|part| {
        let mut bytes = [0; QUAD];
        bytes[..part.len()].copy_from_slice(part);
        word(bytes)
    })
}

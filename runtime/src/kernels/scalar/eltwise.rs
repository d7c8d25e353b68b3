//! Ops on single elements: sum, product, table.

use crate::ops::{Add, Lut, Mul};

/// `output = add(a, output)`, `a` repeated.
pub(super) fn add(op: &Add, a: &[i8], output: &mut [i8]) {
    in_pairs(a, output, |a, b| op.apply(a, b));
}

/// `output = mul(a, output)`, `a` repeated.
pub(super) fn mul(op: &Mul, a: &[i8], output: &mut [i8]) {
    in_pairs(a, output, |a, b| op.apply(a, b));
}

/// `output = table[output]`.
pub(super) fn lut(op: &Lut<'_>, output: &mut [i8]) {
    for v in output {
        *v = op.apply(*v);
    }
}

fn in_pairs(a: &[i8], output: &mut [i8], apply: impl Fn(i8, i8) -> i8) {
    if a.is_empty() {
        return;
    }
    for row in output.chunks_mut(a.len()) {
        for (v, &a) in row.iter_mut().zip(a) {
            *v = apply(a, *v);
        }
    }
}

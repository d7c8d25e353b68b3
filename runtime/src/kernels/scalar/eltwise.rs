//! Ops on single elements: sums, product, table, change of size.

use crate::ops::{Add, Add16, Lut, Mul, Narrow};
use crate::tensor::Values;

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

/// `output = add16(a, output)`.
#[inline(always)]
pub(super) fn add16(op: &Add16, a: Values<'_>, output: &mut [i16]) {
    #[inline(always)]
    fn sums<T: Copy>(op: &Add16, a: &[T], output: &mut [i16], wide: impl Fn(T) -> i16) {
        if a.len() == output.len() {
            for (v, &a) in output.iter_mut().zip(a) {
                *v = op.apply(wide(a), *v);
            }
        }
    }
    match a {
        Values::Int8(a) => sums(op, a, output, |a| (a as i16) << 8),
        Values::Int16(a) => sums(op, a, output, |a| a),
    }
}

/// `output = narrow(input)`.
#[inline(always)]
pub(super) fn narrow(op: &Narrow, input: &[i16], output: &mut [i8]) {
    if input.len() == output.len() {
        for (v, &x) in output.iter_mut().zip(input) {
            *v = op.apply(x);
        }
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

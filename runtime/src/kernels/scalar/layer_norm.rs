//! Layer normalization: exact sums, one root a row, two multiplications an element.

use crate::ops::LayerNorm;
use crate::tensor::{Number, Values, ValuesMut};

/// Each row is brought to mean 0 and variance 1, then scaled and shifted.
#[inline(always)]
pub(super) fn layer_norm(op: &LayerNorm<'_>, input: Values<'_>, output: ValuesMut<'_>) {
    if !op.fits(input.len(), output.len()) {
        return;
    }
    match (input, output) {
        (Values::Int8(x), ValuesMut::Int8(y)) => rows(op, x, y),
        (Values::Int8(x), ValuesMut::Int16(y)) => rows(op, x, y),
        (Values::Int16(x), ValuesMut::Int8(y)) => rows(op, x, y),
        (Values::Int16(x), ValuesMut::Int16(y)) => rows(op, x, y),
    }
}

#[inline(always)]
fn rows<X: Number, Y: Number>(op: &LayerNorm<'_>, input: &[X], output: &mut [Y]) {
    let n = op.gains.len();
    for (x, y) in input.chunks_exact(n).zip(output.chunks_exact_mut(n)) {
        let (mut sum, mut squares) = (0i32, 0u64);
        for &x in x {
            let x: i32 = x.into();
            sum = sum.wrapping_add(x);
            squares = squares.wrapping_add(x.wrapping_mul(x) as u64);
        }
        let root = op.root(sum, squares);
        for ((y, &x), (&gain, &bias)) in y.iter_mut().zip(x).zip(op.gains.iter().zip(op.bias)) {
            let deviation = (n as i32).wrapping_mul(x.into()).wrapping_sub(sum);
            *y = Y::saturate(op.apply(root.apply(deviation), gain, bias));
        }
    }
}

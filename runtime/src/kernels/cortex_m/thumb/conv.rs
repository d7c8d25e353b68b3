//! Convolution and fully connected layer: six pixels by one output channel, two pixels a multiplication.
//!
//! **The idea.** A word holds two pixels' values for one input, `x0 + 65536 * x1`. Multiplied with a weight it is the product of the first in
//! its lower half and that of the second in its upper half. Two such words add up without one half reaching into the other: the lower one
//! is at most 2 * 127 * 128 in magnitude, so with 2^15 added it is never negative and has 16 bits; then the upper half of the sum is
//! exactly the second pixel's, and is added to a sum of its own. The whole words are summed up too, modulo 2^32: at the end the second
//! pixel's sum, times 65536, is subtracted from that, and what is left is the first pixel's. So two multiplications and two or
//! three additions serve four products, and values need no unpacking.

use super::super::thumb_plan::{THUMB_LAYOUT, TILE, ThumbPlan};
use super::gather::Gather;
use super::products::Products;
use super::requantize::{Finish, exact, fast, is_fast};
use crate::kernels::cast;
use crate::ops::{Conv2d, Linear};

/// See [`crate::kernels::Kernels::conv2d`].
pub(super) fn conv2d(op: &Conv2d<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let plan = ThumbPlan::of(op);
    if !op.fits(input, output) || output.is_empty() || op.layout != THUMB_LAYOUT || plan.groups == 0 {
        return;
    }
    let Some((columns, rest)) = scratch.split_at_mut_checked(4 * plan.columns()) else { return };
    let Some(rows) = cast::i8s_mut(rest).get_mut(..plan.rows) else { return };
    let columns = cast::i32s_mut(columns);
    if columns.len() != plan.columns() {
        return;
    }
    let out = op.output.channels;
    let products = Products::new(plan.groups);
    let finish: Finish = if is_fast(op) { fast } else { exact };
    let factors = op.channels.bias.iter().zip(op.channels.multiplier.iter().zip(op.channels.shift));
    let panels = op.weights.chunks_exact(2 * plan.groups).zip(factors).take(out);
    let mut gather = Gather::new(op, input, rows);
    let mut next = [0, 0];
    for pixels in output.chunks_mut(TILE * out) {
        let alone = pixels.len() == out && op.window.taps() == 1;
        if !alone {
            gather.tile(&mut next, pixels.len() / out, columns);
        }
        for (o, (weights, (&bias, (&multiplier, &shift)))) in panels.clone().enumerate() {
            let pairs = match alone {
                false => products.of(columns, weights, bias),
                // A pixel without others: nothing is gathered, and no second pixel's sum is in its words.
                true => [[dot(gather.values(next), weights, bias), 0]; TILE / 2],
            };
            finish(op, (multiplier, shift), &pairs, &mut pixels[o..]);
        }
    }
}

/// `sum` and the products of all values with as many weights.
#[inline(never)]
fn dot(values: &[i8], weights: &[i8], sum: i32) -> i32 {
    let product = |sum: i32, (&x, &w): (&i8, &i8)| sum.wrapping_add(i32::from(x) * i32::from(w));
    let (fours, rest) = values.as_chunks::<4>();
    let (weight_fours, weight_rest) = weights[..values.len()].as_chunks::<4>();
    let sum = fours.iter().zip(weight_fours).fold(sum, |sum, (x, w)| x.iter().zip(w).fold(sum, product));
    rest.iter().zip(weight_rest).fold(sum, product)
}

/// A convolution with one tap over a row of pixels.
pub(super) fn linear(op: &Linear<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    if op.fits(input, output) {
        conv2d(&op.as_conv2d(), input, output, scratch);
    }
}

//! Ops on 16-bit streams: two values at a time.

use super::insn::{
    add_high_word, add_products, add_squares, high_lanes, low_lanes, saturate_byte, saturate_half, symmetric_lanes,
};
use super::requantize::{Fast, Finish, prepare};
use crate::kernels::scalar;
use crate::ops::{Add16, InverseRoot, LayerNorm, Narrow};
use crate::quant::Channels;
use crate::tensor::{Values, ValuesMut};

/// See [`crate::kernels::Kernels::add16`].
pub(super) fn add16(op: &Add16, a: Values<'_>, output: &mut [i16]) {
    let multipliers = lanes([op.multipliers[0] as i32, op.multipliers[1] as i32]);
    let half = |pair: u32| {
        let sum = add_products(pair, multipliers, op.bias as u32) as i32;
        saturate_half(sum.wrapping_shr(u32::from(op.shift)) as u32)
    };
    let both = |a: u32, b: &mut [i16; 2]| {
        let pair = word(*b);
        *b = halves(symmetric_lanes(low_lanes(half(low_lanes(a, pair)), half(high_lanes(a, pair)))));
    };
    if a.len() != output.len() {
        return;
    }
    let (pairs, last) = output.as_chunks_mut::<2>();
    match a {
        Values::Int16(a) => {
            let (a, rest) = a.as_chunks::<2>();
            pairs.iter_mut().zip(a).for_each(|(b, a)| both(word(*a), b));
            last.iter_mut().zip(rest).for_each(|(b, a)| *b = op.apply(*a, *b));
        }
        Values::Int8(a) => {
            let (a, rest) = a.as_chunks::<2>();
            let upper = |a: i8| i32::from(a) << 8;
            pairs.iter_mut().zip(a).for_each(|(b, a)| both(lanes(a.map(upper)), b));
            last.iter_mut().zip(rest).for_each(|(b, a)| *b = op.apply(upper(*a) as i16, *b));
        }
    }
}

/// See [`crate::kernels::Kernels::narrow`].
pub(super) fn narrow(op: &Narrow, input: &[i16], output: &mut [i8]) {
    let channels = Channels { bias: &[0], multiplier: &[op.multiplier], shift: &[op.shift] };
    let mut words = [0; super::super::CHANNEL_WORDS];
    match prepare(channels, op.range, &mut words) {
        ([channel], true) if input.len() == output.len() => {
            for (out, &x) in output.iter_mut().zip(input) {
                Fast.finish(channel, 0, i32::from(x), out);
            }
        }
        _ => (scalar::KERNELS.narrow)(op, input, output),
    }
}

/// See [`crate::kernels::Kernels::layer_norm`].
pub(super) fn layer_norm(op: &LayerNorm<'_>, input: Values<'_>, output: ValuesMut<'_>) {
    let n = op.gains.len();
    match (input, output) {
        (Values::Int16(x), ValuesMut::Int16(y)) if op.fits(x.len(), y.len()) && n.is_multiple_of(2) => {
            for (x, y) in x.chunks_exact(n).zip(y.chunks_exact_mut(n)) {
                let row = Row::of(op, x);
                let params = op.gains.as_chunks::<2>().0.iter().zip(op.bias.as_chunks::<2>().0);
                for ((y, &x), (&gains, &bias)) in
                    y.as_chunks_mut::<2>().0.iter_mut().zip(x.as_chunks::<2>().0).zip(params)
                {
                    let [a, b] = [0, 1].map(|i| saturate_half(row.apply(x[i], gains[i], bias[i])));
                    *y = halves(symmetric_lanes(low_lanes(a, b)));
                }
            }
        }
        (Values::Int16(x), ValuesMut::Int8(y)) if op.fits(x.len(), y.len()) && n.is_multiple_of(2) => {
            for (x, y) in x.chunks_exact(n).zip(y.chunks_exact_mut(n)) {
                let row = Row::of(op, x);
                for ((y, &x), (&gain, &bias)) in y.iter_mut().zip(x).zip(op.gains.iter().zip(op.bias)) {
                    *y = saturate_byte(row.apply(x, gain, bias)) as i8;
                }
            }
        }
        (input, output) => (scalar::KERNELS.layer_norm)(op, input, output),
    }
}

/// The numbers of a row: the deviation of `x`, shifted to the left where the root's shift is below 33, is `x * scale + offset`; its
/// product with `factor` is shifted to the right by 32, then by `right`.
///
/// **Why nothing overflows.** The squares of `n` deviations sum up to `n * w` at most, so each is below `sqrt(n) * sqrt(w)`, and `sqrt(w)` is
/// below `2^(31-k)` for a root's shift of `41-k`. Shifted by `33 - (41-k) = k - 8` places that is below `sqrt(n) * 2^23`, and `n` below 2^15.
struct Row {
    scale: u32,
    offset: u32,
    factor: u32,
    half: u32,
    right: u32,
    last: u32,
}

impl Row {
    fn of(op: &LayerNorm<'_>, x: &[i16]) -> Self {
        let (mut sum, mut squares) = (0, 0u64);
        for &pair in x.as_chunks::<2>().0 {
            sum = add_products(word(pair), 0x0001_0001, sum);
            squares = add_squares(word(pair), squares);
        }
        let InverseRoot { factor, shift } = op.root(sum as i32, squares);
        let (left, right) = if shift < 33 { (33 - shift, 1) } else { (0, shift - 32) };
        Row {
            scale: (op.gains.len() as u32).wrapping_shl(left),
            offset: sum.wrapping_neg().wrapping_shl(left),
            factor: factor as u32,
            half: 1 << (right - 1),
            right,
            last: u32::from(op.right),
        }
    }

    /// The result for one value, not yet saturated.
    #[inline(always)]
    fn apply(&self, x: i16, gain: i32, bias: i32) -> u32 {
        let deviation = (i32::from(x) as u32).wrapping_mul(self.scale).wrapping_add(self.offset);
        let z = (add_high_word(deviation, self.factor, self.half) as i32).wrapping_shr(self.right);
        (add_high_word(z as u32, gain as u32, bias as u32) as i32).wrapping_shr(self.last) as u32
    }
}

/// Two values as lanes.
#[inline(always)]
fn lanes([a, b]: [i32; 2]) -> u32 {
    low_lanes(a as u32, b as u32)
}

/// Two values next to each other, as lanes.
#[inline(always)]
fn word([a, b]: [i16; 2]) -> u32 {
    u32::from(a as u16) | u32::from(b as u16) << 16
}

/// Lanes as two values next to each other.
#[inline(always)]
fn halves(lanes: u32) -> [i16; 2] {
    [lanes as i16, (lanes >> 16) as i16]
}

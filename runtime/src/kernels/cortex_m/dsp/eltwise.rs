//! Sum of two tensors: four values at a time, each a pair of 16-bit products.

use super::insn::{add_products, even_bytes, high_lanes, low_lanes, odd_bytes};
use crate::ops::Add;
use crate::quant::Output;

/// See [`crate::kernels::Kernels::add`].
pub(super) fn add(op: &Add, a: &[i8], output: &mut [i8]) {
    if a.is_empty() {
        return;
    }
    let multipliers = u32::from(op.multipliers[0] as u16) | u32::from(op.multipliers[1] as u16) << 16;
    let range = Output { zero: 0, lo: op.lo, hi: op.hi };
    let sum = |pair: u32| {
        let sum = add_products(pair, multipliers, op.bias as u32) as i32;
        range.clamp(sum.wrapping_shr(u32::from(op.shift)))
    };
    for row in output.chunks_mut(a.len()) {
        let (quads, rest) = row.as_chunks_mut::<4>();
        let (a_quads, a_rest) = a[..4 * quads.len() + rest.len()].as_chunks::<4>();
        for (b, a) in quads.iter_mut().zip(a_quads) {
            let [x, y] = [*a, *b].map(|four| u32::from_le_bytes(four.map(|v| v as u8)));
            let [x_even, y_even, x_odd, y_odd] = [even_bytes(x), even_bytes(y), odd_bytes(x), odd_bytes(y)];
            *b = [
                sum(low_lanes(x_even, y_even)),
                sum(low_lanes(x_odd, y_odd)),
                sum(high_lanes(x_even, y_even)),
                sum(high_lanes(x_odd, y_odd)),
            ];
        }
        for (b, &a) in rest.iter_mut().zip(a_rest) {
            *b = op.apply(a, *b);
        }
    }
}

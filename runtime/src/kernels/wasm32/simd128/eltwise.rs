//! Ops on single elements: sum, product, change of size.

use core::arch::wasm32::*;

use super::requantize::{Range, Rescale, Sum, load, store};
use crate::ops::{Add, Mul, Narrow};

/// See [`crate::Kernels::add`].
pub(super) fn add(op: &Add, a: &[i8], output: &mut [i8]) {
    let sum = Sum::new(op);
    for row in output.chunks_mut(a.len().max(1)) {
        for (a, b) in a.chunks(8).zip(row.chunks_mut(8)) {
            let value = sum.apply(load(a), load(b));
            store(b, value);
        }
    }
}

/// See [`crate::Kernels::mul`].
pub(super) fn mul(op: &Mul, a: &[i8], output: &mut [i8]) {
    let zeros = op.zeros.map(|zero| i16x8_splat(zero.into()));
    let rescale = Rescale::splat(op.multiplier, op.shift);
    let range = Range::new(op.range);
    for row in output.chunks_mut(a.len().max(1)) {
        for (a, b) in a.chunks(8).zip(row.chunks_mut(8)) {
            let a = i16x8_sub(i16x8_extend_low_i8x16(load(a)), zeros[0]);
            let held = i16x8_sub(i16x8_extend_low_i8x16(load(b)), zeros[1]);
            let products = [i32x4_extmul_low_i16x8(a, held), i32x4_extmul_high_i16x8(a, held)];
            store(b, range.pack(rescale.apply(products)));
        }
    }
}

/// See [`crate::Kernels::narrow`].
pub(super) fn narrow(op: &Narrow, input: &[i16], output: &mut [i8]) {
    if input.len() != output.len() {
        return;
    }
    let rescale = Rescale::splat(op.multiplier, op.shift);
    let range = Range::new(op.range);
    let (values, rest) = input.as_chunks::<8>();
    let (outputs, last) = output.as_chunks_mut::<8>();
    for (x, y) in values.iter().zip(outputs) {
        // SAFETY: eight values.
        let x = unsafe { v128_load(x.as_ptr().cast()) };
        store(y, range.pack(rescale.apply([i32x4_extend_low_i16x8(x), i32x4_extend_high_i16x8(x)])));
    }
    for (v, &x) in last.iter_mut().zip(rest) {
        *v = op.apply(x);
    }
}

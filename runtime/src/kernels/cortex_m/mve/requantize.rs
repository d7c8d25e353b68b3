//! Requantization of vectors whose four lanes share a multiplier, as a part of a loop's text.

use crate::quant::Output;

/// Requantizes the four sums of q0, with bounds in q2 and q3 and the operands that [`Factor`] has.
///
/// `VQDMULH` keeps one bit more than the contract's high word, and the shift takes it back: `VRSHL` with a negative shift rounds as
/// the contract does.
macro_rules! requantize {
    () => {
        "vshl.s32 q0, {left}
        vqdmulh.s32 q0, q0, {multiplier}
        vrshl.s32 q0, {right}
        vadd.i32 q0, q0, {zero}
        vmax.s32 q0, q0, q2
        vmin.s32 q0, q0, q3"
    };
}

/// Limits the four values of q0 to what q2 and q3 hold.
macro_rules! clamp {
    () => {
        "vmax.s32 q0, q0, q2
        vmin.s32 q0, q0, q3"
    };
}

pub(super) use {clamp, requantize};

/// How vectors are requantized.
#[derive(Clone, Copy)]
pub(super) struct Factor {
    pub(super) multiplier: i32,
    /// Shift of the sum to the left.
    pub(super) left: i32,
    /// Shift behind the multiplication; negative, since it is to the right.
    pub(super) right: i32,
    pub(super) zero: i32,
    pub(super) lo: i32,
    pub(super) hi: i32,
}

impl Factor {
    pub(super) fn new(multiplier: i32, shift: u8, Output { zero, lo, hi }: Output) -> Self {
        let [zero, lo, hi] = [zero, lo, hi].map(i32::from);
        Factor { multiplier, left: i32::from(shift >> 5), right: -1 - i32::from(shift & 31), zero, lo, hi }
    }
}

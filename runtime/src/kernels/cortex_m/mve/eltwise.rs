//! Ops on single elements: four at a time where products have 32 bits, sixteen where a table is read.
//!
//! Loops are tail-predicated: their last round reads and writes only what is left. Loads and stores that widen or narrow take their
//! addresses from low registers.

use core::arch::asm;

use super::requantize::{Factor, clamp, requantize};
use crate::kernels::scalar;
use crate::ops::{Add, Add16, Lut, Mul, Narrow};
use crate::tensor::Values;

/// Operands that are repeated are at least so long, or the loop is not worth its beginning.
const SHORTEST: usize = 4;

/// See [`crate::kernels::Kernels::add`].
pub(super) fn add(op: &Add, a: &[i8], output: &mut [i8]) {
    if a.len() < SHORTEST {
        return (scalar::KERNELS.add)(op, a, output);
    }
    let [m0, m1] = op.multipliers.map(i32::from);
    for row in output.chunks_mut(a.len()) {
        // SAFETY: the row is not longer than `a`, and not empty.
        unsafe {
            asm!(
                "vdup.32 q2, {lo}",
                "vdup.32 q3, {hi}",
                "vdup.32 q4, {m0}",
                "dlstp.32 lr, {n}",
                "2:",
                "vldrb.s32 q0, [r0], #4",
                "vldrb.s32 q1, [r1]",
                "vmlas.s32 q0, q4, {bias}",
                "vmla.s32 q0, q1, {m1}",
                "vshl.s32 q0, {shift}",
                clamp!(),
                "vstrb.32 q0, [r1], #4",
                "letp lr, 2b",
                inout("r0") a.as_ptr() => _, inout("r1") row.as_mut_ptr() => _, n = in(reg) row.len(),
                m0 = in(reg) m0, m1 = in(reg) m1, bias = in(reg) op.bias, shift = in(reg) -i32::from(op.shift),
                lo = in(reg) i32::from(op.lo), hi = in(reg) i32::from(op.hi),
                out("lr") _, out("q0") _, out("q1") _, out("q2") _, out("q3") _, out("q4") _,
                options(nostack)
            );
        }
    }
}

/// See [`crate::kernels::Kernels::mul`].
pub(super) fn mul(op: &Mul, a: &[i8], output: &mut [i8]) {
    if a.len() < SHORTEST {
        return (scalar::KERNELS.mul)(op, a, output);
    }
    let Factor { multiplier, left, right, zero, lo, hi } = Factor::new(op.multiplier, op.shift, op.range);
    let [zero_a, zero_b] = op.zeros.map(i32::from);
    for row in output.chunks_mut(a.len()) {
        // SAFETY: the row is not longer than `a`, and not empty.
        unsafe {
            asm!(
                "vdup.32 q2, {lo}",
                "vdup.32 q3, {hi}",
                "vdup.32 q4, lr",
                "dlstp.32 lr, {n}",
                "2:",
                "vldrb.s32 q0, [r0], #4",
                "vldrb.s32 q1, [r1]",
                "vsub.i32 q0, q0, q4",
                "vsub.i32 q1, q1, {zero_b}",
                "vmul.i32 q0, q0, q1",
                requantize!(),
                "vstrb.32 q0, [r1], #4",
                "letp lr, 2b",
                inout("r0") a.as_ptr() => _, inout("r1") row.as_mut_ptr() => _, n = in(reg) row.len(),
                lo = in(reg) lo, hi = in(reg) hi, zero_b = in(reg) zero_b,
                left = in(reg) left, multiplier = in(reg) multiplier, right = in(reg) right, zero = in(reg) zero,
                // All other registers are taken.
                inout("lr") zero_a => _,
                out("q0") _, out("q1") _, out("q2") _, out("q3") _, out("q4") _,
                options(nostack)
            );
        }
    }
}

/// See [`crate::kernels::Kernels::lut`].
pub(super) fn lut(op: &Lut<'_>, output: &mut [i8]) {
    if output.is_empty() {
        return;
    }
    // SAFETY: the table has an entry for each byte.
    unsafe {
        asm!(
            "dlstp.8 lr, {n}",
            "2:",
            "vldrb.u8 q0, [{y}]",
            "vldrb.u8 q1, [{table}, q0]",
            "vstrb.8 q1, [{y}], #16",
            "letp lr, 2b",
            y = inout(reg) output.as_mut_ptr() => _, n = in(reg) output.len(), table = in(reg) op.table.as_ptr(),
            out("lr") _, out("q0") _, out("q1") _,
            options(nostack)
        );
    }
}

/// A sum in 16 bits; `$load` reads four values of `a`, which are `$bytes` long.
macro_rules! add16 {
    ($op:expr, $a:expr, $shifted:literal, $load:literal, $output:expr) => {{
        let [m0, m1] = $op.multipliers.map(i32::from);
        if $a.len() == $output.len() && !$output.is_empty() {
            // SAFETY: both have so many values, one at least.
            unsafe {
                asm!(
                    "vdup.32 q2, {lo}",
                    "vdup.32 q3, {hi}",
                    "vdup.32 q4, {m0}",
                    "dlstp.32 lr, {n}",
                    "2:",
                    $load,
                    "vldrh.s32 q1, [r1]",
                    "vmlas.s32 q0, q4, {bias}",
                    "vmla.s32 q0, q1, {m1}",
                    "vshl.s32 q0, {shift}",
                    clamp!(),
                    "vstrh.32 q0, [r1], #8",
                    "letp lr, 2b",
                    inout("r0") $a.as_ptr() => _, inout("r1") $output.as_mut_ptr() => _, n = in(reg) $output.len(),
                    m0 = in(reg) m0 << $shifted, m1 = in(reg) m1, bias = in(reg) $op.bias,
                    shift = in(reg) -i32::from($op.shift), lo = in(reg) -i32::from(i16::MAX), hi = in(reg) i32::from(i16::MAX),
                    out("lr") _, out("q0") _, out("q1") _, out("q2") _, out("q3") _, out("q4") _,
                    options(nostack)
                );
            }
        }
    }};
}

/// See [`crate::kernels::Kernels::add16`].
pub(super) fn add16(op: &Add16, a: Values<'_>, output: &mut [i16]) {
    match a {
        // Eight bits count 256 times.
        Values::Int8(a) => add16!(op, a, 8, "vldrb.s32 q0, [r0], #4", output),
        Values::Int16(a) => add16!(op, a, 0, "vldrh.s32 q0, [r0], #8", output),
    }
}

/// See [`crate::kernels::Kernels::narrow`].
pub(super) fn narrow(op: &Narrow, input: &[i16], output: &mut [i8]) {
    if input.len() != output.len() || output.is_empty() {
        return;
    }
    let Factor { multiplier, left, right, zero, lo, hi } = Factor::new(op.multiplier, op.shift, op.range);
    // SAFETY: both have so many values, one at least.
    unsafe {
        asm!(
            "vdup.32 q2, {lo}",
            "vdup.32 q3, {hi}",
            "dlstp.32 lr, {n}",
            "2:",
            "vldrh.s32 q0, [r0], #8",
            requantize!(),
            "vstrb.32 q0, [r1], #4",
            "letp lr, 2b",
            inout("r0") input.as_ptr() => _, inout("r1") output.as_mut_ptr() => _, n = in(reg) output.len(),
            lo = in(reg) lo, hi = in(reg) hi,
            left = in(reg) left, multiplier = in(reg) multiplier, right = in(reg) right, zero = in(reg) zero,
            out("lr") _, out("q0") _, out("q2") _, out("q3") _,
            options(nostack)
        );
    }
}

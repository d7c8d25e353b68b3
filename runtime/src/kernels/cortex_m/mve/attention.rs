//! Attention: a row of a head at a time, its scores four keys at a time, its weights four at a time, sixteen channels of the values.

use core::arch::asm;

use super::requantize::Factor;
use crate::kernels::{cast, scalar};
use crate::ops::{Attention, Qkv};
use crate::quant::EXP2;

/// Channels of a head come in vectors of so many; others are left to scalar.
const VECTOR: usize = 16;

/// Keys whose scores are computed together.
const KEYS: usize = 4;

/// See [`crate::kernels::Kernels::attention`].
pub(super) fn attention(op: &Attention, inputs: Qkv<'_>, output: &mut [i8], scratch: &mut [u8]) {
    if !op.size.is_multiple_of(VECTOR) {
        return (scalar::KERNELS.attention)(op, inputs, output, scratch);
    }
    let scratch = cast::i32s_mut(scratch);
    if !op.fits(inputs, output) || scratch.len() < op.rows + op.size {
        return;
    }
    let scores = &mut scratch[..op.rows];
    let [q, k, v] = inputs;
    for (row, output) in output.chunks_exact_mut(op.width()).enumerate() {
        for (head, output) in output.chunks_exact_mut(op.size).enumerate() {
            let channels = head * op.size;
            let largest = score(op, &q[row * op.width() + channels..][..op.size], &k[channels..], scores);
            let (multiplier, shift) = op.factor(weigh(op, scores, largest));
            let factor = Factor::new(multiplier, shift, op.range);
            for (block, output) in output.as_chunks_mut::<VECTOR>().0.iter_mut().enumerate() {
                mix(scores, &v[channels + block * VECTOR..], op.width(), factor, output);
            }
        }
    }
}

/// The scores of a query with the keys of all rows, the first at the beginning of `keys`; the largest of them.
#[inline(always)]
fn score(op: &Attention, query: &[i8], keys: &[i8], scores: &mut [i32]) -> i32 {
    let mut largest = i32::MIN;
    for (block, scores) in scores.chunks_mut(KEYS).enumerate() {
        // Where fewer keys are left, the last one is repeated.
        let key = |i: usize| keys[(block * KEYS + i.min(scores.len() - 1)) * op.width()..][..op.size].as_ptr();
        let (a, b, c, d): (i32, i32, i32, i32);
        // SAFETY: the query and each key have as many channels as a head, a multiple of sixteen.
        unsafe {
            asm!(
                "mov r0, #0",
                "mov r2, #0",
                "mov r4, #0",
                "mov r8, #0",
                "dls lr, {n}",
                "2:",
                "vldrb.8 q0, [{query}], #16",
                "vldrb.8 q1, [{a}], #16",
                "vmladava.s8 r0, q0, q1",
                "vldrb.8 q2, [{b}], #16",
                "vmladava.s8 r2, q0, q2",
                "vldrb.8 q1, [{c}], #16",
                "vmladava.s8 r4, q0, q1",
                "vldrb.8 q2, [{d}], #16",
                "vmladava.s8 r8, q0, q2",
                "le lr, 2b",
                n = inout(reg) op.size / VECTOR => _, query = inout(reg) query.as_ptr() => _,
                a = inout(reg) key(0) => _, b = inout(reg) key(1) => _, c = inout(reg) key(2) => _, d = inout(reg) key(3) => _,
                out("r0") a, out("r2") b, out("r4") c, out("r8") d,
                out("lr") _, out("q0") _, out("q1") _, out("q2") _,
                options(nostack)
            );
        }
        for (score, new) in scores.iter_mut().zip([a, b, c, d]) {
            *score = new;
            largest = largest.max(new);
        }
    }
    largest
}

/// Makes weights of scores; their sum.
#[inline(always)]
fn weigh(op: &Attention, scores: &mut [i32], largest: i32) -> u32 {
    let (multiplier, shift) = op.score;
    let total;
    // SAFETY: reads and writes as many scores as there are, one at least, and entries of the table below 256.
    unsafe {
        asm!(
            "vdup.32 q2, {largest}",
            "vmov.i32 q3, #16",
            "vmov.i32 q4, #255",
            "mov r0, #0",
            "dlstp.32 lr, {n}",
            "2:",
            "vldrw.32 q0, [{scores}]",
            "vsub.i32 q0, q2, q0",
            "vshl.s32 q0, {left}",
            "vqdmulh.s32 q0, q0, {multiplier}",
            "vrshl.s32 q0, {right}",
            // The power of two by its fraction, shifted to the right by the whole part and one more, rounded.
            "vshr.u32 q1, q0, #8",
            "vmin.u32 q1, q1, q3",
            "vmvn q1, q1",
            "vand q0, q0, q4",
            "vldrh.u32 q5, [{table}, q0, uxtw #1]",
            "vrshl.u32 q5, q5, q1",
            "vaddva.u32 r0, q5",
            "vstrw.32 q5, [{scores}], #16",
            "letp lr, 2b",
            n = in(reg) scores.len(), scores = inout(reg) scores.as_mut_ptr() => _, largest = in(reg) largest,
            left = in(reg) i32::from(shift >> 5), multiplier = in(reg) multiplier,
            right = in(reg) -1 - i32::from(shift & 31), table = in(reg) EXP2.as_ptr(),
            out("r0") total,
            out("lr") _, out("q0") _, out("q1") _, out("q2") _, out("q3") _, out("q4") _, out("q5") _,
            options(nostack)
        );
    }
    total
}

/// The weighted mean of sixteen channels of all rows, the first at the beginning of `values`.
#[inline(always)]
fn mix(weights: &[i32], values: &[i8], width: usize, factor: Factor, output: &mut [i8; VECTOR]) {
    let Factor { multiplier, right, zero, lo, hi, .. } = factor;
    assert!(!weights.is_empty() && values.len() >= (weights.len() - 1) * width + VECTOR);
    let constants = [multiplier, right, zero, lo, hi];
    // SAFETY: reads a weight and sixteen channels of each row, and writes sixteen bytes.
    unsafe {
        asm!(
            "vmov.i32 q4, #0",
            "vmov.i32 q5, #0",
            "vmov.i32 q6, #0",
            "vmov.i32 q7, #0",
            "dls lr, {n}",
            "2:",
            "ldr {weight}, [{weights}], #4",
            "vldrb.s32 q0, [r0]",
            "vmla.s32 q4, q0, {weight}",
            "vldrb.s32 q1, [r0, #4]",
            "vmla.s32 q5, q1, {weight}",
            "vldrb.s32 q2, [r0, #8]",
            "vmla.s32 q6, q2, {weight}",
            "vldrb.s32 q3, [r0, #12]",
            "vmla.s32 q7, q3, {weight}",
            "add r0, r0, {width}",
            "le lr, 2b",
            "ldr {weight}, [{constants}, #12]",
            "vdup.32 q0, {weight}",
            "ldr {weight}, [{constants}, #16]",
            "vdup.32 q1, {weight}",
            "ldr {weight}, [{constants}]",
            "vqdmulh.s32 q4, q4, {weight}",
            "vqdmulh.s32 q5, q5, {weight}",
            "vqdmulh.s32 q6, q6, {weight}",
            "vqdmulh.s32 q7, q7, {weight}",
            "ldr {weight}, [{constants}, #4]",
            "vrshl.s32 q4, {weight}",
            "vrshl.s32 q5, {weight}",
            "vrshl.s32 q6, {weight}",
            "vrshl.s32 q7, {weight}",
            "ldr {weight}, [{constants}, #8]",
            "vadd.i32 q4, q4, {weight}",
            "vadd.i32 q5, q5, {weight}",
            "vadd.i32 q6, q6, {weight}",
            "vadd.i32 q7, q7, {weight}",
            "vmax.s32 q4, q4, q0",
            "vmax.s32 q5, q5, q0",
            "vmax.s32 q6, q6, q0",
            "vmax.s32 q7, q7, q0",
            "vmin.s32 q4, q4, q1",
            "vmin.s32 q5, q5, q1",
            "vmin.s32 q6, q6, q1",
            "vmin.s32 q7, q7, q1",
            "vstrb.32 q4, [r1]",
            "vstrb.32 q5, [r1, #4]",
            "vstrb.32 q6, [r1, #8]",
            "vstrb.32 q7, [r1, #12]",
            n = in(reg) weights.len(), weights = inout(reg) weights.as_ptr() => _, weight = out(reg) _,
            width = in(reg) width, constants = in(reg) constants.as_ptr(),
            inout("r0") values.as_ptr() => _, in("r1") output.as_mut_ptr(),
            out("lr") _, out("q0") _, out("q1") _, out("q2") _, out("q3") _,
            out("q4") _, out("q5") _, out("q6") _, out("q7") _,
            options(nostack)
        );
    }
}

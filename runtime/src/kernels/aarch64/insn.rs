//! Instructions that have no stable intrinsic, one a function, and some whose order matters.
//!
//! They name their extension themselves, so that code which is shared by several tables need not be compiled for it.

use core::arch::aarch64::{int8x16_t, int32x4_t};
use core::arch::asm;

/// `SDOT` by element: each sum plus the four products of its four bytes in `columns` with bytes `4 * LANE ..` of `values`.
///
/// # Safety
///
/// The CPU has the extension `dotprod`.
#[inline(always)]
pub(super) unsafe fn sdot<const LANE: i32>(mut sums: int32x4_t, columns: int8x16_t, values: int8x16_t) -> int32x4_t {
    // SAFETY: only registers change; the caller's promise.
    unsafe {
        asm!(
            ".arch_extension dotprod",
            "sdot {sums:v}.4s, {columns:v}.16b, {values:v}.4b[{lane}]",
            sums = inout(vreg) sums,
            columns = in(vreg) columns,
            values = in(vreg) values,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// `SMMLA`: a matrix of 2 x 2 sums, plus the products of 2 rows of 8 bytes with 2 columns of 8 bytes.
///
/// # Safety
///
/// The CPU has the extension `i8mm`.
#[inline(always)]
pub(super) unsafe fn smmla(mut sums: int32x4_t, rows: int8x16_t, columns: int8x16_t) -> int32x4_t {
    // SAFETY: only registers change; the caller's promise.
    unsafe {
        asm!(
            ".arch_extension i8mm",
            "smmla {sums:v}.4s, {rows:v}.16b, {columns:v}.16b",
            sums = inout(vreg) sums,
            rows = in(vreg) rows,
            columns = in(vreg) columns,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// The sums of two pixels and two channels, in four parts each, plus the products of two groups.
///
/// `groups` are the weights, each of the first channel, then of the second. Of a pixel the values come as they are and with the halves exchanged.
// Four chains of three instructions side by side, as a CPU that executes in order needs them. Left to itself the compiler makes
// all products of a tile before it adds them up, and runs out of registers.
#[inline(always)]
pub(super) fn add_pairs(
    [mut a, mut b, mut c, mut d]: [int32x4_t; 4],
    groups: [int8x16_t; 2],
    [first, second]: [[int8x16_t; 2]; 2],
) -> [int32x4_t; 4] {
    // SAFETY: only registers change; every CPU has these instructions.
    unsafe {
        asm!(
            "smull {p:v}.8h, {first:v}.8b, {g:v}.8b",
            "smull2 {q:v}.8h, {first_turned:v}.16b, {g:v}.16b",
            "smull {r:v}.8h, {second:v}.8b, {g:v}.8b",
            "smull2 {s:v}.8h, {second_turned:v}.16b, {g:v}.16b",
            "smlal {p:v}.8h, {first_turned:v}.8b, {h:v}.8b",
            "smlal2 {q:v}.8h, {first:v}.16b, {h:v}.16b",
            "smlal {r:v}.8h, {second_turned:v}.8b, {h:v}.8b",
            "smlal2 {s:v}.8h, {second:v}.16b, {h:v}.16b",
            "sadalp {a:v}.4s, {p:v}.8h",
            "sadalp {b:v}.4s, {q:v}.8h",
            "sadalp {c:v}.4s, {r:v}.8h",
            "sadalp {d:v}.4s, {s:v}.8h",
            a = inout(vreg) a,
            b = inout(vreg) b,
            c = inout(vreg) c,
            d = inout(vreg) d,
            g = in(vreg) groups[0],
            h = in(vreg) groups[1],
            first = in(vreg) first[0],
            first_turned = in(vreg) first[1],
            second = in(vreg) second[0],
            second_turned = in(vreg) second[1],
            p = out(vreg) _,
            q = out(vreg) _,
            r = out(vreg) _,
            s = out(vreg) _,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    [a, b, c, d]
}

//! The two instructions of AVX-VNNI, in assembly: so code that is shared with AVX2's table need not be compiled for them.

use core::arch::asm;
use core::arch::x86_64::__m256i;

/// `VPDPBUSD`: each sum plus the four products of its unsigned bytes in `values` with its signed ones in `weights`.
///
/// # Safety
///
/// The CPU has AVX-VNNI.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn dpbusd(mut sums: __m256i, values: __m256i, weights: __m256i) -> __m256i {
    // SAFETY: only a register changes; the caller's promise.
    unsafe {
        asm!(
            "{{vex}} vpdpbusd {sums}, {values}, {weights}",
            sums = inout(ymm_reg) sums,
            values = in(ymm_reg) values,
            weights = in(ymm_reg) weights,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

/// `VPDPWSSD`: each sum plus the two products of its 16-bit numbers in `a` with those in `b`.
///
/// # Safety
///
/// The CPU has AVX-VNNI.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) unsafe fn dpwssd(mut sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
    // SAFETY: only a register changes; the caller's promise.
    unsafe {
        asm!(
            "{{vex}} vpdpwssd {sums}, {a}, {b}",
            sums = inout(ymm_reg) sums,
            a = in(ymm_reg) a,
            b = in(ymm_reg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sums
}

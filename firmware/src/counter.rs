//! Counts what a closure costs: instructions in the emulator, clock cycles on a board.

use crate::board::now;

/// Runs `f`; its result, and its cost without that of counting.
#[inline(always)]
pub fn count<R>(f: impl FnOnce() -> R) -> (R, u64) {
    let empty = now();
    let start = now();
    let result = f();
    let end = now();
    (result, (end - start).saturating_sub(start - empty))
}

//! How much stack a piece of work takes: what lies below it is painted first, and looked at afterwards.

// Memory below the stack pointer belongs to nobody, so there is no reference to it.
#![allow(unsafe_code)]

use core::ptr;

/// A word that no run is likely to leave behind.
const PAINT: u32 = 0x5AFE_57AC;

/// Bytes that are painted at most.
const DEPTH: usize = 16 * 1024;

/// Bytes right below the stack pointer that are not painted, so that painting has a stack of its own; they count as used.
const OWN: usize = 128;

/// Keeps the frame of `work` from becoming part of the caller's, where it would not be counted.
#[inline(never)]
fn apart(work: impl FnOnce()) {
    work();
}

/// Bytes of stack that `work` takes, its own frame included; never too few by more than what it leaves unwritten.
#[inline(never)]
pub fn of(work: impl FnOnce()) -> usize {
    let top = (cortex_m::register::msp::read() as usize).saturating_sub(OWN) & !3;
    let bottom = top.saturating_sub(DEPTH).max(cortex_m_rt::heap_start() as usize).next_multiple_of(4);
    for address in (bottom..top).step_by(4) {
        // SAFETY: the word lies between the last static and this function's frame, where nothing lives, and is aligned.
        unsafe { ptr::with_exposed_provenance_mut::<u32>(address).write_volatile(PAINT) };
    }
    apart(work);
    let painted = |address: &usize| {
        // SAFETY: as above.
        unsafe { ptr::with_exposed_provenance::<u32>(*address).read_volatile() == PAINT }
    };
    let clean = (bottom..top).step_by(4).take_while(painted).count() * 4;
    top - bottom - clean + OWN
}

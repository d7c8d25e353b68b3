//! The cycle counter of cores that have one.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use cortex_m::peripheral::{DCB, DWT};

static HIGH: AtomicU32 = AtomicU32::new(0);
static LAST: AtomicU32 = AtomicU32::new(0);

/// Starts the counter.
pub(super) fn start(dcb: &mut DCB, dwt: &mut DWT) {
    dcb.enable_trace();
    DWT::unlock();
    dwt.set_cycle_count(0);
    dwt.enable_cycle_counter();
}

/// Clock cycles since the start. The counter has 32 bits and wraps, so this must be called once in a while: at 400 MHz every
/// ten seconds.
pub fn now() -> u64 {
    let low = DWT::cycle_count();
    // A single core, and no interrupt calls this.
    if low < LAST.load(Relaxed) {
        HIGH.store(HIGH.load(Relaxed).wrapping_add(1), Relaxed);
    }
    LAST.store(low, Relaxed);
    u64::from(HIGH.load(Relaxed)) << 32 | u64::from(low)
}

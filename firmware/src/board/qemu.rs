//! The emulated boards: SysTick counts executed instructions, exactly and the same in every run.
//!
//! QEMU's `-icount` moves the virtual clock by a fixed time for each instruction, and SysTick counts that clock. The
//! 24-bit counter wraps every ten million instructions; the exception that counts wraps costs under ten of them.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;

use super::TICKS_PER_INSTRUCTION;

/// What [`now`] counts.
pub const UNIT: &str = "instructions";

const RELOAD: u32 = 0x00ff_ffff;
static WRAPS: AtomicU32 = AtomicU32::new(0);

/// Starts the counter.
pub fn init() {
    if let Some(mut core) = cortex_m::Peripherals::take() {
        core.SYST.set_clock_source(SystClkSource::Core);
        core.SYST.set_reload(RELOAD);
        core.SYST.clear_current();
        core.SYST.enable_interrupt();
        core.SYST.enable_counter();
    }
}

/// Instructions executed since the start.
#[inline(never)]
pub fn now() -> u64 {
    let (ticks, instructions) = TICKS_PER_INSTRUCTION;
    loop {
        let wraps = WRAPS.load(Relaxed);
        let left = SYST::get_current();
        if wraps == WRAPS.load(Relaxed) {
            let elapsed = (u64::from(wraps) << 24) + u64::from(RELOAD - left);
            return (elapsed * instructions + ticks / 2) / ticks;
        }
    }
}

#[exception]
fn SysTick() {
    // A single core and a single writer: no read-modify-write is needed.
    WRAPS.store(WRAPS.load(Relaxed).wrapping_add(1), Relaxed);
}

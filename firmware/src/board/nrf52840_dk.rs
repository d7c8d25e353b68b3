//! Nordic nRF52840-DK: the core runs at 64 MHz from reset on.

pub use super::cycles::now;

/// What [`now`] counts.
pub const UNIT: &str = "cycles";

/// Starts the counter.
pub fn init() {
    if let Some(mut core) = cortex_m::Peripherals::take() {
        super::cycles::start(&mut core.DCB, &mut core.DWT);
    }
}

//! ST NUCLEO-F446RE: 180 MHz from the 8 MHz that the debugger's clock gives.

use stm32f4xx_hal::pac::Peripherals;
use stm32f4xx_hal::prelude::*;
use stm32f4xx_hal::rcc::Config;

pub use super::cycles::now;

/// What [`now`] counts.
pub const UNIT: &str = "cycles";

/// Raises the clock and starts the counter.
pub fn init() {
    if let Some(device) = Peripherals::take() {
        device.RCC.freeze(Config::hse(8.MHz()).bypass_hse_oscillator().sysclk(super::CLOCK_HZ.Hz()));
    }
    if let Some(mut core) = cortex_m::Peripherals::take() {
        super::cycles::start(&mut core.DCB, &mut core.DWT);
    }
}

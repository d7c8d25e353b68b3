//! ST NUCLEO-H743ZI: 400 MHz, with both caches on.

use stm32h7xx_hal::pac::Peripherals;
use stm32h7xx_hal::prelude::*;

pub use super::cycles::now;

/// What [`now`] counts.
pub const UNIT: &str = "cycles";

/// Raises the clock, turns the caches on and starts the counter.
pub fn init() {
    if let Some(device) = Peripherals::take() {
        let power = device.PWR.constrain().vos1().freeze();
        device.RCC.constrain().sys_ck(super::CLOCK_HZ.Hz()).freeze(power, &device.SYSCFG);
    }
    if let Some(mut core) = cortex_m::Peripherals::take() {
        core.SCB.enable_icache();
        core.SCB.enable_dcache(&mut core.CPUID);
        super::cycles::start(&mut core.DCB, &mut core.DWT);
    }
}

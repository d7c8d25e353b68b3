//! What a board must give: a name, a clock that runs, and a counter; one body for each kind of board.
//!
//! A body has `init() -> cortex_m::Peripherals` handed on to its `start`, `now()` and `UNIT`.

#[cfg_attr(feature = "qemu", path = "qemu.rs")]
#[cfg_attr(feature = "stm32f446re-nucleo", path = "stm32f446re_nucleo.rs")]
#[cfg_attr(feature = "stm32h743zi-nucleo", path = "stm32h743zi_nucleo.rs")]
#[cfg_attr(feature = "nrf52840-dk", path = "nrf52840_dk.rs")]
mod body;

pub use body::{UNIT, init, now};

include!(concat!(env!("OUT_DIR"), "/board.rs"));

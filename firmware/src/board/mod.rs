//! What a board must give: a clock that runs ([`init`]) and a counter ([`now`], in [`UNIT`]); one body for each kind of board.

#[cfg_attr(feature = "qemu", path = "qemu.rs")]
#[cfg_attr(feature = "nrf52840-dk", path = "nrf52840_dk.rs")]
#[cfg_attr(feature = "stm32f446re-nucleo", path = "stm32f446re_nucleo.rs")]
#[cfg_attr(feature = "stm32h743zi-nucleo", path = "stm32h743zi_nucleo.rs")]
mod body;
#[cfg(feature = "rtt")]
mod cycles;

pub use body::{UNIT, init, now};

include!(concat!(env!("OUT_DIR"), "/board.rs"));

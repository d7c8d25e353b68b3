//! What Limbeck's programs share on every board: start-up, a counter, input from the host, output and failure.
//!
//! Two streams leave a program. Results are lines of text by semihosting, which emulators and debuggers understand.
//! Logs are `defmt` frames: by semihosting in QEMU, by RTT on boards.
#![no_std]

pub mod board;
pub mod counter;
mod fault;
pub mod host;
pub mod images;
pub mod lines;
pub mod stack;

#[cfg(feature = "rtt")]
use defmt_rtt as _;
#[cfg(feature = "qemu")]
use defmt_semihosting as _;

//! How a program ends that cannot go on: a message, and an exit code that no good run has.

// cortex-m-rt demands `unsafe fn` of a fault handler; the body has nothing unsafe.
#![allow(unsafe_code)]

use core::panic::PanicInfo;

use cortex_m_rt::{ExceptionFrame, exception};

use crate::host::{exit, println};

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    println!("{info}");
    exit(2)
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    println!("hard fault at {:#010x}", frame.pc());
    exit(3)
}

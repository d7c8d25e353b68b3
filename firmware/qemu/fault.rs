//! Executes an instruction that does not exist: a fault must end the program with a message and an exit code of its own.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware::board;
use firmware::host::println;

#[entry]
fn main() -> ! {
    board::init();
    println!("{}: about to fault", board::NAME);
    cortex_m::asm::udf()
}

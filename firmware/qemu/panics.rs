//! Panics: the message must reach the host, and the exit code must say so.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware::board;
use firmware::host::println;

#[entry]
fn main() -> ! {
    board::init();
    println!("{}: about to panic", board::NAME);
    panic!("as this program should");
}

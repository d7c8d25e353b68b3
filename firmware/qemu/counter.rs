//! Counts loops of known length, so that every other count can be trusted.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware::board;
use firmware::counter::count;
use firmware::host::{exit, println};

#[entry]
fn main() -> ! {
    board::init();
    println!("{}: counting {}", board::NAME, board::UNIT);
    let mut bad = 0;
    for rounds in [100_u32, 10_000, 1_000_000, 50_000_000] {
        // Two instructions a round, and one round more than asked for.
        let ((), counted) = count(|| cortex_m::asm::delay(rounds));
        let expected = 2 * u64::from(rounds) + 2;
        // The call itself, and the exceptions of the counter's wraps.
        let good = (expected..=expected + 8 + expected / 500_000).contains(&counted);
        println!("{rounds} rounds: {}", if good { "as expected" } else { "WRONG" });
        if !good {
            println!("  counted {counted}, expected {expected}; was the emulator started with -icount?");
            bad += 1;
        }
    }

    exit(bad)
}

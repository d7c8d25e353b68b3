//! Runs the kernel contract on the device itself: every table it has against scalar, on random and extreme cases.
//!
//! The argument is the number of cases of each op, 100 if there is none.
#![no_std]
#![no_main]

use core::cell::RefCell;

use cortex_m::interrupt::Mutex;
use cortex_m_rt::entry;
use firmware::board;
use firmware::host::{exit, for_each_arg, println};
use limbeck_runtime::kernels::Kernels;
use limbeck_runtime::kernels::contract::{OPS, Workspace, check_case};

static WORK: Mutex<RefCell<Workspace>> = Mutex::new(RefCell::new(Workspace::new()));

#[entry]
fn main() -> ! {
    board::init();
    let mut cases = 100;
    for_each_arg(|arg| cases = arg.parse().unwrap_or(cases));
    let mut failed = 0;
    for table in Kernels::all() {
        for op in OPS {
            let run = |case: &u32| {
                cortex_m::interrupt::free(|cs| check_case(table, &mut WORK.borrow(cs).borrow_mut(), op, *case).err())
            };
            match (0..cases).find_map(|case| run(&case)) {
                None => println!("{} {op}: {cases} cases equal", table.isa.name()),
                Some(failure) => {
                    println!("{failure}");
                    failed += 1;
                }
            }
        }
    }
    defmt::info!("self-test of {=str}: {=i32} kernels differ", board::NAME, failed);
    exit(if failed == 0 { 0 } else { 1 })
}

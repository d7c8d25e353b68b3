//! Measures the stack of a run, which must stay small whatever the model.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use firmware::board;
use firmware::host::{exit, println};
use firmware::stack;
use limbeck_runtime::{Model, Session, StaticArena};

mod model {
    limbeck_runtime::include_model!(env!("LIMBECK_MODEL_FILE"));
}

#[entry]
fn main() -> ! {
    board::init();
    let known = stack::of(touch);
    println!(
        "a loop over 1000 bytes on the stack: {}",
        if (1000..1400).contains(&known) { "as expected" } else { "WRONG" }
    );
    let arena = cortex_m::singleton!(: StaticArena<{ model::ARENA_BYTES }> = StaticArena::new());
    let (Ok(model), Some(arena)) = (Model::parse(model::BYTES), arena) else { exit(1) };
    let Ok(mut session) = Session::<'_, '_, '_, model::Ops>::with_ops(&model, arena) else { exit(1) };
    println!("a run: {} bytes", stack::of(|| session.run()));
    exit(0)
}

/// Writes an array of 1000 bytes on the stack.
#[inline(never)]
fn touch() {
    let mut bytes = [0_u8; 1000];
    core::hint::black_box(&mut bytes).fill(1);
}

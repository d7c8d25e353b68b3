//! What each op of the model that is part of the program costs, in instructions or cycles, and the stack of a run.
//!
//! Argument: `[TOKENS]`, the length of the text; the longest that the model takes if there is none. Prints a line for each op and one for the
//! whole run, which was counted by itself.
#![no_std]
#![no_main]

use core::fmt::Display;

use cortex_m_rt::entry;
use firmware::board;
use firmware::counter::count;
use firmware::host::{exit, for_each_arg, println};
use firmware::{board::now, stack};
use limbeck_runtime::{Model, Session, StaticArena, Step};

mod model {
    limbeck_runtime::include_model!(env!("LIMBECK_MODEL_FILE"));
}

#[entry]
fn main() -> ! {
    board::init();
    let mut length = None;
    for_each_arg(|arg| length = Some(arg.parse::<usize>()));
    let arena = cortex_m::singleton!(: StaticArena<{ model::ARENA_BYTES }> = StaticArena::new());
    let Some(arena) = arena else { fail(&"the arena is in use") };
    let model = Model::parse_with::<model::Ops>(model::BYTES).unwrap_or_else(|error| fail(&error));
    let mut session = Session::<'_, '_, '_, model::Ops>::with_ops(&model, arena).unwrap_or_else(|error| fail(&error));
    // What is counted must be right.
    session
        .self_test()
        .unwrap_or_else(|number| fail(&format_args!("self-test {number} gives another result than on the host")));
    match length {
        None => (),
        Some(Err(error)) => fail(&error),
        Some(Ok(length)) => session.set_length(length).unwrap_or_else(|error| fail(&error)),
    }
    for i in 0..model.inputs() {
        session.input_mut(i).fill(0);
    }
    let table = session.kernels().isa.name();
    println!("model {} arena {} table {table} board {}", model.file_bytes(), model::ARENA_BYTES, board::NAME);
    let ((), all) = count(|| run(&mut session, &mut |_| ()));
    let stack = stack::of(|| run(&mut session, &mut |_| ()));
    let empty = {
        let start = now();
        now() - start
    };
    let mut start = now();
    run(&mut session, &mut |step| {
        let cost = (now() - start).saturating_sub(empty);
        let kind = step.op.kind().map_or("?", |kind| kind.name());
        println!("op {} kind {kind} {} {cost}", step.index, board::UNIT);
        start = now();
    });
    println!("tokens {} stack {stack} {} {all}", session.length(), board::UNIT);
    exit(0)
}

/// One copy of the loop over ops, as in every other program: two would be compiled otherwise, and take another stack.
#[inline(never)]
fn run(session: &mut Session<'_, '_, '_, model::Ops>, each: &mut dyn FnMut(Step<'_, '_, '_>)) {
    session.run_with(each);
}

/// Ends the program with what went wrong.
fn fail(error: &dyn Display) -> ! {
    println!("{error}");
    exit(1)
}

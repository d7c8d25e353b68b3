//! The suite, and runs of a model, as plain exports of a WebAssembly module: for scripts in Node and in browsers.

use super::{OPS, Workspace, check_case};
use crate::kernels::{Isa, Kernels};
use crate::{Model, Rng, Session, arena_bytes};

/// Room for a model file.
const FILE: usize = 4 << 20;
/// Room for its arena.
const ARENA: usize = 2 << 20;

#[repr(C, align(16))]
struct Memory {
    work: Workspace,
    file: [u8; FILE],
    arena: [u8; ARENA],
}

static mut MEMORY: Memory = Memory { work: Workspace::new(), file: [0; FILE], arena: [0; ARENA] };

/// The module's memory; a module has one thread, and no export calls another one.
fn memory() -> &'static mut Memory {
    let memory = &raw mut MEMORY;
    // SAFETY: each export asks once, and lets go of it before it returns.
    unsafe { &mut *memory }
}

/// A table by its number in the order of [`Isa::ALL`].
fn table(number: u32) -> Option<&'static Kernels> {
    Kernels::for_isa(*Isa::ALL.get(number as usize)?)
}

/// The number of the best table that the module has.
#[unsafe(no_mangle)]
extern "C" fn best_table() -> u32 {
    Kernels::all().last().map_or(0, |table| table.isa as u32)
}

/// Number of ops that have cases.
#[unsafe(no_mangle)]
extern "C" fn ops() -> u32 {
    OPS.len() as u32
}

/// The first of `cases` cases of an op that a table fails; -1 if it keeps all, -2 if there is no such table or op.
#[unsafe(no_mangle)]
extern "C" fn contract(number: u32, op: u32, cases: u32) -> i32 {
    let (Some(table), Some(op)) = (table(number), OPS.get(op as usize)) else { return -2 };
    let work = &mut memory().work;
    (0..cases).find(|&case| check_case(table, work, op, case).is_err()).map_or(-1, |case| case as i32)
}

/// Where to put a model file of so many bytes; null if there is no room for it.
#[unsafe(no_mangle)]
extern "C" fn model_place(bytes: u32) -> *mut u8 {
    if bytes as usize > FILE { core::ptr::null_mut() } else { memory().file.as_mut_ptr() }
}

/// Runs the model so many times on one random input and gives the digest of its output; 0 if that is not possible.
#[unsafe(no_mangle)]
extern "C" fn run(number: u32, bytes: u32, times: u32) -> u64 {
    let Memory { file, arena, .. } = memory();
    let (Some(table), Some(file)) = (table(number), file.get(..bytes as usize)) else { return 0 };
    let Ok(model) = Model::parse(file) else { return 0 };
    let Some(arena) = arena.get_mut(..arena_bytes(&model, table.isa)) else { return 0 };
    let Ok(mut session) = Session::with_kernels(&model, arena, table) else { return 0 };
    for _ in 0..times {
        let mut rng = Rng::new(1);
        session.input_mut(0).fill_with(|| rng.byte());
        session.run();
    }
    session.digest()
}

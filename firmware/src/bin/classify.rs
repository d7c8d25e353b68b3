//! Classifies images that lie on the host, with the model that is part of the program.
//!
//! Arguments: `[--digest] [FILE]`, a file of images as [`firmware::images`] describes it. Prints a line for each image, or with `--digest`
//! one line for all. Without a file it runs the model's own self-tests.
#![no_std]
#![no_main]

use core::fmt;

use cortex_m_rt::entry;
use firmware::board;
use firmware::counter::count;
use firmware::host::{exit, for_each_arg, println};
use firmware::images::{Images, ImagesError};
use heapless::CString;
use limbeck_runtime::{Fnv1a64, LoadError, Model, Session, SessionError, StaticArena};

mod model {
    limbeck_runtime::include_model!(env!("LIMBECK_MODEL_FILE"));
}

type ModelSession<'m, 'a, 'r> = Session<'m, 'a, 'r, model::Ops>;

/// Longest name of a file of images, the end mark included.
const PATH: usize = 256;

#[entry]
fn main() -> ! {
    board::init();
    match run() {
        Ok(()) => exit(0),
        Err(error) => {
            defmt::error!("classify failed");
            println!("{error}");
            exit(1)
        }
    }
}

fn run() -> Result<(), Failure> {
    let (mut digest_only, mut path, mut bad_path) = (false, None, false);
    for_each_arg(|arg| match arg {
        "--digest" => digest_only = true,
        name => {
            let mut text = CString::<PATH>::new();
            bad_path |= text.extend_from_bytes(name.as_bytes()).is_err();
            path = Some(text);
        }
    });
    if bad_path {
        return Err(Failure::Path);
    }
    let arena = cortex_m::singleton!(: StaticArena<{ model::ARENA_BYTES }> = StaticArena::new());
    let arena = arena.ok_or(Failure::Arena)?;
    let model = Model::parse_with::<model::Ops>(model::BYTES).map_err(Failure::Load)?;
    let mut session = ModelSession::with_ops(&model, arena).map_err(Failure::Session)?;
    let table = session.kernels().isa.name();
    println!("model {} arena {} table {table} board {}", model.file_bytes(), model::ARENA_BYTES, board::NAME);
    match path {
        Some(path) if digest_only => classify_quietly(&mut session, &path),
        Some(path) => classify(&mut session, &path),
        None => self_test(&mut session),
    }
}

/// A line for each image.
fn classify(session: &mut ModelSession, path: &core::ffi::CStr) -> Result<(), Failure> {
    let mut images = Images::open(path)?;
    let mut number = 0;
    while load(session, &mut images)? {
        let ((), cost) = count(|| session.run());
        let (class, digest) = (largest(session.output(0)), session.digest());
        println!("image {number} class {class} digest {digest:016x} {} {cost}", board::UNIT);
        defmt::info!("image {=u32}: class {=usize}, {=u64} {=str}", number, class, cost, board::UNIT);
        number += 1;
    }
    Ok(())
}

/// One digest of the outputs of all images, and the mean cost.
fn classify_quietly(session: &mut ModelSession, path: &core::ffi::CStr) -> Result<(), Failure> {
    let mut images = Images::open(path)?;
    let (mut number, mut total, mut digest) = (0, 0, Fnv1a64::new());
    while load(session, &mut images)? {
        total += count(|| session.run()).1;
        for i in 0..session.model().outputs() {
            digest.update(session.output(i));
        }
        number += 1;
    }
    let (digest, mean) = (digest.finish(), total.checked_div(number).unwrap_or(0));
    println!("images {number} digest {digest:016x} {} {mean}", board::UNIT);
    Ok(())
}

/// The model's own test vectors.
fn self_test(session: &mut ModelSession) -> Result<(), Failure> {
    let tests = session.model().self_tests().count();
    let (result, total) = count(|| session.self_test());
    result.map_err(Failure::SelfTest)?;
    println!("self-tests {tests} {} {}", board::UNIT, total / tests.max(1) as u64);
    defmt::info!("{=usize} self-tests passed", tests);
    Ok(())
}

/// Fills the model's input with the next image; false after the last.
fn load(session: &mut ModelSession, images: &mut Images) -> Result<bool, Failure> {
    let Some(port) = session.model().input(0) else { return Err(Failure::NoInput) };
    let channels = port.tensor.shape.channels;
    let input = session.input_mut(0);
    Ok(images.next(input.len(), |i, pixel| {
        if let Some(value) = input.get_mut(i) {
            *value = port.pixel(i % channels, pixel);
        }
    })?)
}

/// Index of the largest value, the first of equal ones.
fn largest(values: &[i8]) -> usize {
    (0..values.len()).rev().max_by_key(|&i| values[i]).unwrap_or(0)
}

/// Why nothing was classified.
enum Failure {
    Path,
    Arena,
    NoInput,
    Load(LoadError),
    Session(SessionError),
    Images(ImagesError),
    SelfTest(usize),
}

impl From<ImagesError> for Failure {
    fn from(error: ImagesError) -> Self {
        Failure::Images(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Path => write!(f, "the file's name is longer than {} bytes", PATH - 1),
            Failure::Arena => f.write_str("the arena is in use"),
            Failure::NoInput => f.write_str("the model has no input"),
            Failure::Load(error) => write!(f, "the model does not load: {error}"),
            Failure::Session(error) => write!(f, "the model does not run here: {error}"),
            Failure::Images(error) => write!(f, "{error}"),
            Failure::SelfTest(number) => write!(f, "self-test {number} gives another result than on the host"),
        }
    }
}

//! Classifies images or texts that lie on the host, with the model that is part of the program.
//!
//! Arguments: `[--digest] [FILE]`. What the model reads, the file must hold: images as [`firmware::images`] describes it, or texts
//! in UTF-8, one a line. Prints a line for each, or with `--digest` one line for all. Without a file it runs the model's own
//! self-tests.
#![no_std]
#![no_main]

mod images;
mod texts;

use core::fmt;

use cortex_m_rt::entry;
use firmware::board;
use firmware::counter::count;
use firmware::host::{exit, for_each_arg, println};
use firmware::images::ImagesError;
use firmware::lines::Unreadable;
use heapless::CString;
use limbeck_runtime::ops::{OpKind, OpSet};
use limbeck_runtime::{LoadError, Model, Session, SessionError, StaticArena, TokenError};

mod model {
    limbeck_runtime::include_model!(env!("LIMBECK_MODEL_FILE"));
}

type ModelSession<'m, 'a, 'r> = Session<'m, 'a, 'r, model::Ops>;

/// Whether the model begins with tokens. A constant, so that a program for images does not carry the tokenizer.
const READS_TEXT: bool = model::Ops::MASK & OpKind::Embed.bit() != 0;

/// Longest name of a file, the end mark included.
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
    let arena = arena.ok_or(Failure::InUse)?;
    let model = Model::parse_with::<model::Ops>(model::BYTES).map_err(Failure::Load)?;
    let mut session = ModelSession::with_ops(&model, arena).map_err(Failure::Session)?;
    let table = session.kernels().isa.name();
    println!("model {} arena {} table {table} board {}", model.file_bytes(), model::ARENA_BYTES, board::NAME);
    match path {
        Some(path) if READS_TEXT => texts::classify(&mut session, &path, digest_only),
        Some(path) if digest_only => images::classify_quietly(&mut session, &path),
        Some(path) => images::classify(&mut session, &path),
        None => self_test(&mut session),
    }
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

/// Index of the largest value, the first of equal ones.
fn largest(values: &[i8]) -> usize {
    (0..values.len()).rev().max_by_key(|&i| values[i]).unwrap_or(0)
}

/// Why nothing was classified, or not all.
enum Failure {
    Path,
    InUse,
    NoInput,
    NoVocabulary,
    EachToken,
    Load(LoadError),
    Session(SessionError),
    Images(ImagesError),
    Texts(Unreadable),
    Tokens(TokenError),
    Lines { bad: u32, all: u32 },
    SelfTest(usize),
}

impl From<ImagesError> for Failure {
    fn from(error: ImagesError) -> Self {
        Failure::Images(error)
    }
}

impl From<Unreadable> for Failure {
    fn from(error: Unreadable) -> Self {
        Failure::Texts(error)
    }
}

impl From<TokenError> for Failure {
    fn from(error: TokenError) -> Self {
        Failure::Tokens(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Path => write!(f, "the file's name is longer than {} bytes", PATH - 1),
            Failure::InUse => f.write_str("the arena or a buffer is in use"),
            Failure::NoInput => f.write_str("the model has no input"),
            Failure::NoVocabulary => {
                f.write_str("the model has no vocabulary, so it cannot read text: pack it with one")
            }
            Failure::EachToken => f.write_str("the model classifies each token, not the text"),
            Failure::Load(error) => write!(f, "the model does not load: {error}"),
            Failure::Session(error) => write!(f, "the model does not run here: {error}"),
            Failure::Images(error) => write!(f, "{error}"),
            Failure::Texts(error) => write!(f, "{error}"),
            Failure::Tokens(error) => write!(f, "{error}"),
            Failure::Lines { bad, all } => write!(f, "{bad} of {all} lines are no texts"),
            Failure::SelfTest(number) => write!(f, "self-test {number} gives another result than on the host"),
        }
    }
}

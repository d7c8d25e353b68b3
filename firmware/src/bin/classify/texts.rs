//! Texts: cut into tokens here, run at the length that they have.

use core::ffi::CStr;

use firmware::board;
use firmware::counter::count;
use firmware::host::println;
use firmware::lines::{Line, Lines};
use heapless::Vec;
use limbeck_runtime::{Encoding, Fnv1a64, Tokenizer};

use crate::{Failure, ModelSession, largest};

/// Longest line in bytes.
const LINE: usize = 1024;

/// Most tokens of a text; places that a model has beyond them stay unused.
const TOKENS: usize = 512;

/// What a text came to.
struct Done {
    encoding: Encoding,
    /// Cost of making tokens, and of the network.
    costs: [u64; 2],
}

/// What all texts of a file came to.
#[derive(Default)]
struct Total {
    texts: u32,
    tokens: u64,
    truncated: u32,
    costs: [u64; 2],
    digest: Fnv1a64,
}

/// A line for each text, or one for all of them. The cost of making tokens stands apart from that of the network.
pub(crate) fn classify(session: &mut ModelSession, path: &CStr, quietly: bool) -> Result<(), Failure> {
    let model = session.model();
    let tokenizer = model.tokenizer().ok_or(Failure::NoVocabulary)?;
    if model.output(0).is_some_and(|port| port.tensor.sequence) {
        return Err(Failure::EachToken);
    }
    let buffer = cortex_m::singleton!(: Vec<u8, LINE> = Vec::new()).ok_or(Failure::InUse)?;
    let ids = cortex_m::singleton!(: [u16; TOKENS] = [0; TOKENS]).ok_or(Failure::InUse)?;
    let ids = &mut ids[..model.max_length().min(TOKENS)];
    let (mut lines, mut all, mut total) = (Lines::open(path)?, 0, Total::default());
    while let Some(Line { number, text }) = lines.next(buffer)? {
        all = number;
        match text {
            Ok(text) => {
                let done = run(session, tokenizer, text, ids)?;
                total.add(session, &done);
                if !quietly {
                    print(session, number, &done);
                }
            }
            Err(error) => println!("line {number} error {error}"),
        }
    }
    if quietly {
        total.print();
    }
    if total.texts == all { Ok(()) } else { Err(Failure::Lines { bad: all - total.texts, all }) }
}

/// Makes tokens of a text, and runs the network on them.
fn run(session: &mut ModelSession, tokenizer: &Tokenizer<'_>, text: &str, ids: &mut [u16]) -> Result<Done, Failure> {
    let (encoding, tokenizing) = count(|| tokenizer.encode(text, ids));
    session.set_tokens(ids.get(..encoding.len).unwrap_or(&[]))?;
    let ((), running) = count(|| session.run());
    Ok(Done { encoding, costs: [tokenizing, running] })
}

/// The line of a text. The label comes last, since it may have blanks.
fn print(session: &ModelSession, number: u32, done: &Done) {
    let (class, digest) = (largest(session.output(0)), session.digest());
    let Done { encoding: Encoding { len, truncated }, costs: [tokenizing, running] } = *done;
    let label = session.model().labels().nth(class).unwrap_or("?");
    println!(
        "line {number} class {class} tokens {len} truncated {truncated} digest {digest:016x} tokenizer {tokenizing} {} {running} \
         label {label}",
        board::UNIT,
    );
    defmt::info!("line {=u32}: class {=usize}, {=u64} {=str}", number, class, running, board::UNIT);
}

impl Total {
    fn add(&mut self, session: &ModelSession, done: &Done) {
        self.texts += 1;
        self.tokens += done.encoding.len as u64;
        self.truncated += u32::from(done.encoding.truncated);
        self.costs.iter_mut().zip(done.costs).for_each(|(sum, cost)| *sum += cost);
        for i in 0..session.model().outputs() {
            self.digest.update(session.output(i));
        }
    }

    /// One line: sums, and the means of the costs.
    fn print(&self) {
        let Total { texts, tokens, truncated, digest, .. } = *self;
        let [tokenizing, running] = self.costs.map(|sum| sum.checked_div(texts.into()).unwrap_or(0));
        println!(
            "texts {texts} tokens {tokens} truncated {truncated} digest {:016x} tokenizer {tokenizing} {} {running}",
            digest.finish(),
            board::UNIT,
        );
    }
}

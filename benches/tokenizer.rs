//! Speed of the tokenizer, and the size of its vocabulary, beside the crate `tokenizers` on the same texts.
//!
//! `cargo bench -p limbeck-benches --bench tokenizer -- FOLDER TEXT...`: a folder with the tokenizer of a BERT model, and text files, of which each
//! line is a text. Both programs take turns, and the best of the turns counts; both have one thread.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use limbeck::text::Vocabulary;
use limbeck_runtime::text::Tokenizer;
use tokenizers::Tokenizer as Reference;

/// How often each program goes through all texts.
const TURNS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let names: Vec<String> = std::env::args().skip(1).filter(|name| !name.starts_with("--")).collect();
    let [folder, files @ ..] = names.as_slice() else {
        return Err("usage: cargo bench -p limbeck-benches --bench tokenizer -- FOLDER TEXT...".into());
    };
    let folder = Path::new(folder);
    let vocabulary = Vocabulary::read(folder)?;
    let section = vocabulary.section()?;
    let tokenizer = Tokenizer::parse(&section)?;
    let mut reference = Reference::from_file(folder.join("tokenizer.json")).map_err(|error| error.to_string())?;
    reference.with_padding(None).with_truncation(None).map_err(|error| error.to_string())?;
    let texts = files.iter().map(std::fs::read_to_string).collect::<Result<Vec<_>, _>>()?;
    let lines: Vec<&str> = texts.iter().flat_map(|text| text.lines()).collect();
    let bytes: usize = lines.iter().map(|line| line.len()).sum();
    let mut ids = vec![0; lines.iter().map(|line| line.len()).max().unwrap_or(0) + 2];

    let per_word = section.len() as f64 / vocabulary.size() as f64;
    println!("vocabulary: {} ids in {} bytes, {per_word:.2} for each", vocabulary.size(), section.len());
    println!("texts: {} lines, {bytes} bytes", lines.len());
    let mut best = [f64::INFINITY; 2];
    let mut tokens = [0; 2];
    for _ in 0..TURNS {
        let ours = || lines.iter().map(|line| tokenizer.encode(line, &mut ids).len).sum();
        // Without offsets, which `encode_fast` leaves out, for the comparison to be fair.
        let theirs =
            || lines.iter().filter_map(|line| reference.encode_fast(*line, true).ok()).map(|done| done.len()).sum();
        for (i, (seconds, n)) in [timed(ours), timed(theirs)].into_iter().enumerate() {
            best[i] = best[i].min(seconds);
            tokens[i] = n;
        }
    }
    println!("{:<12} {:>10} {:>12} {:>10}", "program", "MB/s", "tokens/s", "tokens");
    for ((name, seconds), tokens) in ["limbeck", "tokenizers"].into_iter().zip(best).zip(tokens) {
        println!("{name:<12} {:>10.2} {:>12.0} {tokens:>10}", bytes as f64 / seconds / 1e6, tokens as f64 / seconds);
    }
    Ok(())
}

/// Seconds that `work` takes, and what it gives.
fn timed(work: impl FnOnce() -> usize) -> (f64, usize) {
    let start = Instant::now();
    let given = work();
    (start.elapsed().as_secs_f64(), given)
}

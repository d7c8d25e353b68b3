//! Latency of whole models, input to logits, on every kernel table of this CPU.
//!
//! `cargo bench -p limbeck-benches --bench session -- [MODEL]... [--serve]`: a model is a `.lmb` file or the name of a known network,
//! which then has random weights. A model of texts runs at its greatest length, a known one at the length of its benchmark. With
//! `--serve` it measures for as many seconds as each line on standard input says, with the best table, and answers with one line
//! of times in milliseconds: for scripts that compare programs in turn.

use std::error::Error;
use std::io::{BufRead, Write};

use limbeck_benches::networks::Network;
use limbeck_benches::{encoders, models, time};
use limbeck_runtime::{AlignedBytes, Isa, Kernels, Model, Rng, Session, arena_bytes};

fn main() -> Result<(), Box<dyn Error>> {
    let (options, mut names): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|a| a.starts_with("--"));
    if names.is_empty() {
        names = vec![String::from(Network::NAMES[0])];
    }
    if !options.iter().any(|o| o == "--serve") {
        println!("{:<12} {:<12} {:>10} {:>10} {:>6}", "model", "table", "min ms", "median ms", "runs");
    }
    for name in &names {
        if options.iter().any(|o| o == "--serve") {
            serve(name)?;
        } else {
            compare(name)?;
        }
    }
    Ok(())
}

/// The file called `name`, or a random one in the layout of `isa`.
fn load(name: &str, isa: Isa) -> Result<AlignedBytes, Box<dyn Error>> {
    match (Network::named(name), encoders::named(name)) {
        (Some(network), _) => Ok(models::random(&network, isa)),
        (_, Some(encoder)) => Ok(encoder.random(isa)),
        _ => Ok(AlignedBytes::copy_of(&std::fs::read(name).map_err(|error| format!("{name}: {error}"))?)),
    }
}

fn compare(name: &str) -> Result<(), Box<dyn Error>> {
    for table in Kernels::all() {
        let file = load(name, table.isa)?;
        let model = Model::parse(&file)?;
        if !table.isa.reads(model.layout()) {
            continue;
        }
        let runs = measure(name, &model, table, 1.0)?;
        let [min, median] = [runs[0], runs[runs.len() / 2]];
        println!("{name:<12} {:<12} {min:>10.4} {median:>10.4} {:>6}", table.isa.name(), runs.len());
    }
    Ok(())
}

fn serve(name: &str) -> Result<(), Box<dyn Error>> {
    let best = Kernels::all().last().expect("scalar is always there");
    let file = load(name, best.isa)?;
    let model = Model::parse(&file)?;
    let table = Kernels::best::<limbeck_runtime::ops::AllOps>(model.layout());
    for line in std::io::stdin().lock().lines() {
        let runs = measure(name, &model, table, line?.trim().parse()?)?;
        let times: Vec<String> = runs.iter().map(|run| format!("{run:.5}")).collect();
        println!("{}", times.join(" "));
        std::io::stdout().flush()?;
    }
    Ok(())
}

/// Milliseconds of each run, sorted: the input is set, the network run.
fn measure(name: &str, model: &Model<'_>, table: &'static Kernels, seconds: f64) -> Result<Vec<f64>, Box<dyn Error>> {
    let mut arena = AlignedBytes::zeroed(arena_bytes(model, table.isa));
    let mut session = Session::with_kernels(model, &mut arena, table)?;
    if let Some(encoder) = encoders::named(name) {
        session.set_length(encoder.tokens)?;
    }
    let mut rng = Rng::new(1);
    let input: Vec<i8> = session.input_mut(0).iter().map(|_| rng.byte()).collect();
    let runs = time(seconds, || {
        session.input_mut(0).copy_from_slice(&input);
        session.run();
    });
    Ok(runs.iter().map(|run| run * 1e3).collect())
}

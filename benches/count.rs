//! Runs a network, or one of its convolutions, so many times and nothing else: what counts a program's instructions needs no more.
//!
//! `count NETWORK[:LAYER] TABLE TIMES`: the difference of two counts is what a run costs. Prints a digest of the output, or for `layers` in
//! place of a number the convolutions, each with its number of multiplications.

use std::error::Error;

use limbeck_benches::models::Weights;
use limbeck_benches::networks::{Layer, Network};
use limbeck_benches::{encoders, models};
use limbeck_runtime::{AlignedBytes, Isa, Kernels, Model, Rng, Session, arena_bytes, fnv1a64};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let [name, table, times] = arguments.as_slice() else {
        return Err("count NETWORK[:LAYER] TABLE TIMES".into());
    };
    let (name, layer) = name.split_once(':').unwrap_or((name, ""));
    let isa = Isa::by_name(table).ok_or_else(|| format!("no table is called {table}"))?;
    if times == "layers" {
        for layer in Network::named(name).iter().flat_map(Network::layers) {
            println!("{} {layer}", layer.macs());
        }
        return Ok(());
    }
    let table = Kernels::for_isa(isa).ok_or_else(|| format!("this CPU does not run {table}"))?;
    let times = times.parse()?;
    match (Network::named(name), encoders::named(name)) {
        (Some(network), _) if !layer.is_empty() => {
            let layers = network.layers();
            convolution(layers.get(layer.parse::<usize>()?).ok_or("the network has fewer layers")?, table, times);
        }
        (Some(network), _) => session(&models::random(&network, isa), None, table, times)?,
        (_, Some(encoder)) => session(&encoder.random(isa), Some(encoder.tokens), table, times)?,
        _ => return Err(format!("no network is called {name}").into()),
    }
    Ok(())
}

/// A convolution with random weights.
fn convolution(layer: &Layer, table: &Kernels, times: usize) {
    let rng = &mut Rng::new(1);
    let weights =
        Weights::random(table.isa.layout(), rng, layer.channels, [layer.kernel, layer.kernel * layer.input.channels]);
    let op = weights.conv2d(layer);
    let input: Vec<i8> = (0..layer.input.len()).map(|_| rng.byte()).collect();
    let mut output = vec![0; layer.output().len()];
    let mut scratch = vec![0; (table.isa.scratch().conv2d)(&op)];
    for _ in 0..times {
        (table.conv2d)(&op, &input, &mut output, &mut scratch);
    }
    println!("{:016x}", fnv1a64(&output));
}

/// A model with random weights, at the length of its benchmark if it reads texts.
fn session(
    file: &AlignedBytes,
    tokens: Option<usize>,
    table: &'static Kernels,
    times: usize,
) -> Result<(), Box<dyn Error>> {
    let model = Model::parse(file)?;
    let mut arena = AlignedBytes::zeroed(arena_bytes(&model, table.isa));
    let mut session = Session::with_kernels(&model, &mut arena, table)?;
    if let Some(tokens) = tokens {
        session.set_length(tokens)?;
    }
    let mut rng = Rng::new(1);
    let input: Vec<i8> = session.input_mut(0).iter().map(|_| rng.byte()).collect();
    for _ in 0..times {
        session.input_mut(0).copy_from_slice(&input);
        session.run();
    }
    println!("{:016x}", session.digest());
    Ok(())
}

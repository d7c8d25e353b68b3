//! Speed of every kernel table of this CPU on the convolutions of known networks.
//!
//! `cargo bench -p limbeck-benches --bench kernels -- [NETWORK]... [TABLE]...`

use limbeck_benches::models::Weights;
use limbeck_benches::networks::{Layer, Network};
use limbeck_benches::time;
use limbeck_runtime::{Kernels, Rng};

fn main() {
    // `cargo bench` adds an option of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let (mut names, tables): (Vec<_>, Vec<_>) = arguments.iter().partition(|a| Network::NAMES.contains(&a.as_str()));
    let default = String::from(Network::NAMES[0]);
    if names.is_empty() {
        names.push(&default);
    }
    for table in Kernels::all().filter(|t| tables.is_empty() || tables.iter().any(|name| *name == t.isa.name())) {
        for name in &names {
            println!("{name} on {}", table.isa.name());
            println!("{:<32} {:>8} {:>10} {:>10} {:>8}", "layer", "MMAC", "min us", "median us", "GMAC/s");
            bench(&Network::named(name).expect("a known name"), table);
        }
    }
}

fn bench(network: &Network, table: &Kernels) {
    let rng = &mut Rng::new(1);
    let (mut seconds, mut macs) = (0.0, 0);
    let line = |macs: usize, seconds: f64| (macs as f64 / 1e6, seconds * 1e6, macs as f64 / seconds / 1e9);
    for layer in network.layers() {
        let Layer { input, channels, kernel, .. } = layer;
        let weights = Weights::random(table.isa.layout(), rng, channels, [kernel, kernel * input.channels]);
        let op = weights.conv2d(&layer);
        let input: Vec<i8> = (0..input.len()).map(|_| rng.byte()).collect();
        let mut output = vec![0; layer.output().len()];
        let mut scratch = vec![0; (table.isa.scratch().conv2d)(&op)];
        let runs = time(0.05, || (table.conv2d)(&op, &input, &mut output, &mut scratch));
        let (millions, min, rate) = line(layer.macs(), runs[0]);
        println!("{layer:<32} {millions:>8.3} {min:>10.2} {:>10.2} {rate:>8.1}", runs[runs.len() / 2] * 1e6);
        seconds += runs[0];
        macs += layer.macs();
    }
    let (millions, min, rate) = line(macs, seconds);
    println!("{:<32} {millions:>8.3} {min:>10.2} {:>10} {rate:>8.1}\n", "all", "");
}

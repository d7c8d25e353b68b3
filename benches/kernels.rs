//! Speed of every kernel table of this CPU on the convolutions of well-known networks: `cargo bench --bench kernels [NETWORK]... [-- TABLE]`.

use limbeck_benches::layers::{Loaded, network};
use limbeck_benches::time;
use limbeck_runtime::Kernels;
use limbeck_runtime::kernels::contract::Rng;

fn main() {
    // `cargo bench` adds an option of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let names: Vec<&String> = arguments.iter().filter(|a| network(a).is_some()).collect();
    let default = ["resnet8", "resnet20"].map(String::from);
    let names = if names.is_empty() { default.iter().collect() } else { names };
    for table in Kernels::all().filter(|table| {
        let isa = table.isa.name();
        arguments.iter().all(|a| network(a).is_some()) || arguments.iter().any(|a| a == isa)
    }) {
        for name in &names {
            bench(name, table);
        }
    }
}

fn bench(name: &str, table: &Kernels) {
    let mut rng = Rng::new(1);
    let (mut min, mut macs) = (0.0, 0);
    println!("{name} on {}", table.isa.name());
    println!("{:<32} {:>8} {:>10} {:>10} {:>8}", "layer", "MMAC", "min us", "median us", "GMAC/s");
    for layer in network(name).into_iter().flatten() {
        let mut loaded = Loaded::new(layer, table, &mut rng);
        let timing = time(0.05, || loaded.run(table));
        let row =
            (layer.macs() as f64 / 1e6, timing.min * 1e6, timing.median * 1e6, layer.macs() as f64 / timing.min / 1e9);
        println!("{:<32} {:>8.3} {:>10.2} {:>10.2} {:>8.1}", layer.name(), row.0, row.1, row.2, row.3);
        min += timing.min;
        macs += layer.macs();
    }
    let rate = macs as f64 / min / 1e9;
    println!("{:<32} {:>8.3} {:>10.2} {:>10} {rate:>8.1}\n", "all", macs as f64 / 1e6, min * 1e6, "");
}

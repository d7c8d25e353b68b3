//! Counts the instructions of networks on every kernel table of 64-bit Arm: `benches/record/aarch64-linux/DATE.csv`.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{commit, compiler, today};
use crate::process::output;
use crate::setup::AARCH64;
use crate::{Result, host, root, setup};

/// A network, and the multiplications of its layers, attention included.
const NETWORKS: [(&str, u64); 2] = [("resnet8", 12_501_632), ("bert-tiny", 13_107_200)];

/// An emulated CPU that has all tables.
const CPU: &str = "max";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the functions that most instructions of this network are in, and write nothing.
    #[arg(long)]
    profile: Option<String>,
    /// The table; all of them if none is named.
    #[arg(long)]
    table: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result {
    if let Some(why) = setup::lacks_aarch64() {
        return Err(format!("{why}; `cargo xtask setup` installs it").into());
    }
    let counter = Counter::new()?;
    let tables = ["scalar", "neon", "dotprod", "i8mm"].into_iter();
    let tables = tables.filter(|table| args.table.as_ref().is_none_or(|only| only == table));
    let mut csv = format!("# host: {AARCH64} in QEMU's user mode, -cpu {CPU}\n# commit: {}\n", commit());
    let _ = writeln!(csv, "# compiler: {}", compiler()?);
    csv += "# instructions of one run: those of two runs less those of one; random weights\ntable,network,macs,instructions,per_mac\n";
    for table in tables {
        if let Some(network) = &args.profile {
            println!("{table}");
            counter.profile(network, table)?;
            continue;
        }
        for (network, macs) in NETWORKS {
            let mut line = |name: &str, macs: u64, count: u64| {
                let text = format!("{table},{name},{macs},{count},{:.4}", count as f64 / macs as f64);
                println!("{text}");
                let _ = writeln!(csv, "{text}");
            };
            line(network, macs, counter.count(network, table)?);
            for (i, layer) in counter.program(&[network, table, "layers"], &[])?.lines().enumerate() {
                let (macs, shape) = layer.split_once(' ').ok_or("a layer has no name")?;
                line(&format!("{network} {shape}"), macs.parse()?, counter.count(&format!("{network}:{i}"), table)?);
            }
        }
    }
    if args.profile.is_none() && args.table.is_none() {
        let folder = root().join("benches/record/aarch64-linux");
        fs::create_dir_all(&folder)?;
        let file = folder.join(format!("{}.csv", today()?));
        fs::write(&file, csv)?;
        println!("{}", file.display());
    }
    Ok(())
}

/// The program that is counted, and QEMU's plugin that counts.
struct Counter {
    program: PathBuf,
    plugin: PathBuf,
    /// What the plugin writes.
    counts: PathBuf,
}

impl Counter {
    fn new() -> Result<Self> {
        let folder = host::build_dir();
        fs::create_dir_all(&folder)?;
        let plugin = folder.join("count.so");
        let source = root().join("benches/qemu/count.c");
        output(Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&plugin).arg(source))?;
        let mut build = host::cargo("build", "benches", AARCH64, CPU);
        build.args(["--release", "--no-default-features", "--bench", "count"]);
        Ok(Counter { program: host::built(&mut build, "count")?, plugin, counts: folder.join("counts") })
    }

    /// What the program prints.
    fn program(&self, words: &[&str], options: &[&str]) -> Result<String> {
        output(host::emulate(CPU, options).arg(&self.program).args(words))
    }

    /// The plugin's lines for so many runs.
    fn lines(&self, network: &str, table: &str, times: &str, options: &str) -> Result<String> {
        let path = |path: &Path| path.to_str().map(str::to_owned).ok_or("the target folder's name is not UTF-8");
        let plugin = format!("{},out={}{options}", path(&self.plugin)?, path(&self.counts)?);
        self.program(&[network, table, times], &["-plugin", &plugin])?;
        Ok(fs::read_to_string(&self.counts)?)
    }

    /// Instructions of a run.
    fn count(&self, network: &str, table: &str) -> Result<u64> {
        let all = |times| -> Result<u64> {
            let lines = self.lines(network, table, times, "")?;
            Ok(lines.trim().strip_prefix("all ").ok_or("the plugin counted nothing")?.parse()?)
        };
        Ok(all("2")?.saturating_sub(all("1")?))
    }

    /// Prints how many instructions of a run are in which functions.
    fn profile(&self, network: &str, table: &str) -> Result {
        let one = self.lines(network, table, "1", ",by=function")?;
        let two = self.lines(network, table, "2", ",by=function")?;
        let counts = |text: &str| -> std::collections::BTreeMap<String, u64> {
            let line = |line: &str| {
                Some(line.rsplit_once(' ')?).and_then(|(name, n)| Some((name.to_owned(), n.parse().ok()?)))
            };
            text.lines().filter_map(line).collect()
        };
        let (one, two) = (counts(&one), counts(&two));
        let less = |name: &String, n: &u64| n.saturating_sub(one.get(name).copied().unwrap_or(0));
        let mut functions: Vec<_> = two.iter().map(|(name, n)| (less(name, n), name)).collect();
        functions.sort_by(|a, b| b.cmp(a));
        for (n, name) in functions.into_iter().take(20) {
            println!("{n:>10} {name}");
        }
        Ok(())
    }
}

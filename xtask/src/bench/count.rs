//! Counts the instructions of networks on kernel tables of hosts, `benches/record/HOST/DATE.csv`, and refuses code that needs more.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{commit, compare, compiler, today};
use crate::process::output;
use crate::setup::{AARCH64, VALGRIND, X86_64};
use crate::{Result, host, root, setup};

/// A network, and the multiplications of its layers, attention included.
const NETWORKS: [(&str, u64); 2] = [("resnet8", 12_501_632), ("bert-tiny", 13_107_200)];

/// An emulated CPU that has all tables of 64-bit Arm.
const CPU: &str = "max";

/// A host whose instructions can be counted.
pub(crate) struct Host {
    /// Its name, as in `targets/hosts`.
    pub(crate) name: &'static str,
    triple: &'static str,
    cpu: &'static str,
    /// What counts, in words.
    by: &'static str,
    /// The tables that it can run.
    tables: &'static [&'static str],
    /// Why that is not possible here.
    lacks: fn() -> Option<&'static str>,
}

/// All of them.
pub(crate) const HOSTS: [Host; 2] = [
    Host {
        name: "x86_64-linux",
        triple: X86_64,
        cpu: "",
        by: "Callgrind, which knows no AVX-512, AVX-VNNI or AMX",
        tables: &["scalar", "avx2"],
        lacks: setup::lacks_callgrind,
    },
    Host {
        name: "aarch64-linux",
        triple: AARCH64,
        cpu: CPU,
        by: "QEMU's user mode, -cpu max",
        tables: &["scalar", "neon", "dotprod", "i8mm"],
        lacks: setup::lacks_aarch64,
    },
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The host; all of them if none is named.
    #[arg(long)]
    host: Option<String>,
    /// Print the functions that most instructions of this network are in, on 64-bit Arm, and write nothing.
    #[arg(long)]
    profile: Option<String>,
    /// Count this table alone, and write nothing.
    #[arg(long)]
    table: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result {
    for host in named(args.host.as_deref())? {
        if let Some(why) = (host.lacks)() {
            return Err(format!("{}: {why}; `cargo xtask setup` installs what is missing", host.name).into());
        }
        let tables = || host.tables.iter().filter(|table| args.table.as_deref().is_none_or(|only| only == **table));
        if let Some(network) = &args.profile {
            if host.triple == AARCH64 {
                let counter = Counter::new(host)?;
                for table in tables() {
                    println!("{table}");
                    counter.profile(network, table)?;
                }
            }
            continue;
        }
        let csv = host.measure(tables())?;
        print!("{csv}");
        if args.table.is_none() {
            let folder = host.records();
            fs::create_dir_all(&folder)?;
            let file = folder.join(format!("{}.csv", today()?));
            fs::write(&file, csv)?;
            println!("{}", file.display());
        }
    }
    Ok(())
}

/// The host of this name, or all.
pub(crate) fn named(name: Option<&str>) -> Result<Vec<&'static Host>> {
    let hosts: Vec<_> = HOSTS.iter().filter(|host| name.is_none_or(|name| name == host.name)).collect();
    match name {
        Some(name) if hosts.is_empty() => {
            let names = HOSTS.map(|host| host.name).join(", ");
            Err(format!("{name} is no host whose instructions are counted: those are {names}").into())
        }
        _ => Ok(hosts),
    }
}

impl Host {
    fn records(&self) -> PathBuf {
        root().join("benches/record").join(self.name)
    }

    /// Compares with the newest record; one line on how that went.
    pub(crate) fn check(&self) -> Result<String> {
        if let Some(why) = (self.lacks)() {
            return Ok(format!("SKIPPED {}: {why}; `cargo xtask setup` installs what is missing", self.name));
        }
        let again = format!("cargo xtask bench count --host {}", self.name);
        compare(self.name, &self.records(), &again, counts, || self.measure(self.tables.iter()))
    }

    /// Counts and gives all rows.
    fn measure(&self, tables: impl Iterator<Item = &'static &'static str>) -> Result<String> {
        let counter = Counter::new(self)?;
        let mut csv = format!("# host: {}, counted by {}\n# commit: {}\n", self.triple, self.by, commit());
        let _ = writeln!(csv, "# compiler: {}", compiler()?);
        csv += "# instructions of one run: those of two runs less those of one; random weights\ntable,network,macs,instructions,per_mac\n";
        for table in tables {
            for (network, macs) in NETWORKS {
                let mut line = |name: &str, macs: u64, count: u64| {
                    let _ = writeln!(csv, "{table},{name},{macs},{count},{:.4}", count as f64 / macs as f64);
                };
                line(network, macs, counter.count(network, table)?);
                for (i, layer) in counter.program(&[network, table, "layers"])?.lines().enumerate() {
                    let (macs, shape) = layer.split_once(' ').ok_or("a layer has no name")?;
                    let count = counter.count(&format!("{network}:{i}"), table)?;
                    line(&format!("{network} {shape}"), macs.parse()?, count);
                }
            }
        }
        Ok(csv)
    }
}

/// Tables and networks of a record, and their instructions.
fn counts(csv: &str) -> Vec<(String, u64)> {
    let row = |line: &str| {
        let mut words = line.split(',');
        let (table, network, _) = (words.next()?, words.next()?, words.next()?);
        Some((format!("{table} {network}"), words.next()?.parse().ok()?))
    };
    csv.lines().filter_map(row).collect()
}

/// The program that is counted, and what counts.
struct Counter {
    host: &'static str,
    program: PathBuf,
    /// QEMU's plugin, on 64-bit Arm.
    plugin: PathBuf,
    /// What the plugin or Callgrind writes.
    counts: PathBuf,
}

impl Counter {
    fn new(host: &Host) -> Result<Self> {
        let folder = host::build_dir();
        fs::create_dir_all(&folder)?;
        let plugin = folder.join("count.so");
        if host.triple == AARCH64 {
            let source = root().join("benches/qemu/count.c");
            output(Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&plugin).arg(source))?;
        }
        let mut build = host::cargo("build", "benches", host.triple, host.cpu);
        build.args(["--release", "--no-default-features", "--bench", "count"]);
        // In one unit, so that a change elsewhere does not decide what is inlined here.
        build.env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
        let program = host::built(&mut build, "count")?;
        Ok(Counter { host: host.triple, program, plugin, counts: folder.join("counts") })
    }

    /// What the program prints.
    fn program(&self, words: &[&str]) -> Result<String> {
        match self.host {
            AARCH64 => output(host::emulate(CPU, &[]).arg(&self.program).args(words)),
            _ => output(Command::new(&self.program).args(words)),
        }
    }

    /// The plugin's lines for so many runs.
    fn lines(&self, network: &str, table: &str, times: &str, options: &str) -> Result<String> {
        let path = |path: &Path| path.to_str().map(str::to_owned).ok_or("the target folder's name is not UTF-8");
        let plugin = format!("{},out={}{options}", path(&self.plugin)?, path(&self.counts)?);
        output(host::emulate(CPU, &["-plugin", &plugin]).arg(&self.program).args([network, table, times]))?;
        Ok(fs::read_to_string(&self.counts)?)
    }

    /// Callgrind's lines for so many runs; of these, `summary:` has the sum.
    fn callgrind(&self, network: &str, table: &str, times: &str) -> Result<String> {
        let mut command = Command::new(VALGRIND);
        command.args(["--tool=callgrind", "-q"]).arg(format!("--callgrind-out-file={}", self.counts.display()));
        output(command.arg(&self.program).args([network, table, times]))?;
        Ok(fs::read_to_string(&self.counts)?)
    }

    /// Instructions of a run.
    fn count(&self, network: &str, table: &str) -> Result<u64> {
        let all = |times| -> Result<u64> {
            let (lines, key) = match self.host {
                AARCH64 => (self.lines(network, table, times, "")?, "all "),
                _ => (self.callgrind(network, table, times)?, "summary: "),
            };
            let sum = lines.lines().find_map(|line| line.strip_prefix(key));
            Ok(sum.ok_or("nothing was counted")?.trim().parse()?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_by_table_and_network() {
        let csv = "# host: h\ntable,network,macs,instructions,per_mac\navx2,resnet8,10,3,0.3\navx2,resnet8 8x8x64 -> 64 3x3/1 +,5,2,0.4\n";
        let expected = [("avx2 resnet8", 3), ("avx2 resnet8 8x8x64 -> 64 3x3/1 +", 2)];
        assert_eq!(counts(csv), expected.map(|(name, count)| (name.to_owned(), count)));
    }

    #[test]
    fn unknown_hosts_are_refused() {
        assert_eq!(named(None).unwrap().len(), HOSTS.len());
        assert_eq!(named(Some("x86_64-linux")).unwrap()[0].triple, X86_64);
        let Err(error) = named(Some("z80")) else { panic!("no such host") };
        assert!(error.to_string().contains("aarch64-linux"), "{error}");
    }
}

//! The long run of the contract suite: a million cases for each kernel table of this CPU, on all cores.
//!
//! `cargo run --release -p limbeck-runtime --features std,contract --example contract -- [TABLE]... [OPTION]...`
//!
//! * `--cases N`: so many cases for each table, the same number for each op (1,000,000)
//! * `--from CASE`: begin with this number of a case, as the last line of an interrupted run says (0)
//! * `--jobs N`: so many threads (one for each core)
//!
//! * `--trace`: print each case before it runs
//!
//! Cases run between forbidden pages where the system has them. An access to one ends the process; `--trace` tells in which case.

use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use limbeck_runtime::Kernels;
use limbeck_runtime::kernels::contract::{OPS, Workspace, check_case};

/// Case numbers that a thread takes at once.
const BLOCK: u32 = 100;

/// Failures of a table that are shown.
const SHOWN: usize = 10;

struct Options {
    tables: Vec<String>,
    cases: u32,
    from: u32,
    jobs: usize,
    trace: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options()?;
    let mut wrong = 0;
    for table in Kernels::all() {
        if options.tables.is_empty() || options.tables.iter().any(|name| name == table.isa.name()) {
            wrong += run(table, &options);
        }
    }
    if wrong == 0 { Ok(()) } else { Err(format!("{wrong} cases failed").into()) }
}

fn options() -> Result<Options, Box<dyn Error>> {
    let jobs = thread::available_parallelism().map_or(1, usize::from);
    let mut options = Options { tables: Vec::new(), cases: 1_000_000, from: 0, jobs, trace: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> Result<u32, Box<dyn Error>> {
            let value = words.next().ok_or_else(|| format!("{word} needs a number"))?;
            Ok(value.parse().map_err(|error| format!("{word} {value}: {error}"))?)
        };
        match word.as_str() {
            "--cases" => options.cases = number()?,
            "--from" => options.from = number()?,
            "--jobs" => options.jobs = number()?.max(1) as usize,
            "--trace" => options.trace = true,
            name if Kernels::all().any(|table| table.isa.name() == name) => options.tables.push(word),
            _ => {
                let names: Vec<_> = Kernels::all().map(|table| table.isa.name()).collect();
                let names = names.join(", ");
                return Err(format!(
                    "{word} is no option (--cases, --from, --jobs, --trace), and no table here ({names})"
                )
                .into());
            }
        }
    }
    Ok(options)
}

/// Runs a table's cases and gives the number of those that fail.
fn run(table: &Kernels, options: &Options) -> usize {
    let ops = OPS.len() as u32;
    let end = options.cases.div_ceil(ops);
    let (next, stopped) = (AtomicU32::new(options.from), AtomicBool::new(false));
    let failures = Mutex::new(Vec::new());
    // The blocks that are being worked on, by thread.
    let current: Vec<AtomicU32> = (0..options.jobs).map(|_| AtomicU32::new(options.from)).collect();
    let work = |own: &AtomicU32| {
        let mut work = Box::new(Workspace::new());
        work.guard();
        loop {
            let first = next.fetch_add(BLOCK, Relaxed).min(end);
            own.store(first, Relaxed);
            if first == end {
                return;
            }
            for op in OPS {
                for case in first..end.min(first.saturating_add(BLOCK)) {
                    if options.trace {
                        eprintln!("{} {op} case {case}", table.isa.name());
                    }
                    if let Err(failure) = check_case(table, &mut work, op, case) {
                        let mut failures = failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
                        failures.push(failure);
                        if failures.len() <= SHOWN {
                            eprintln!("{failure}");
                        }
                    }
                }
            }
        }
    };
    let begin = Instant::now();
    // All cases below this number have been run.
    let done = || current.iter().map(|case| case.load(Relaxed)).min().unwrap_or(end);
    let line = || {
        let cases = (done().saturating_sub(options.from)) * ops;
        let rate = f64::from(cases) / begin.elapsed().as_secs_f64();
        let wrong = failures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).len();
        format!("{}: {cases} cases, {wrong} wrong, {rate:.0} a second", table.isa.name())
    };
    let panics = thread::scope(|scope| {
        let threads: Vec<_> = current.iter().map(|own| scope.spawn(|| work(own))).collect();
        scope.spawn(|| {
            let mut spoken = Instant::now();
            while !stopped.load(Relaxed) {
                thread::sleep(Duration::from_millis(50));
                if spoken.elapsed() > Duration::from_secs(10) {
                    spoken = Instant::now();
                    eprintln!("{}; to go on from here: {} --from {}", line(), table.isa.name(), done());
                }
            }
        });
        let panics = threads.into_iter().filter_map(|thread| thread.join().err()).count();
        stopped.store(true, Relaxed);
        panics
    });
    println!("{}", line());
    panics + failures.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()).len()
}

//! Every kernel table that this CPU can run keeps the contract.
//!
//! The long run, a million cases for each table, is `runtime/examples/contract.rs`.

use limbeck_runtime::kernels::contract::{OPS, Workspace, check_case};
use limbeck_runtime::{Isa, Kernels};

/// Cases of each op, if the variable does not say otherwise; the first few are what a device runs as its self-test.
const CASES: u32 = 1500;

fn cases() -> u32 {
    let given = std::env::var("LIMBECK_CASES").ok();
    given.map_or(CASES, |given| given.parse().expect("LIMBECK_CASES is a number of cases for each op"))
}

#[test]
fn every_table_keeps_the_contract() {
    let (cases, mut work) = (cases(), Box::new(Workspace::new()));
    if !work.guard() {
        eprintln!("without forbidden pages: this system has none");
    }
    for &isa in Isa::ALL {
        let Some(table) = Kernels::for_isa(isa) else {
            eprintln!("skipped: this CPU does not run {}", isa.name());
            continue;
        };
        assert_eq!(table.isa, isa);
        for op in OPS {
            // All failures of an op tell more than its first.
            let failures: Vec<String> = (0..cases)
                .filter_map(|case| check_case(table, &mut work, op, case).err())
                .map(|failure| failure.to_string())
                .collect();
            assert!(
                failures.is_empty(),
                "{} of {cases}:\n{}",
                failures.len(),
                failures[..failures.len().min(5)].join("\n")
            );
        }
    }
}

#[test]
fn the_best_table_reads_the_layout_and_scalar_is_always_there() {
    for &isa in Isa::ALL {
        let best = Kernels::best::<limbeck_runtime::ops::AllOps>(isa.layout());
        assert!(best.isa.reads(isa.layout()), "{} for the layout of {}", best.isa.name(), isa.name());
        // A weaker table is taken only where the stronger one cannot run.
        assert!(Kernels::for_isa(isa).is_none() || best.isa as usize >= isa as usize);
    }
    assert!(Kernels::for_isa(Isa::Scalar).is_some());
}

//! Runs the runtime's tests and the contract suite for hosts other than this one: 64-bit Arm in QEMU's user mode, WebAssembly in Node;
//! counts instructions of hosts.

use std::process::Command;

use super::Report;
use crate::bench::count;
use crate::process::output;
use crate::setup::{AARCH64, NODE, WASM32};
use crate::{host, root, setup};

/// A CPU for each kernel table, as QEMU calls them.
const CPUS: [&str; 3] = ["cortex-a53", "cortex-a76", "max"];

/// Cases of each of the fifteen ops: more than ten thousand a table.
const CASES: &str = "700";

/// The runtime's features that the suite needs where there is a standard library.
const FEATURES: [&str; 2] = ["--features", "std,contract"];

pub(super) fn run(report: &mut Report) {
    match setup::lacks_aarch64() {
        Some(why) => skipped(AARCH64, why),
        None => {
            report.step("clippy of the kernels for 64-bit Arm", || {
                let mut clippy = host::cargo("clippy", "runtime", AARCH64, CPUS[0]);
                output(clippy.args(FEATURES).args(["--quiet", "--", "-D", "warnings"])).map(|_| ())
            });
            for cpu in CPUS {
                println!("       on {cpu}:");
                let mut tests = host::cargo("test", "runtime", AARCH64, cpu);
                tests.args(FEATURES).args(["--lib", "--test", "kernels", "--no-fail-fast"]).env("LIMBECK_CASES", CASES);
                report.cargo_tests(tests);
            }
        }
    }
    for host in &count::HOSTS {
        report.step(&format!("instructions on {}", host.name), || {
            println!("       {}", host.check()?);
            Ok(())
        });
    }
    match setup::lacks_wasm32() {
        Some(why) => skipped(WASM32, why),
        None => {
            for (features, table) in [("-Ctarget-feature=+simd128", "simd128"), ("", "scalar")] {
                report.step(&format!("contract suite in Node, {table}"), || {
                    let mut clippy = host::cargo("clippy", "runtime", WASM32, "");
                    clippy.env("CARGO_ENCODED_RUSTFLAGS", features).args([
                        "--example",
                        "wasm",
                        "--features",
                        "contract",
                    ]);
                    output(clippy.args(["--quiet", "--", "-D", "warnings"]))?;
                    let mut build = host::cargo("build", "runtime", WASM32, "");
                    build.env("CARGO_ENCODED_RUSTFLAGS", features).env("CARGO_PROFILE_RELEASE_STRIP", "true").args([
                        "--release",
                        "--example",
                        "wasm",
                    ]);
                    let module = host::built(build.args(["--features", "contract"]), "wasm")?;
                    let script = root().join("runtime/examples/wasm.mjs");
                    output(Command::new(NODE).arg(script).arg(module).args(["contract", CASES])).map(|_| ())
                });
            }
        }
    }
}

/// Says aloud what is not tested.
fn skipped(triple: &str, why: &str) {
    println!("SKIPPED the kernels for {triple}: {why}; `cargo xtask setup` installs it");
}

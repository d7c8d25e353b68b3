//! The `limbeck` program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    limbeck::cli::main()
}

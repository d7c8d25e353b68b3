//! The `limbeck` program: parse, resolve, one match, exit code.
fn main() {}

//! Task runner: `cargo xtask help`.
fn main() {}

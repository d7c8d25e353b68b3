//! The host behind the debug link: lines of text out, arguments in, an exit code at the end.

/// Prints a line for the host. (Not on the host's standard output: in QEMU that carries the log frames.)
pub use semihosting::eprintln as println;

/// Ends the program with that exit code; an emulator ends with it too.
pub fn exit(code: i32) -> ! {
    semihosting::process::exit(code)
}

/// Longest command line in bytes, the end mark included.
const COMMAND_LINE: usize = 512;

/// Calls `f` with each argument after the program's name. Without a host there are none.
pub fn for_each_arg(mut f: impl FnMut(&str)) {
    if let Ok(args) = semihosting::experimental::env::args::<COMMAND_LINE>() {
        (&args).skip(1).flatten().for_each(&mut f);
    }
}

//! How to start a board's emulator so that its SysTick counts executed instructions.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Emulator;

/// Each executed instruction moves the virtual clock `2^COUNT_SHIFT` ns, more than one SysTick of every board, so
/// that instructions can be told apart. (One `qemu -icount shift=N` for all boards.)
pub const COUNT_SHIFT: u32 = 6;

/// SysTick's ticks for one executed instruction, as a fraction in lowest terms.
pub fn ticks_per_instruction(emulator: &Emulator) -> (u64, u64) {
    let (mut a, mut b) = (u64::from(emulator.systick_hz) << COUNT_SHIFT, 1_000_000_000);
    let (numerator, denominator) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    (numerator / a, denominator / a)
}

impl Emulator {
    /// The command that runs `image`. The program sees its own name and `args` as its command line, and reads and
    /// writes host files by semihosting; its exit code becomes that of the emulator. It is not limited in time.
    pub fn command<A: AsRef<OsStr>>(&self, image: &Path, args: impl IntoIterator<Item = A>) -> Command {
        let mut config = std::ffi::OsString::from("enable=on,target=native");
        let name = image.file_name().unwrap_or_default();
        for arg in std::iter::once(name.to_os_string()).chain(args.into_iter().map(|a| a.as_ref().to_os_string())) {
            config.push(",arg=");
            // The option's own separator is written twice.
            config.push(arg.to_string_lossy().replace(',', ",,"));
        }
        let mut command = Command::new(&self.program);
        command
            .args(["-M", &self.machine, "-nographic", "-monitor", "none", "-serial", "null"])
            .args(["-icount", &format!("shift={COUNT_SHIFT}")])
            .arg("-semihosting-config")
            .arg(config)
            .arg("-kernel")
            .arg(image)
            .stdin(Stdio::null());
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_is_longer_than_a_tick() {
        let emulator = Emulator { program: "qemu-system-arm".into(), machine: "x".into(), systick_hz: 25_000_000 };
        assert_eq!(ticks_per_instruction(&emulator), (8, 5));
        for (target, device) in crate::Target::boards() {
            if let Some(emulator) = &device.emulator {
                let (ticks, instructions) = ticks_per_instruction(emulator);
                assert!(ticks >= instructions, "{}", target.name);
            }
        }
    }

    #[test]
    fn arguments_reach_the_program_whole() {
        let emulator = Emulator { program: "qemu-system-arm".into(), machine: "m".into(), systick_hz: 1 };
        let command = emulator.command(Path::new("a/image"), ["one,two", "three"]);
        let text: Vec<_> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        assert!(text.contains(&"enable=on,target=native,arg=image,arg=one,,two,arg=three".to_owned()), "{text:?}");
    }
}

//! Asks CPU and operating system for the use of tiles: they are a large state, which a process gets only if it asks.

use core::arch::asm;
use core::arch::x86_64::__cpuid_count;
use core::sync::atomic::{AtomicU8, Ordering::Relaxed};

/// Not asked yet, refused, granted.
static ANSWER: AtomicU8 = AtomicU8::new(0);

/// Whether tiles may be used; asks at the first call.
pub(super) fn granted() -> bool {
    match ANSWER.load(Relaxed) {
        0 => {
            // Who asks twice gets the same answer.
            let granted = cpu_has_tiles() && system_grants();
            ANSWER.store(1 + u8::from(granted), Relaxed);
            granted
        }
        answer => answer == 2,
    }
}

/// AMX-TILE and AMX-INT8, by Intel's manual: leaf 7, bits 24 and 25 of EDX. Beyond that, the system must save the state of tiles: XCR0, bits 17
/// and 18, which it grants or not.
fn cpu_has_tiles() -> bool {
    const TILES: u32 = 0b11 << 24;
    const STATE: u32 = 0b11 << 17;
    const XSAVE: u32 = 1 << 27;
    if __cpuid_count(0, 0).eax < 7 || __cpuid_count(7, 0).edx & TILES != TILES {
        return false;
    }
    if __cpuid_count(1, 0).ecx & XSAVE == 0 {
        return false;
    }
    let low: u32;
    // SAFETY: the instruction is there with OSXSAVE, and reads a register.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack, preserves_flags)) }
    low & STATE == STATE
}

/// `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`: Linux since 5.16.
#[cfg(target_os = "linux")]
fn system_grants() -> bool {
    const ARCH_PRCTL: isize = 158;
    const REQUEST: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: a system call that touches no memory of this process; it clobbers rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inout("rax") result,
            in("rdi") REQUEST,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack)
        );
    }
    result == 0
}

/// Other systems are not asked.
#[cfg(not(target_os = "linux"))]
fn system_grants() -> bool {
    false
}

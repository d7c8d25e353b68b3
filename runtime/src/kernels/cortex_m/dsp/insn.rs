//! The instructions of the DSP extension that have no name in stable Rust, one function each.
//!
//! A word holds two signed 16-bit *lanes*, or four signed bytes, the lowest first.

use core::arch::asm;

/// A function of one instruction: no memory, and no flags but those that Rust lets assembly change.
macro_rules! insn {
    ($(#[$doc:meta])* $name:ident($($arg:ident),*) $text:literal $(, $more:literal)*) => {
        $(#[$doc])*
        #[inline(always)]
        pub(super) fn $name($($arg: u32),*) -> u32 {
            let result;
            // SAFETY: the instruction reads and writes the named registers and flags only; every core with the DSP
            // extension has it, and this module is compiled for no other.
            unsafe { asm!($text $(, $more)*, $($arg = in(reg) $arg,)* d = lateout(reg) result, options(pure, nomem, nostack)) };
            result
        }
    };
}

insn! {
    /// Bytes 0 and 2 as lanes.
    even_bytes(x) "sxtb16 {d}, {x}"
}
insn! {
    /// Bytes 1 and 3 as lanes.
    odd_bytes(x) "sxtb16 {d}, {x}, ror #8"
}
insn! {
    /// Lanes of `acc` plus bytes 0 and 2.
    add_even_bytes(acc, x) "sxtab16 {d}, {acc}, {x}"
}
insn! {
    /// Lanes of `acc` plus bytes 1 and 3.
    add_odd_bytes(acc, x) "sxtab16 {d}, {acc}, {x}, ror #8"
}
insn! {
    /// The low lanes of `a` and `b`.
    low_lanes(a, b) "pkhbt {d}, {a}, {b}, lsl #16"
}
insn! {
    /// The high lanes of `a` and `b`.
    high_lanes(a, b) "pkhtb {d}, {b}, {a}, asr #16"
}
insn! {
    /// `acc` plus the products of both lanes.
    add_products(a, b, acc) "smlad {d}, {a}, {b}, {acc}"
}
insn! {
    /// `acc` plus the product of the low lanes.
    add_low_product(a, b, acc) "smlabb {d}, {a}, {b}, {acc}"
}
insn! {
    /// `acc` plus the upper 32 bits of the product.
    add_high_word(a, b, acc) "smmla {d}, {a}, {b}, {acc}"
}
insn! {
    /// Limited to -128..=127.
    saturate_byte(x) "ssat {d}, #8, {x}"
}
insn! {
    /// Limited to -32768..=32767.
    saturate_half(x) "ssat {d}, #16, {x}"
}
insn! {
    /// The difference of each pair of lanes, saturated.
    sub_lanes(a, b) "qsub16 {d}, {a}, {b}"
}
insn! {
    /// The sum of each pair of lanes, saturated.
    add_lanes(a, b) "qadd16 {d}, {a}, {b}"
}

/// Lanes of -32768 become -32767: what saturates on the way down does not come back up.
#[inline(always)]
pub(super) fn symmetric_lanes(x: u32) -> u32 {
    add_lanes(sub_lanes(x, 0x0001_0001), 0x0001_0001)
}

/// `acc` plus the squares of both lanes.
#[inline(always)]
pub(super) fn add_squares(x: u32, acc: u64) -> u64 {
    let [mut low, mut high] = [acc as u32, (acc >> 32) as u32];
    // SAFETY: as for the others.
    unsafe {
        asm!("smlald {l}, {h}, {x}, {x}", x = in(reg) x, l = inout(reg) low, h = inout(reg) high,
            options(pure, nomem, nostack, preserves_flags));
    }
    u64::from(high) << 32 | u64::from(low)
}

/// The larger of each pair of signed bytes.
#[inline(always)]
pub(super) fn max_bytes(a: u32, b: u32) -> u32 {
    let result;
    // SAFETY: as above. Two instructions in one block, because the flags between them have no name in Rust; the result is
    // written by the first, so it must not share a register with an operand.
    unsafe {
        asm!("ssub8 {d}, {a}, {b}", "sel {d}, {a}, {b}", a = in(reg) a, b = in(reg) b, d = out(reg) result,
            options(pure, nomem, nostack));
    }
    result
}

/// Four bytes from number `at` on; zeros if they are not there.
#[inline(always)]
pub(super) fn four(values: &[i8], at: usize) -> u32 {
    match values.get(at..).and_then(|values| values.first_chunk::<4>()) {
        Some(four) => u32::from_le_bytes(four.map(|v| v as u8)),
        None => 0,
    }
}

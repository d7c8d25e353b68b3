//! The inner loop of a convolution: the products of two output channels and `P` pixels.

use core::arch::asm;

use super::insn::{add_products, even_bytes};

/// Adds the products of all groups to the sums: those of the first channel to `low`, of both channels to `both`.
///
/// # Safety
/// `weights` is aligned to four bytes and has eight bytes for each group of `columns`, which has two words of each of `P` columns for it.
#[inline(always)]
pub(super) unsafe fn multiply<const P: usize>(
    weights: &[i8],
    columns: &[u32],
    low: &mut [i32; P],
    both: &mut [i32; P],
) {
    match (low.first_chunk_mut(), both.first_chunk_mut()) {
        // SAFETY: the caller's.
        (Some(low), Some(both)) if P == 3 => unsafe { multiply_three(weights, columns, low, both) },
        _ => multiply_any(weights, columns, low, both),
    }
}

/// The definition; well compiled for one pixel.
#[inline(always)]
fn multiply_any<const P: usize>(weights: &[i8], columns: &[u32], low: &mut [i32; P], both: &mut [i32; P]) {
    for (weights, values) in weights.as_chunks::<4>().0.iter().zip(columns.as_chunks::<P>().0) {
        let weights = u32::from_le_bytes(weights.map(|w| w as u8));
        let first = even_bytes(weights);
        for p in 0..P {
            both[p] = add_products(weights, values[p], both[p] as u32) as i32;
            low[p] = add_products(first, values[p], low[p] as u32) as i32;
        }
    }
}

/// A group of four products for three pixels: 17 instructions.
macro_rules! group {
    () => {
        "ldrd r6, r7, [r0], #8
        ldm r1!, {{r3, r4, r5}}
        sxtb16 r12, r6
        smlad r9, r6, r3, r9
        smlad r10, r6, r4, r10
        smlad r11, r6, r5, r11
        smlad r2, r12, r3, r2
        smlad r8, r12, r4, r8
        smlad lr, r12, r5, lr
        ldm r1!, {{r3, r4, r5}}
        sxtb16 r12, r7
        smlad r9, r7, r3, r9
        smlad r10, r7, r4, r10
        smlad r11, r7, r5, r11
        smlad r2, r12, r3, r2
        smlad r8, r12, r4, r8
        smlad lr, r12, r5, lr"
    };
}

/// Four groups a turn, then one a turn. Two pointers (r0, r1), six sums (r2, r8, lr and r9, r10, r11), two words of weights (r6, r7), three
/// values (r3, r4, r5) and a temporary (r12) are all the registers there are. So the ends of the two loops wait on the stack, beside r6
/// and r7, which Rust does not give out by name.
///
/// # Safety
/// As for [`multiply`].
#[inline(always)]
unsafe fn multiply_three(weights: &[i8], columns: &[u32], low: &mut [i32; 3], both: &mut [i32; 3]) {
    /// Words of a group.
    const GROUP: usize = 6;
    let start = columns.as_ptr();
    let fours = start.wrapping_add(columns.len() / (4 * GROUP) * (4 * GROUP));
    let end = start.wrapping_add(columns.len());
    // SAFETY: reads eight bytes of `weights` and GROUP words of `columns` for each group of the latter, both aligned to words;
    // what it pushes it pops, and every register it writes is an output or restored.
    unsafe {
        asm!(
            "push {{r3, r4, r6, r7}}",
            "cmp r1, r3",
            "beq 3f",
            "2:",
            group!(),
            group!(),
            group!(),
            group!(),
            "ldr r12, [sp]",
            "cmp r1, r12",
            "bne 2b",
            "3:",
            "ldr r12, [sp, #4]",
            "cmp r1, r12",
            "beq 5f",
            "4:",
            group!(),
            "ldr r12, [sp, #4]",
            "cmp r1, r12",
            "bne 4b",
            "5:",
            "pop {{r3, r4, r6, r7}}",
            inout("r0") weights.as_ptr() => _,
            inout("r1") start => _,
            inout("r2") low[0],
            inout("r8") low[1],
            inout("lr") low[2],
            inout("r9") both[0],
            inout("r10") both[1],
            inout("r11") both[2],
            inout("r3") fours => _,
            inout("r4") end => _,
            out("r5") _,
            out("r12") _,
        );
    }
}

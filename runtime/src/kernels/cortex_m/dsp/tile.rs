//! The inner loop of a convolution: the products of two output channels and `P` pixels.

use core::arch::asm;

use super::insn::{add_products, even_bytes};

/// Groups of `P` columns.
#[derive(Clone, Copy)]
pub(super) struct Span<'a, const P: usize> {
    columns: &'a [u32],
    /// Where the groups end that come in fours.
    fours: *const u32,
}

impl<'a, const P: usize> Span<'a, P> {
    /// A group is two words of each column.
    #[inline(always)]
    pub(super) fn of(columns: &'a [u32]) -> Self {
        Span { columns, fours: columns.as_ptr().wrapping_add(columns.len() / (8 * P) * (8 * P)) }
    }
}

/// Adds the products of all groups to the sums: those of the first channel to `low`, of both channels to `both`.
///
/// # Safety
/// `weights` is aligned to four bytes and has eight bytes for each group of the span.
#[inline(always)]
pub(super) unsafe fn multiply<const P: usize>(
    weights: *const i8,
    span: Span<'_, P>,
    low: &mut [i32; P],
    both: &mut [i32; P],
) {
    match (low.first_chunk_mut(), both.first_chunk_mut()) {
        // SAFETY: the caller's.
        (Some(low), Some(both)) if P == 3 => unsafe { multiply_three(weights, span.columns, span.fours, low, both) },
        // SAFETY: the caller's; the second part begins behind whole groups.
        _ if P == 1 => unsafe {
            let done = span.columns.len() & !3;
            multiply_one(weights, done / 4, span.columns.as_ptr(), &mut low[0], &mut both[0]);
            multiply_any(weights.add(4 * done), &span.columns[done..], low, both);
        },
        // SAFETY: the caller's.
        _ => unsafe { multiply_any(weights, span.columns, low, both) },
    }
}

/// The definition.
///
/// # Safety
/// As for [`multiply`].
#[inline(always)]
unsafe fn multiply_any<const P: usize>(weights: *const i8, columns: &[u32], low: &mut [i32; P], both: &mut [i32; P]) {
    for (i, values) in columns.as_chunks::<P>().0.iter().enumerate() {
        // SAFETY: a word of weights for each word of a column.
        let weights = unsafe { weights.cast::<u32>().add(i).read() };
        let first = even_bytes(weights);
        for p in 0..P {
            both[p] = add_products(weights, values[p], both[p] as u32) as i32;
            low[p] = add_products(first, values[p], low[p] as u32) as i32;
        }
    }
}

/// Two groups a turn for one pixel: 17 instructions for 16 multiply-accumulates.
///
/// # Safety
/// As for [`multiply`]; `pairs` is the number of pairs of groups.
#[inline(always)]
unsafe fn multiply_one(weights: *const i8, pairs: usize, column: *const u32, low: &mut i32, both: &mut i32) {
    if pairs == 0 {
        return;
    }
    // SAFETY: reads sixteen bytes of `weights` and four words of `column` for each pair, both aligned to words.
    unsafe {
        asm!(
            "2:",
            "ldm {w}!, {{r4, r5, r8, r9}}",
            "ldrd r10, r11, [{c}], #8",
            "subs {n}, {n}, #1",
            "smlad {b}, r4, r10, {b}",
            "sxtb16 r4, r4",
            "smlad {b}, r5, r11, {b}",
            "sxtb16 r5, r5",
            "smlad {l}, r4, r10, {l}",
            "smlad {l}, r5, r11, {l}",
            "ldrd r10, r11, [{c}], #8",
            "smlad {b}, r8, r10, {b}",
            "sxtb16 r8, r8",
            "smlad {b}, r9, r11, {b}",
            "sxtb16 r9, r9",
            "smlad {l}, r8, r10, {l}",
            "smlad {l}, r9, r11, {l}",
            "bne 2b",
            w = inout(reg) weights => _,
            c = inout(reg) column => _,
            n = inout(reg) pairs => _,
            l = inout(reg) *low,
            b = inout(reg) *both,
            out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            options(readonly, nostack)
        );
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
unsafe fn multiply_three(
    weights: *const i8,
    columns: &[u32],
    fours: *const u32,
    low: &mut [i32; 3],
    both: &mut [i32; 3],
) {
    let columns = columns.as_ptr_range();
    // SAFETY: reads eight bytes of `weights` and six words of `columns` for each group of the latter, both aligned to words;
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
            inout("r0") weights => _,
            inout("r1") columns.start => _,
            inout("r2") low[0],
            inout("r8") low[1],
            inout("lr") low[2],
            inout("r9") both[0],
            inout("r10") both[1],
            inout("r11") both[2],
            inout("r3") fours => _,
            inout("r4") columns.end => _,
            out("r5") _,
            out("r12") _,
        );
    }
}

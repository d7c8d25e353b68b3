//! The inner loop of a convolution: the products of one output channel and six pixels.

use core::arch::naked_asm;

use super::super::thumb_plan::TILE;

/// Groups of two products in a round of the loop.
const UNROLLED: usize = 4;

/// Bytes of code of a group, in either form.
const GROUP: usize = 56;

/// How the loop over a number of groups begins: in the middle of its first round, unless they are whole rounds.
#[derive(Clone, Copy)]
pub(super) struct Products {
    groups: usize,
    /// Bytes of code that are skipped.
    skip: usize,
}

impl Products {
    /// For so many groups, one at least.
    pub(super) const fn new(groups: usize) -> Self {
        Products { groups, skip: GROUP * (groups.next_multiple_of(UNROLLED) - groups) }
    }

    /// The products of each pair of pixels added to `bias`: for the second pixel by itself, for the first with 65536 times the second's
    /// added. There are six words of columns and two weights for each group.
    #[inline(always)]
    pub(super) fn of(self, columns: &[i32], weights: &[i8], bias: i32) -> Pairs {
        assert!(columns.len() == TILE * self.groups && weights.len() == 2 * self.groups);
        // Each group adds 2^15 to the words.
        let words = (bias << 16).wrapping_add(bias).wrapping_sub((self.groups as i32) << 15);
        let mut pairs = [[words, bias]; TILE / 2];
        // SAFETY: the loop reads as many words and weights as were just counted.
        unsafe { products(columns.as_ptr(), weights.as_ptr(), self.groups, self.skip, &mut pairs) };
        pairs
    }
}

/// For each pair of pixels a sum of words, and the second pixel's sum.
pub(super) type Pairs = [[i32; 2]; TILE / 2];

/// Two products of the pixels of a pair: r4 and r5 are weights, r6 is 2^15.
#[cfg(not(target_has_atomic = "32"))]
macro_rules! pair {
    ($words:literal, $second:literal) => {
        concat!(
            "ldm r0!, {{r2, r3}}\n",
            "muls r2, r4, r2\n",
            "muls r3, r5, r3\n",
            "adds r2, r2, r3\n",
            "adds r2, r2, r6\n",
            "add ",
            $words,
            ", r2\n",
            "asrs r2, r2, #16\n",
            "add ",
            $second,
            ", r2\n",
        )
    };
}

/// 28 instructions for 12 multiply-accumulates; r7 counts weights up to none.
#[cfg(not(target_has_atomic = "32"))]
macro_rules! group {
    () => {
        concat!(
            "ldrsb r4, [r1, r7]\n",
            "adds r7, r7, #1\n",
            "ldrsb r5, [r1, r7]\n",
            pair!("r8", "r9"),
            pair!("r10", "r11"),
            pair!("r12", "lr"),
            "adds r7, r7, #1\n",
        )
    };
}

/// Two products of the pixels of a pair: r4 and r5 are weights, r6 is 2^15.
#[cfg(target_has_atomic = "32")]
macro_rules! pair {
    ($words:literal, $second:literal) => {
        concat!(
            "ldm r0!, {{r2, r3}}\n",
            "mla r2, r2, r4, r6\n",
            "mla r2, r3, r5, r2\n",
            "add.n ",
            $words,
            ", r2\n",
            "add.w ",
            $second,
            ", ",
            $second,
            ", r2, asr #16\n",
        )
    };
}

/// 17 instructions for 12 multiply-accumulates.
#[cfg(target_has_atomic = "32")]
macro_rules! group {
    () => {
        concat!(
            "ldrsb.w r4, [r1], #1\n",
            "ldrsb.w r5, [r1], #1\n",
            pair!("r8", "r9"),
            pair!("r10", "r11"),
            pair!("r12", "lr"),
        )
    };
}

/// r7 from the weights in r1 and the number of groups in r2.
#[cfg(not(target_has_atomic = "32"))]
macro_rules! begin {
    () => {
        "lsls r2, r2, #1
        adds r1, r1, r2
        rsbs r7, r2, #0"
    };
}
#[cfg(target_has_atomic = "32")]
macro_rules! begin {
    () => {
        "add r7, r1, r2, lsl #1"
    };
}

/// Sets the flags for the end of a round.
#[cfg(not(target_has_atomic = "32"))]
macro_rules! compare {
    () => {
        // The last addition has.
        ""
    };
}
#[cfg(target_has_atomic = "32")]
macro_rules! compare {
    () => {
        "cmp r1, r7"
    };
}

/// Adds to the sums of each pair of pixels, which are alike to begin with.
///
/// # Safety
/// There are six words of columns and two weights for each group, and one group at least.
#[unsafe(naked)]
unsafe extern "C" fn products(columns: *const i32, weights: *const i8, groups: usize, skip: usize, pairs: &mut Pairs) {
    naked_asm!(
        "push {{r4-r7, lr}}",
        "mov r4, r8",
        "mov r5, r9",
        "mov r6, r10",
        "mov r7, r11",
        "push {{r4-r7}}",
        "adr r4, 3f",
        "adds r4, r4, r3",
        "adds r4, r4, #1",
        begin!(),
        "movs r6, #1",
        "lsls r6, r6, #15",
        "ldr r3, [sp, #36]",
        "ldm r3!, {{r2, r5}}",
        "mov r8, r2",
        "mov r9, r5",
        "mov r10, r2",
        "mov r11, r5",
        "mov r12, r2",
        "mov lr, r5",
        "bx r4",
        ".p2align 2",
        "3:",
        ".rept 4",
        group!(),
        ".endr",
        compare!(),
        "bne 3b",
        "ldr r0, [sp, #36]",
        "mov r1, r8",
        "mov r2, r9",
        "mov r3, r10",
        "mov r4, r11",
        "mov r5, r12",
        "mov r6, lr",
        "stm r0!, {{r1-r6}}",
        "pop {{r4-r7}}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "mov r11, r7",
        "pop {{r4-r7, pc}}",
    )
}

//! The inner loops of a convolution: all output channels of four pixels, or of one, two channels at a time.

use core::arch::naked_asm;
use core::array::from_fn;

use super::super::mve_plan::{ConvPlan, MVE_LAYOUT, PAIR_WORDS, TILE};
use crate::ops::Conv2d;

/// What the loops read. Offsets of the fields stand as numbers in their text.
///
/// A record of two channels has eight words: bias, multiplier, left shift and right shift of each. Right shifts are negative, and of one
/// bit more.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Tile {
    columns: *const i8,
    /// Rounds of the loop over groups, of which the first may begin in the middle: so many bytes of code are skipped.
    rounds: usize,
    skip: usize,
    records: *const i32,
    records_end: *const i32,
    weights: *const i8,
    output: *mut i8,
    /// From the first byte that a pair of channels writes to all of them.
    offsets: [u16; 8],
    bounds: [i32; 2],
    /// Multipliers, bias and shift of the residual, its right shift negative, and its bounds.
    residual: [i32; 4],
    residual_bounds: [i32; 2],
    zero: i32,
}

const _: () = assert!(core::mem::offset_of!(Tile, offsets) == 28 && core::mem::offset_of!(Tile, zero) == 76);

/// Groups in a round of the loop.
const UNROLLED: usize = 8;

/// A convolution, ready to run tile by tile.
pub(super) struct Job<'a> {
    op: &'a Conv2d<'a>,
    plan: ConvPlan,
    /// What the tile's offsets were made for: bytes of its pixels, and of one of them.
    offsets_of: [usize; 2],
    tile: Tile,
}

impl<'a> Job<'a> {
    /// The records are prepared, and there is a group at least.
    pub(super) fn new(op: &'a Conv2d<'a>, plan: ConvPlan, records: &'a [i32]) -> Self {
        // The first group is not part of the loop. Four bytes an instruction: a load for each operand, a multiplication for each sum.
        let (group, left) = (4 * (plan.pixels + 2 + 2 * plan.pixels), plan.groups - 1);
        let residual = op.residual.map(|add| {
            let [m0, m1] = add.multipliers.map(i32::from);
            ([m0, m1, add.bias, -i32::from(add.shift)], [add.lo, add.hi].map(i32::from))
        });
        let (residual, residual_bounds) = residual.unwrap_or_default();
        let records = records.as_ptr_range();
        let tile = Tile {
            columns: core::ptr::null(),
            rounds: left.div_ceil(UNROLLED).max(1),
            skip: group * if left == 0 { UNROLLED } else { left.next_multiple_of(UNROLLED) - left },
            records: records.start,
            records_end: records.end,
            weights: op.weights.as_ptr(),
            output: core::ptr::null_mut(),
            offsets: [0; 8],
            bounds: [op.range.lo, op.range.hi].map(i32::from),
            residual,
            residual_bounds,
            zero: op.range.zero.into(),
        };
        Job { op, plan, offsets_of: [0; 2], tile }
    }

    /// All channels of the output pixels with these columns. Where there are fewer than four, the last column is repeated.
    #[inline(always)]
    pub(super) fn run(&mut self, columns: &[i8], pixels: &mut [i8]) {
        let out = self.op.output.channels;
        self.tile.columns = columns.as_ptr();
        if out.is_multiple_of(2) {
            // SAFETY: there are records and weights for all channels (`Conv2d::fits`), and columns for all pixels.
            unsafe { self.pairs(pixels, out) };
        } else {
            self.run_odd(pixels, out);
        }
    }

    /// The last pair has one channel of padding, which must not be written.
    #[inline(never)]
    fn run_odd(&mut self, pixels: &mut [i8], out: usize) {
        let Tile { records, records_end, weights, .. } = self.tile;
        let last = records.wrapping_add(PAIR_WORDS * (out / 2));
        if last != records {
            self.tile.records_end = last;
            // SAFETY: as above, for all pairs but the last.
            unsafe { self.pairs(pixels, out) };
        }
        let mut both = [0; 2 * TILE];
        let both = &mut both[..pixels.len() / out * 2];
        for (both, pixel) in both.chunks_exact_mut(2).zip(pixels.chunks_exact(out)) {
            both[0] = pixel[out - 1];
        }
        (self.tile.records, self.tile.records_end) = (last, records_end);
        self.tile.weights = weights.wrapping_add(out / 2 * self.plan.groups * MVE_LAYOUT.group());
        // SAFETY: as above, for the last pair and an output of its own.
        unsafe { self.pairs(both, 2) };
        (self.tile.records, self.tile.weights) = (records, weights);
        for (both, pixel) in both.chunks_exact(2).zip(pixels.chunks_exact_mut(out)) {
            pixel[out - 1] = both[0];
        }
    }

    /// # Safety
    /// `pixels` are `step` bytes each, of which there are two for each record; records, weights and columns are there.
    #[inline(always)]
    unsafe fn pairs(&mut self, pixels: &mut [i8], step: usize) {
        self.tile.output = pixels.as_mut_ptr();
        if self.offsets_of != [pixels.len(), step] {
            self.offsets_of = [pixels.len(), step];
            let last = pixels.len() / step - 1;
            self.tile.offsets = from_fn(|i| ((i / 2).min(last) * step + i % 2) as u16);
        }
        // SAFETY: the caller's.
        unsafe {
            match self.op.residual {
                _ if self.plan.pixels == 1 => one(&self.tile),
                None => four(&self.tile),
                Some(_) => four_add(&self.tile),
            }
        }
    }
}

/// The two channels of a group: `$first` is the multiplication that begins a sum, or adds to it.
macro_rules! group {
    (4, $mac:literal) => {
        concat!(
            "vldrb.8 q0, [r1], #16\n",
            "vldrb.8 q4, [r3], #16\n",
            $mac,
            " r0, q0, q4\n",
            "vldrb.8 q1, [r1], #16\n",
            $mac,
            " r2, q1, q4\n",
            "vldrb.8 q2, [r1], #16\n",
            $mac,
            " r4, q2, q4\n",
            "vldrb.8 q3, [r1], #16\n",
            $mac,
            " r6, q3, q4\n",
            "vldrb.8 q4, [r3], #16\n",
            $mac,
            " r8, q0, q4\n",
            $mac,
            " r10, q1, q4\n",
            $mac,
            " r12, q2, q4\n",
            $mac,
            " lr, q3, q4\n",
        )
    };
    (1, $mac:literal) => {
        concat!(
            "vldrb.8 q0, [r1], #16\n",
            "vldrb.8 q1, [r3], #16\n",
            "vldrb.8 q2, [r3], #16\n",
            $mac,
            " r0, q0, q1\n",
            $mac,
            " r8, q0, q2\n",
        )
    };
}

/// The sums of the first channel to q0, those of the second to q1.
macro_rules! sums {
    (4) => {
        "vmov q0[2], q0[0], r0, r4
        vmov q1[2], q1[0], r8, r12
        vmov q0[3], q0[1], r2, r6
        vmov q1[3], q1[1], r10, lr"
    };
    (1) => {
        "vdup.32 q0, r0
        vdup.32 q1, r8"
    };
}

/// The residual: q0 holds 16-bit values, the first channel's in even lanes.
macro_rules! residual {
    () => {
        "ldr r0, [sp]
        vldrb.s16 q1, [r9, q5]
        ldrd r2, r4, [r0, #52]
        vmovlb.s16 q2, q0
        ldrd r6, r8, [r0, #60]
        vmul.i32 q2, q2, r2
        vmovlt.s16 q3, q0
        ldrd r10, r12, [r0, #68]
        vmul.i32 q3, q3, r2
        vmovlb.s16 q0, q1
        vadd.i32 q2, q2, r6
        vmovlt.s16 q1, q1
        vmla.s32 q2, q0, r4
        vadd.i32 q3, q3, r6
        vmla.s32 q3, q1, r4
        vshl.s32 q2, r8
        vshl.s32 q3, r8
        vqmovnb.s32 q0, q2
        vqmovnt.s32 q0, q3
        vdup.16 q2, r10
        vdup.16 q3, r12
        vmax.s16 q0, q0, q2
        vmin.s16 q0, q0, q3"
    };
    (none) => {
        ""
    };
}

/// A function that computes all pairs of channels of a tile.
///
/// r1 columns, r3 weights, r5 rounds, r7 zero point, r9 output, r11 records; even registers are sums, then the record. q5 offsets, q6 and q7 bounds.
/// On the stack: the tile, columns, rounds, where the loop is entered, the end of the records.
macro_rules! tile {
    ($(#[$doc:meta])* $name:ident, $pixels:tt, $($residual:tt)?) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// All that the tile points to is there: a group at least, a record at least, for each record weights and output.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(tile: &Tile) {
            naked_asm!(
                ".cpu cortex-m55",
                "push {{r4-r11, lr}}",
                "vpush {{d8-d15}}",
                "ldrd r6, r7, [r0, #44]",
                "vdup.16 q6, r6",
                "vdup.16 q7, r7",
                "ldr r7, [r0, #76]",
                "add r6, r0, #28",
                "vldrh.16 q5, [r6]",
                "ldrd r3, r9, [r0, #20]",
                "ldrd r11, r5, [r0, #12]",
                "ldm r0, {{r1, r2, r4}}",
                "adr.w r6, 3f",
                "add r4, r4, r6",
                "orr r4, r4, #1",
                "push {{r0, r1, r2, r4, r5}}",
                "2:",
                "ldrd r1, r5, [sp, #4]",
                group!($pixels, "vmladav.s8"),
                "ldr pc, [sp, #12]",
                ".p2align 2",
                "3:",
                ".rept 8",
                group!($pixels, "vmladava.s8"),
                ".endr",
                "subs r5, r5, #1",
                "bne.w 3b",
                sums!($pixels),
                "ldm r11!, {{r0, r2, r4, r6, r8, r10, r12, lr}}",
                "vadd.i32 q0, q0, r0",
                "vadd.i32 q1, q1, r8",
                "vshl.s32 q0, r4",
                "vshl.s32 q1, r12",
                "vqdmulh.s32 q0, q0, r2",
                "vqdmulh.s32 q1, q1, r10",
                "vrshl.s32 q0, r6",
                "vrshl.s32 q1, lr",
                "vqmovnb.s32 q0, q0",
                "vqmovnt.s32 q0, q1",
                "vqadd.s16 q0, q0, r7",
                "vmax.s16 q0, q0, q6",
                "vmin.s16 q0, q0, q7",
                residual!($($residual)?),
                "ldr r5, [sp, #16]",
                "vstrb.16 q0, [r9, q5]",
                "adds r9, r9, #2",
                "cmp r11, r5",
                "bne.w 2b",
                "add sp, sp, #20",
                "vpop {{d8-d15}}",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

tile! {
    /// Four pixels: 14 instructions for 128 multiply-accumulates.
    four, 4, none
}
tile! {
    /// Four pixels, each value added to what the output holds.
    four_add, 4,
}
tile! {
    /// One pixel: 5 instructions for 32 multiply-accumulates.
    one, 1, none
}

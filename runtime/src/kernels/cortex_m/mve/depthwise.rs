//! Depthwise convolution: sixteen channels at a time, two taps a round.
//!
//! A product of two bytes is at most 127 * 128 in magnitude, so two of them add up in 16 bits; their sum is widened once. `VMULLB` takes even
//! bytes and `VMULLT` odd ones, and so does widening, so the four vectors of sums hold channels 0, 4, 8, 12, then 2, 6, 10, 14, then
//! those one higher. Narrowing puts them back in order.
//!
//! Taps are a list of distances from the output pixel's own place in the image. Those outside point to a pixel of padding.

use core::arch::naked_asm;
use core::array::from_fn;

use super::super::mve_plan::{BLOCK_WORDS, DepthwisePlan, VECTOR};
use crate::kernels::{cast, scalar};
use crate::ops::Depthwise;

/// See [`crate::kernels::Kernels::depthwise`].
pub(super) fn depthwise(op: &Depthwise<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let plan = DepthwisePlan::of(op);
    if plan.blocks == 0 {
        return (scalar::KERNELS.depthwise)(op, input, output, scratch);
    }
    let Some((words, rest)) = scratch.split_at_mut_checked(4 * (plan.records() + plan.lists())) else { return };
    let (words, Some(padding)) = (cast::i32s_mut(words), cast::i8s_mut(rest).get_mut(..plan.pixel)) else { return };
    if !op.fits(input, output) || output.is_empty() || words.len() != plan.records() + plan.lists() {
        return;
    }
    let (records, lists) = words.split_at_mut(plan.records());
    let (inside, here) = lists.split_at_mut(plan.taps);
    prepare(op, records);
    padding.fill(op.input_zero);
    let window = &op.window;
    let (channels, pitch) = (op.output.channels, op.input.width * op.output.channels);
    let each_tap = || (0..window.kernel[0]).flat_map(|ky| (0..window.kernel[1]).map(move |kx| [ky, kx]));
    let distance = |[ky, kx]: [usize; 2]| ky * window.dilation[0] * pitch + kx * window.dilation[1] * channels;
    for (to, tap) in inside.iter_mut().zip(each_tap()) {
        *to = distance(tap) as i32;
    }
    let mut block = Block {
        input: input.as_ptr(),
        weights: op.weights.as_ptr(),
        output: output.as_mut_ptr(),
        taps: inside.as_ptr(),
        records: records.as_ptr(),
        rounds: plan.taps / 2,
        odd: plan.taps % 2,
        channels,
        zero: op.range.zero.into(),
        bounds: [op.range.lo, op.range.hi].map(i32::from),
    };
    for y in 0..op.output.height {
        let rows = window.inside(0, y, op.input.height);
        for x in 0..op.output.width {
            let columns = window.inside(1, x, op.input.width);
            // The place of the first tap; it may be outside.
            let place = |axis: usize, out: usize| (out * window.stride[axis]).wrapping_sub(window.pad[axis]);
            let first = place(0, y).wrapping_mul(pitch).wrapping_add(place(1, x).wrapping_mul(channels));
            block.input = input.as_ptr().wrapping_add(first);
            block.taps = inside.as_ptr();
            if rows.len() < window.kernel[0] || columns.len() < window.kernel[1] {
                let outside = (padding.as_ptr() as usize).wrapping_sub(block.input as usize);
                for (to, [ky, kx]) in here.iter_mut().zip(each_tap()) {
                    let holds = rows.contains(&ky) && columns.contains(&kx);
                    *to = if holds { distance([ky, kx]) } else { outside } as i32;
                }
                block.taps = here.as_ptr();
            }
            // SAFETY: every tap is inside the image or on the padding; there are records, weights and outputs for all channels.
            unsafe { if channels < VECTOR { short(&block) } else { whole(&block) } };
            block.output = block.output.wrapping_add(channels);
        }
    }
}

/// First channel of a block.
fn first_of(block: usize, channels: usize) -> usize {
    (block * VECTOR).min(channels.saturating_sub(VECTOR))
}

/// Sixteen channels as the end of the loop loads them.
fn prepare(op: &Depthwise<'_>, records: &mut [i32]) {
    let channels = op.output.channels;
    for (block, record) in records.as_chunks_mut::<BLOCK_WORDS>().0.iter_mut().enumerate() {
        let [bias, left, multiplier, right] = from_fn(|i| i * VECTOR);
        for i in 0..VECTOR {
            // The second vector has channels 2, 6, ...; the third 1, 5, ...
            let lane = [0, 2, 1, 3][i % 4] * 4 + i / 4;
            let Some(shift) = op.channels.shift[..channels].get(first_of(block, channels) + i) else { continue };
            let o = first_of(block, channels) + i;
            record[bias + lane] = op.channels.bias[o];
            record[left + lane] = i32::from(shift >> 5);
            record[multiplier + lane] = op.channels.multiplier[o];
            record[right + lane] = -1 - i32::from(shift & 31);
        }
    }
}

/// What the loops read of a pixel. Offsets of the fields stand as numbers in their text.
#[repr(C)]
struct Block {
    input: *const i8,
    weights: *const i8,
    output: *mut i8,
    taps: *const i32,
    records: *const i32,
    rounds: usize,
    odd: usize,
    channels: usize,
    zero: i32,
    bounds: [i32; 2],
}

/// Adds the 16-bit sums of q2 and q0 to those of 32 bits.
macro_rules! widen {
    () => {
        "vmovlb.s16 q1, q2
        vadd.i32 q4, q4, q1
        vmovlt.s16 q2, q2
        vadd.i32 q5, q5, q2
        vmovlb.s16 q1, q0
        vadd.i32 q6, q6, q1
        vmovlt.s16 q0, q0
        vadd.i32 q7, q7, q0"
    };
}

/// Products of a tap at r7: even channels' to q2, odd ones' to q0.
macro_rules! first_tap {
    ($vpst2:literal, $load:literal) => {
        concat!(
            $vpst2,
            "\n",
            $load,
            " q0, [r7]\n",
            $load,
            " q1, [r2]\n",
            "add r2, r2, r10\n",
            "vmullb.s8 q2, q0, q1\n",
            "vmullt.s8 q0, q0, q1\n",
        )
    };
}

/// Requantizes the sums of `$q` with the lanes at `$at` of the record. Left shifts are rare, but loading them is cheap.
macro_rules! requantize {
    ($q:literal, $left:literal, $multiplier:literal, $right:literal) => {
        concat!(
            "vldrw.32 q0, [r4, #",
            $left,
            "]\n",
            "vldrw.32 q1, [r4, #",
            $multiplier,
            "]\n",
            "vshl.s32 ",
            $q,
            ", ",
            $q,
            ", q0\n",
            "vldrw.32 q2, [r4, #",
            $right,
            "]\n",
            "vqdmulh.s32 ",
            $q,
            ", ",
            $q,
            ", q1\n",
            "vrshl.s32 ",
            $q,
            ", ",
            $q,
            ", q2\n",
        )
    };
}

/// A function that computes all channels of an output pixel.
///
/// r0 the block, r1 input, r2 weights, r3 taps, r4 record, r5 first channel, r6 and r7 addresses of two taps, r8 blocks left to do in
/// channels, r9 output, r10 channels of a pixel, r11 rounds. q4 to q7 are sums.
macro_rules! pixel {
    ($(#[$doc:meta])* $name:ident, $vctp:literal, $vpst:literal, $vpst2:literal, $load:literal, $store:literal) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// All that the block points to is there.
        #[unsafe(naked)]
        unsafe extern "C" fn $name(block: &Block) {
            naked_asm!(
                ".cpu cortex-m55",
                "push {{r4-r11, lr}}",
                "vpush {{d8-d15}}",
                "ldr r4, [r0, #16]",
                "ldr r10, [r0, #28]",
                "movs r5, #0",
                $vctp,
                "2:",
                "ldrd r1, r2, [r0]",
                "ldrd r9, r3, [r0, #8]",
                "add r1, r1, r5",
                "add r2, r2, r5",
                "vldrw.32 q4, [r4]",
                "vldrw.32 q5, [r4, #16]",
                "vldrw.32 q6, [r4, #32]",
                "vldrw.32 q7, [r4, #48]",
                "ldr r11, [r0, #20]",
                "wls lr, r11, 4f",
                "3:",
                "ldrd r7, r6, [r3], #8",
                "add r7, r7, r1",
                "add r6, r6, r1",
                first_tap!($vpst2, $load),
                $vpst2,
                concat!($load, " q1, [r6]"),
                concat!($load, " q3, [r2]"),
                "vmullb.s8 q3, q1, q3",
                "vadd.i16 q2, q2, q3",
                $vpst,
                concat!($load, " q3, [r2]"),
                "add r2, r2, r10",
                "vmullt.s8 q1, q1, q3",
                "vadd.i16 q0, q0, q1",
                widen!(),
                "le lr, 3b",
                "4:",
                "ldr r11, [r0, #24]",
                "cmp r11, #0",
                "beq 5f",
                "ldr r7, [r3]",
                "add r7, r7, r1",
                first_tap!($vpst2, $load),
                widen!(),
                "5:",
                requantize!("q4", "64", "128", "192"),
                requantize!("q5", "80", "144", "208"),
                requantize!("q6", "96", "160", "224"),
                requantize!("q7", "112", "176", "240"),
                "ldr r11, [r0, #32]",
                "vqmovnb.s32 q4, q4",
                "vqmovnt.s32 q4, q5",
                "vqmovnb.s32 q6, q6",
                "vqmovnt.s32 q6, q7",
                "vqadd.s16 q4, q4, r11",
                "vqadd.s16 q6, q6, r11",
                "ldrd r6, r7, [r0, #36]",
                "vqmovnb.s16 q4, q4",
                "vqmovnt.s16 q4, q6",
                "vdup.8 q0, r6",
                "vdup.8 q1, r7",
                "vmax.s8 q4, q4, q0",
                "vmin.s8 q4, q4, q1",
                "add r9, r9, r5",
                $vpst,
                concat!($store, " q4, [r9]"),
                // The last block ends where the channels do.
                "add r4, r4, #256",
                "add r5, r5, #16",
                "sub r6, r10, r5",
                "cmp r6, #0",
                "ble 6f",
                "cmp r6, #16",
                "it lt",
                "sublt r5, r10, #16",
                "b.w 2b",
                "6:",
                "vpop {{d8-d15}}",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}

pixel! {
    /// Sixteen channels or more: 25 instructions for 32 multiply-accumulates.
    whole, "", "", "", "vldrb.8", "vstrb.8"
}
pixel! {
    /// Fewer channels: the others are neither read nor written.
    short, "vctp.8 r10", "vpst", "vpstt", "vldrbt.8", "vstrbt.8"
}

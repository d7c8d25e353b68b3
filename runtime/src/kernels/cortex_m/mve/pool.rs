//! Pools: sixteen channels at a time for the largest value, four for the mean.

use core::arch::asm;
use core::ops::Range;

use super::requantize::{Factor, requantize};
use crate::ops::{AvgPool, MaxPool};

/// See [`crate::kernels::Kernels::max_pool`].
pub(super) fn max_pool(op: &MaxPool, input: &[i8], output: &mut [i8]) {
    if !op.fits(input, output) {
        return;
    }
    for_each_block::<16>(op, input, output, |Under { first, rows, columns, .. }, right, down, out| {
        // SAFETY: the block's channels are there in every pixel under the window, and there is one at least.
        unsafe {
            asm!(
                "vctp.8 {n}",
                "vmov.i8 q0, #0x80",
                "2:",
                "dls lr, {columns}",
                "3:",
                "vpst",
                "vldrbt.u8 q1, [{x}]",
                "add {x}, {x}, {right}",
                "vmax.s8 q0, q0, q1",
                "le lr, 3b",
                "add {x}, {x}, {down}",
                "subs {rows}, {rows}, #1",
                "bne 2b",
                "vpst",
                "vstrbt.8 q0, [{y}]",
                n = in(reg) out.len(), columns = in(reg) columns, rows = inout(reg) rows => _,
                x = inout(reg) first => _, y = in(reg) out.as_mut_ptr(), right = in(reg) right, down = in(reg) down,
                out("lr") _, out("q0") _, out("q1") _,
                options(nostack)
            );
        }
    });
}

/// See [`crate::kernels::Kernels::avg_pool`].
pub(super) fn avg_pool(op: &AvgPool<'_>, input: &[i8], output: &mut [i8]) {
    if !op.fits(input, output) {
        return;
    }
    for_each_block::<4>(&op.pool, input, output, |Under { first, rows, columns }, right, down, out| {
        let pixels = rows * columns;
        let (multiplier, shift) = op.factor(pixels);
        let factor = Factor::new(multiplier, shift, op.range);
        let mut sum = [(pixels as i32).wrapping_mul(-i32::from(op.input_zero)); 4];
        // SAFETY: as above.
        unsafe {
            asm!(
                "vctp.32 {n}",
                "vldrw.32 q0, [{sum}]",
                "2:",
                "dls lr, {columns}",
                "3:",
                "vpst",
                "vldrbt.s32 q1, [r0]",
                "add r0, r0, {right}",
                "vadd.i32 q0, q0, q1",
                "le lr, 3b",
                "add r0, r0, {down}",
                "subs {rows}, {rows}, #1",
                "bne 2b",
                "vstrw.32 q0, [{sum}]",
                n = in(reg) out.len(), columns = in(reg) columns, rows = inout(reg) rows => _,
                inout("r0") first => _, sum = in(reg) sum.as_mut_ptr(), right = in(reg) right, down = in(reg) down,
                out("lr") _, out("q0") _, out("q1") _,
                options(nostack)
            );
        }
        store(&sum, factor, out);
    });
}

/// Requantizes as many sums as there are bytes, four at most.
#[inline(always)]
fn store(sums: &[i32; 4], Factor { multiplier, left, right, zero, lo, hi }: Factor, out: &mut [i8]) {
    // SAFETY: writes as many bytes as there are.
    unsafe {
        asm!(
            "vctp.32 {n}",
            "vdup.32 q2, {lo}",
            "vdup.32 q3, {hi}",
            "vldrw.32 q0, [{sums}]",
            requantize!(),
            "vpst",
            "vstrbt.32 q0, [r1]",
            n = in(reg) out.len(), in("r1") out.as_mut_ptr(), sums = in(reg) sums.as_ptr(),
            lo = in(reg) lo, hi = in(reg) hi,
            left = in(reg) left, multiplier = in(reg) multiplier, right = in(reg) right, zero = in(reg) zero,
            out("q0") _, out("q2") _, out("q3") _,
            options(nostack)
        );
    }
}

/// What lies under a window: the first value of a block of channels, and how many rows and columns.
struct Under {
    first: *const i8,
    rows: usize,
    columns: usize,
}

/// Calls `each` with every window over every block of `N` channels, the steps from pixel to pixel and from the end of a row to the
/// next, and the bytes that it makes. No window is empty.
#[inline(always)]
fn for_each_block<const N: usize>(
    op: &MaxPool,
    input: &[i8],
    output: &mut [i8],
    mut each: impl FnMut(Under, usize, usize, &mut [i8]),
) {
    let [width, channels] = [op.input.width, op.input.channels];
    // From the first line under the window to the next, in lines, and how many of them.
    let lines = |axis: usize, out: usize, size: usize| -> (Range<usize>, usize) {
        let inside = op.window.inside(axis, out, size);
        (op.window.read(axis, out, inside.start)..size, inside.len())
    };
    let [down, right] = op.window.dilation;
    let mut pixels = output.chunks_exact_mut(channels.max(1));
    for y in 0..op.output.height {
        let (from_row, rows) = lines(0, y, op.input.height);
        for (x, pixel) in pixels.by_ref().take(op.output.width).enumerate() {
            let (from_column, columns) = lines(1, x, width);
            if rows == 0 || columns == 0 {
                continue;
            }
            let first = (from_row.start * width + from_column.start) * channels;
            let step = right * channels;
            let next = (down * width * channels).wrapping_sub(columns * step);
            for (block, out) in pixel.chunks_mut(N).enumerate() {
                let first = input[first..].as_ptr().wrapping_add(block * N);
                each(Under { first, rows, columns }, step, next, out);
            }
        }
    }
}

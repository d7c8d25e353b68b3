//! Layer normalization: sums of eight values at a time, results four at a time.

use core::arch::asm;

use crate::ops::LayerNorm;
use crate::tensor::{Values, ValuesMut};

/// The rows of one kind of input and output. `$eight` loads eight values of 16 bits from r0, `$four` four
/// of 32, `$store` writes four to r1.
macro_rules! rows {
    ($op:expr, $input:expr, $output:expr, $eight:literal, $four:literal, $store:literal, $least:expr, $most:expr) => {{
        let op: &LayerNorm<'_> = $op;
        let n = op.gains.len();
        for (x, y) in $input.chunks_exact(n).zip($output.chunks_exact_mut(n)) {
            let (mut sum, mut low, mut high) = (0i32, 0u32, 0u32);
            // SAFETY: reads the values of a row, one at least.
            unsafe {
                asm!(
                    "dlstp.16 lr, {n}",
                    "2:",
                    $eight,
                    "vaddva.s16 r2, q0",
                    "vmlaldava.s16 r4, r5, q0, q0",
                    "letp lr, 2b",
                    n = in(reg) n, inout("r0") x.as_ptr() => _,
                    inout("r2") sum, inout("r4") low, inout("r5") high,
                    out("lr") _, out("q0") _,
                    options(nostack)
                );
            }
            let root = op.root(sum, u64::from(high) << 32 | u64::from(low));
            let (factor, [left, right]) = (root.factor, shifts(root.shift, n));
            // SAFETY: reads values, gains and biases of a row and writes as many results.
            unsafe {
                asm!(
                    "vdup.32 q2, {least}",
                    "vdup.32 q3, lr",
                    "dlstp.32 lr, {n}",
                    "2:",
                    $four,
                    "vmul.i32 q0, q0, {n}",
                    "vsub.i32 q0, q0, {sum}",
                    "vshl.s32 q0, {left}",
                    "vldrw.32 q1, [{gains}], #16",
                    "vqdmulh.s32 q0, q0, {factor}",
                    "vrshl.s32 q0, {right}",
                    "vmulh.s32 q0, q0, q1",
                    "vldrw.32 q1, [{bias}], #16",
                    "vadd.i32 q0, q0, q1",
                    "vshl.s32 q0, {last}",
                    "vmax.s32 q0, q0, q2",
                    "vmin.s32 q0, q0, q3",
                    $store,
                    "letp lr, 2b",
                    n = in(reg) n, inout("r0") x.as_ptr() => _, inout("r1") y.as_mut_ptr() => _, sum = in(reg) sum,
                    gains = inout(reg) op.gains.as_ptr() => _, bias = inout(reg) op.bias.as_ptr() => _,
                    left = in(reg) left, factor = in(reg) factor, right = in(reg) right,
                    least = in(reg) i32::from($least), last = in(reg) -i32::from(op.right),
                    // All other registers are taken.
                    inout("lr") i32::from($most) => _,
                    out("q0") _, out("q1") _, out("q2") _, out("q3") _,
                    options(nostack)
                );
            }
        }
    }};
}

/// A shift to the left of deviations, and one of their upper words to the right, negative, that together are a right shift by `shift` of
/// their products with the root's factor.
///
/// `VQDMULH` leaves 31 bits out, `shift` is 41 less the halvings `k` of the root, which may be fewer. A deviation is at most the root of `n`
/// times that of the variance, which is below `2^(31-k)`. So with a `c` such that `n` is at most `4^c` there is room for `k - c` bits.
fn shifts(shift: u32, n: usize) -> [i32; 2] {
    let k = 41 - shift as i32;
    let c = n.next_power_of_two().trailing_zeros().div_ceil(2) as i32;
    let left = (k - c).max(0);
    [left, k - left - 10]
}

/// See [`crate::kernels::Kernels::layer_norm`].
pub(super) fn layer_norm(op: &LayerNorm<'_>, input: Values<'_>, output: ValuesMut<'_>) {
    if !op.fits(input.len(), output.len()) {
        return;
    }
    match (input, output) {
        (Values::Int8(x), ValuesMut::Int8(y)) => {
            rows!(
                op,
                x,
                y,
                "vldrb.s16 q0, [r0], #8",
                "vldrb.s32 q0, [r0], #4",
                "vstrb.32 q0, [r1], #4",
                i8::MIN,
                i8::MAX
            );
        }
        (Values::Int8(x), ValuesMut::Int16(y)) => {
            rows!(
                op,
                x,
                y,
                "vldrb.s16 q0, [r0], #8",
                "vldrb.s32 q0, [r0], #4",
                "vstrh.32 q0, [r1], #8",
                -i16::MAX,
                i16::MAX
            );
        }
        (Values::Int16(x), ValuesMut::Int8(y)) => {
            rows!(
                op,
                x,
                y,
                "vldrh.16 q0, [r0], #16",
                "vldrh.s32 q0, [r0], #8",
                "vstrb.32 q0, [r1], #4",
                i8::MIN,
                i8::MAX
            );
        }
        (Values::Int16(x), ValuesMut::Int16(y)) => {
            rows!(
                op,
                x,
                y,
                "vldrh.16 q0, [r0], #16",
                "vldrh.s32 q0, [r0], #8",
                "vstrh.32 q0, [r1], #8",
                -i16::MAX,
                i16::MAX
            );
        }
    }
}

//! A panel of eight output channels: its weights, and what becomes of its sums.

use core::arch::aarch64::*;

use super::requantize::{Range, Rescale, Sum, load, numbers, store};
use super::tile::{PANEL, Pair, Tile};
use crate::kernels::sweep::Taps;
use crate::ops::{Add, Conv2d};

/// In place of the parameters of no sum.
const NO_SUM: Add = Add { multipliers: [0; 2], bias: 0, shift: 0, lo: 0, hi: 0 };

/// What all tiles with a panel share; all that belongs to channels in the order of the tile's sums.
pub(super) struct Panel<'a, T> {
    pub(super) taps: &'a Taps,
    pub(super) weights: &'a [i8],
    pub(super) bias: Pair,
    multiplier: Pair,
    /// Negative, which shifts to the right.
    right: Pair,
    left: Pair,
    shifts_left: bool,
    range: Range,
    /// Without meaning if there is no residual.
    residual: Sum,
    /// Channels in an output pixel, the first of this panel, and how many this panel makes.
    pub(super) channels: usize,
    first: usize,
    len: usize,
    tile: core::marker::PhantomData<T>,
}

impl<'a, T: Tile> Panel<'a, T> {
    /// Panel number `panel`.
    #[target_feature(enable = "neon")]
    pub(super) fn new(op: &Conv2d<'a>, taps: &'a Taps, panel: usize) -> Self {
        let first = panel * PANEL;
        let rescale = Rescale::eight(&op.channels.multiplier[first..], &op.channels.shift[first..]);
        // SAFETY: the table is given out only if the CPU has the instruction set (`available`).
        let spread = |eight| unsafe { T::spread(eight) };
        Panel {
            taps,
            weights: &op.weights[panel * taps.panel()..][..taps.panel()],
            bias: spread(numbers(&op.channels.bias[first..])),
            multiplier: spread(rescale.multiplier),
            right: spread(rescale.right),
            left: spread(rescale.left),
            shifts_left: rescale.shifts_left,
            range: Range::new(op.range),
            residual: Sum::new(&op.residual.unwrap_or(NO_SUM)),
            channels: op.output.channels,
            first,
            len: PANEL.min(op.output.channels - first),
            tile: core::marker::PhantomData,
        }
    }

    /// Stores the sums of so many pairs of pixels, or of as many as `output` has room for. `ADD` says whether there is a residual.
    // Always a part of its caller, or all sums would go through memory.
    #[inline(always)]
    pub(super) fn store<const N: usize, const ADD: bool>(&self, mut sums: [Pair; N], output: &mut [i8]) {
        // SAFETY: the table is given out only if the CPU has the instruction set (`available`); a whole panel is eight of the channels
        // of each pixel.
        unsafe {
            if self.shifts_left {
                for sums in &mut sums {
                    for (sum, &left) in sums.iter_mut().zip(&self.left) {
                        *sum = vshlq_s32(*sum, left);
                    }
                }
            }
            if self.len < PANEL || output.len() < 2 * N * self.channels {
                return self.store_part::<N, ADD>(sums, output);
            }
            let mut out = output.as_mut_ptr().wrapping_add(self.first);
            for sums in sums {
                let next = out.wrapping_add(self.channels);
                let values = self.finish::<ADD>(sums, || vcombine_s8(vld1_s8(out), vld1_s8(next)));
                vst1_s8(out, vget_low_s8(values));
                vst1_s8(next, vget_high_s8(values));
                out = next.wrapping_add(self.channels);
            }
        }
    }

    /// The same for a panel that has fewer than eight channels, or for fewer pixels. Sums are shifted to the left already.
    #[inline(never)]
    #[target_feature(enable = "neon")]
    fn store_part<const N: usize, const ADD: bool>(&self, sums: [Pair; N], output: &mut [i8]) {
        let channels = self.first..self.first + self.len;
        for (pixels, sums) in output.chunks_mut(2 * self.channels).zip(sums) {
            let held = |pixel| {
                load(pixels.chunks_exact(self.channels).nth(pixel).map_or(&[], |pixel| &pixel[channels.clone()]))
            };
            let values = self.finish::<ADD>(sums, || vcombine_s8(held(0), held(1)));
            let values = [vget_low_s8(values), vget_high_s8(values)];
            for (pixel, values) in pixels.chunks_exact_mut(self.channels).zip(values) {
                store(&mut pixel[channels.clone()], values);
            }
        }
    }

    /// Bytes of the sums of two pixels, shifted to the left already; `held` loads the residual.
    #[inline(always)]
    fn finish<const ADD: bool>(&self, mut sums: Pair, held: impl Fn() -> int8x16_t) -> int8x16_t {
        // SAFETY: the table is given out only if the CPU has the instruction set (`available`).
        unsafe {
            for ((sum, &multiplier), &right) in sums.iter_mut().zip(&self.multiplier).zip(&self.right) {
                *sum = vrshlq_s32(vqdmulhq_s32(*sum, multiplier), right);
            }
            let own = T::order(self.range.pack_two(sums));
            if ADD { self.residual.apply_two(own, held()) } else { own }
        }
    }
}

//! Gathers what an output pixel sees into a column of 16-bit values, in the order of the packed weights.

use core::marker::PhantomData;

use super::insn::{even_bytes, odd_bytes};
use crate::ops::Conv2d;

/// A column that is being filled. The columns of the `P` pixels of a tile lie word by word beside each other, so that one
/// load brings the same two values of every pixel.
///
/// Four values are two words: elements 0 and 2, then 1 and 3.
pub(super) struct Column<'a, const P: usize> {
    /// Where the next word goes.
    next: *mut u32,
    /// Groups of four values that still fit.
    left: usize,
    words: PhantomData<&'a mut [u32]>,
}

impl<'a, const P: usize> Column<'a, P> {
    /// Column number `pixel`, below `P`, of those in `words`.
    pub(super) fn new(words: &'a mut [u32], pixel: usize) -> Self {
        let left = if pixel < P { words.len() / (2 * P) } else { 0 };
        Column { next: words.as_mut_ptr().wrapping_add(pixel), left, words: PhantomData }
    }

    /// Appends values, a whole number of groups; more than fit are left out.
    #[inline(always)]
    fn widen(&mut self, values: &[i8]) {
        let groups = (values.len() / 4).min(self.left);
        let values = values.as_ptr().cast::<u32>();
        for i in 0..groups {
            // SAFETY: `i` is below the number of whole words of `values`; the core loads unaligned words.
            let four = unsafe { values.add(i).read_unaligned() };
            self.push(even_bytes(four), odd_bytes(four));
        }
        self.left -= groups;
    }

    /// Appends the first `len` of four values, and zeros.
    fn widen_part(&mut self, four: [i8; 4], len: usize) {
        let bytes = core::array::from_fn(|i| if i < len { four[i] as u8 } else { 0 });
        let word = u32::from_le_bytes(bytes);
        if self.left > 0 {
            self.push(even_bytes(word), odd_bytes(word));
            self.left -= 1;
        }
    }

    /// Appends groups of four equal values; more than fit are left out.
    #[inline(always)]
    fn fill(&mut self, value: i8, groups: usize) {
        let groups = groups.min(self.left);
        let word = even_bytes(value as u8 as u32 * 0x0001_0001);
        for _ in 0..groups {
            self.push(word, word);
        }
        self.left -= groups;
    }

    /// Writes a group; the caller has seen that one fits, and counts it.
    #[inline(always)]
    fn push(&mut self, even: u32, odd: u32) {
        // SAFETY: group `g` of column `p` is words `2gP + p` and `(2g + 1)P + p`, which exist where `left` says that `g` fits.
        unsafe {
            self.next.write(even);
            self.next.add(P).write(odd);
        }
        self.next = self.next.wrapping_add(2 * P);
    }
}

/// Fills `column` with what output pixel (`y`, `x`) sees. `row` has room for a kernel row, padded to whole groups.
pub(super) fn gather<const P: usize>(
    op: &Conv2d<'_>,
    input: &[i8],
    [y, x]: [usize; 2],
    row: &mut [i8],
    mut column: Column<'_, P>,
) {
    let channels = op.input.channels;
    let rows = op.window.inside(0, y, op.input.height);
    let taps = op.window.inside(1, x, op.input.width);
    let whole_groups = channels % 4 == 0 && op.window.dilation[1] == 1;
    for ky in 0..op.window.kernel[0] {
        let inside = rows.contains(&ky) && !taps.is_empty();
        let line = op.window.read(0, y, ky).wrapping_mul(op.input.width);
        let first = line.wrapping_add(op.window.read(1, x, taps.start)).wrapping_mul(channels);
        if whole_groups && inside {
            column.fill(op.input_zero, taps.start * channels / 4);
            column.widen(&input[first..][..taps.len() * channels]);
            column.fill(op.input_zero, (op.window.kernel[1] - taps.end) * channels / 4);
        } else if whole_groups {
            column.fill(op.input_zero, op.row_len() / 4);
        } else if inside && taps.len() == op.window.kernel[1] && op.window.dilation[1] == 1 {
            let (groups, rest) = input[first..][..op.row_len()].as_chunks::<4>();
            column.widen(groups.as_flattened());
            if !rest.is_empty() {
                column.widen_part(core::array::from_fn(|i| rest.get(i).copied().unwrap_or(0)), rest.len());
            }
        } else {
            let (values, padding) = row.split_at_mut(op.row_len());
            padding.fill(0);
            for (kx, pixel) in values.chunks_exact_mut(channels).enumerate() {
                if inside && taps.contains(&kx) {
                    let at = (line + op.window.read(1, x, kx)) * channels;
                    pixel.copy_from_slice(&input[at..][..channels]);
                } else {
                    pixel.fill(op.input_zero);
                }
            }
            column.widen(row);
        }
    }
}

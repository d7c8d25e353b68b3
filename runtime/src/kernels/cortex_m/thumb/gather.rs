//! Gathers what the output pixels of a tile see into columns of words, two pixels in each.

use core::arch::asm;

use super::super::thumb_plan::{THUMB_LAYOUT, TILE};
use crate::ops::Conv2d;

/// Where an output pixel looks.
#[derive(Clone, Copy, Default)]
struct Place {
    /// The image's row and column under the first tap, which may lie outside.
    y: isize,
    x: isize,
    /// The first value under it, if it is inside.
    first: isize,
    /// Whether a kernel row is one run of values inside the image from left to right.
    inside: bool,
}

/// Gathers for one convolution.
pub(super) struct Gather<'a> {
    op: &'a Conv2d<'a>,
    input: &'a [i8],
    /// A kernel row of padding.
    padding: &'a [i8],
    /// Room to put together a kernel row of each pixel.
    rows: &'a mut [i8],
    /// Bytes of a kernel row, with and without what fills up its last group.
    row: usize,
    row_len: usize,
}

impl<'a> Gather<'a> {
    /// `rows` is room for a kernel row of padding and one for each pixel, or none where no window reaches outside.
    pub(super) fn new(op: &'a Conv2d<'a>, input: &'a [i8], rows: &'a mut [i8]) -> Self {
        let row = THUMB_LAYOUT.padded_row(op.row_len());
        rows.fill(op.input_zero);
        let (padding, rows) = rows.split_at_mut(row.min(rows.len()));
        Gather { op, input, padding, rows, row, row_len: op.row_len() }
    }

    /// The columns of `count` output pixels from `next` on, which moves behind them. Where they are fewer than six, the last is repeated.
    #[inline(never)]
    pub(super) fn tile(&mut self, next: &mut [usize; 2], count: usize, columns: &mut [i32]) {
        let mut places = [Place::default(); TILE];
        for (p, place) in places.iter_mut().enumerate() {
            *place = self.place(*next);
            if p + 1 < count {
                self.step(next);
            }
        }
        self.step(next);
        let (down, pitch) = (self.op.window.dilation[0], self.op.input.width * self.op.input.channels);
        for to in columns.chunks_exact_mut(TILE / 2 * self.row) {
            for pair in 0..TILE / 2 {
                let [first, second] = [2 * pair, 2 * pair + 1].map(|p| self.kernel_row(&places[p], p));
                // SAFETY: a kernel row is at both addresses, and its words are there, of this pair and those behind it.
                unsafe { interleave(first, second, self.row_len, &mut to[2 * pair..]) };
            }
            for place in &mut places {
                place.y += down as isize;
                place.first += (down * pitch) as isize;
            }
        }
    }

    /// The one kernel row of an output pixel whose window has one tap.
    pub(super) fn values(&self, at: [usize; 2]) -> &'a [i8] {
        &self.input[self.place(at).first as usize..][..self.row_len]
    }

    /// On to the next output pixel.
    fn step(&self, [y, x]: &mut [usize; 2]) {
        *x += 1;
        if *x == self.op.output.width {
            (*y, *x) = (*y + 1, 0);
        }
    }

    #[inline(always)]
    fn place(&self, at: [usize; 2]) -> Place {
        let Conv2d { window, input, .. } = self.op;
        let [y, x] = [0, 1].map(|axis| (at[axis] * window.stride[axis]) as isize - window.pad[axis] as isize);
        let dense = window.dilation[1] == 1 || window.kernel[1] == 1;
        Place {
            y,
            x,
            first: (y * input.width as isize + x) * input.channels as isize,
            inside: dense && x >= 0 && x as usize + window.kernel[1] <= input.width,
        }
    }

    /// Where the kernel row at a place lies as one run; pixel number `p` of a tile.
    #[inline(always)]
    fn kernel_row(&mut self, place: &Place, p: usize) -> *const i8 {
        // Above the image the number is negative, so large when taken as unsigned.
        if place.y as usize >= self.op.input.height {
            self.padding.as_ptr()
        } else if place.inside {
            self.input.as_ptr().wrapping_offset(place.first)
        } else {
            self.put_together(place, p)
        }
    }

    /// A kernel row that is partly outside, or of taps apart.
    #[inline(never)]
    fn put_together(&mut self, place: &Place, p: usize) -> *const i8 {
        let Conv2d { window, input, .. } = self.op;
        let row = &mut self.rows[p * self.row..][..self.row_len];
        row.copy_from_slice(&self.padding[..self.row_len]);
        for (kx, to) in row.chunks_exact_mut(input.channels).enumerate() {
            let x = place.x + (kx * window.dilation[1]) as isize;
            if (x as usize) < input.width {
                let first = (place.y as usize * input.width + x as usize) * input.channels;
                to.copy_from_slice(&self.input[first..][..input.channels]);
            }
        }
        row.as_ptr()
    }
}

/// Puts two pixels' values into words, two of every six. What fills up the last group is multiplied by zero.
///
/// # Safety
/// There are `n` values at both addresses.
#[inline(always)]
unsafe fn interleave(first: *const i8, second: *const i8, n: usize, words: &mut [i32]) {
    let groups = n / 2;
    assert!(words.len() + TILE - 2 >= n.div_ceil(2) * TILE);
    // SAFETY: the caller's; there are six words for each group but the last, which needs two.
    unsafe {
        if groups > 0 {
            interleave_pairs(first, second, groups, words.as_mut_ptr());
        }
        if n % 2 == 1 {
            words[groups * TILE] = i32::from(first.add(n - 1).read()) + (i32::from(second.add(n - 1).read()) << 16);
            words[groups * TILE + 1] = 0;
        }
    }
}

/// Two values of each pixel in 14 instructions.
///
/// # Safety
/// There are twice `groups` values, which are not 0, at both addresses, and two of every six words at `words`.
#[cfg(not(target_has_atomic = "32"))]
#[inline(always)]
unsafe fn interleave_pairs(first: *const i8, second: *const i8, groups: usize, words: *mut i32) {
    // SAFETY: reads and writes what the caller says is there.
    unsafe {
        asm!(
            "2:",
            "ldrsb {a}, [{first}, {i}]",
            "ldrsb {b}, [{second}, {i}]",
            "lsls {b}, {b}, #16",
            "adds {a}, {a}, {b}",
            "str {a}, [{words}]",
            "adds {i}, {i}, #1",
            "ldrsb {a}, [{first}, {i}]",
            "ldrsb {b}, [{second}, {i}]",
            "lsls {b}, {b}, #16",
            "adds {a}, {a}, {b}",
            "str {a}, [{words}, #4]",
            "adds {words}, {words}, #24",
            "adds {i}, {i}, #1",
            "bne 2b",
            // Counted up to 0 from behind.
            first = in(reg) first.wrapping_add(2 * groups), second = in(reg) second.wrapping_add(2 * groups),
            i = inout(reg) (2 * groups).wrapping_neg() => _, words = inout(reg) words => _,
            a = out(reg) _, b = out(reg) _,
            options(nostack)
        );
    }
}

/// Two values of each pixel in nine instructions.
///
/// # Safety
/// There are twice `groups` values, which are not 0, at both addresses, and two of every six words at `words`.
#[cfg(target_has_atomic = "32")]
#[inline(always)]
unsafe fn interleave_pairs(first: *const i8, second: *const i8, groups: usize, words: *mut i32) {
    // SAFETY: reads and writes what the caller says is there.
    unsafe {
        asm!(
            "2:",
            "ldrsb {a}, [{first}], #1",
            "ldrsb {b}, [{second}], #1",
            "ldrsb {c}, [{first}], #1",
            "ldrsb {d}, [{second}], #1",
            "add {a}, {a}, {b}, lsl #16",
            "add {c}, {c}, {d}, lsl #16",
            "strd {a}, {c}, [{words}], #24",
            "subs {n}, {n}, #1",
            "bne 2b",
            first = inout(reg) first => _, second = inout(reg) second => _, n = inout(reg) groups => _,
            words = inout(reg) words => _, a = out(reg) _, b = out(reg) _, c = out(reg) _, d = out(reg) _,
            options(nostack)
        );
    }
}

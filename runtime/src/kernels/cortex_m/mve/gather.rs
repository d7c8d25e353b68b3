//! Gathers what the output pixels of a tile see into columns, a vector of each pixel by turns.

use core::arch::asm;
use core::array::from_fn;

use super::super::mve_plan::{MVE_LAYOUT, TILE};
use crate::kernels::cast;
use crate::ops::Conv2d;
use crate::tensor::Shape;

/// Where an output pixel looks: the image's row and column under the first tap, which may lie outside.
#[derive(Clone, Copy)]
struct Corner {
    y: isize,
    x: isize,
}

/// Gathers for one convolution.
pub(super) struct Gather<'a> {
    op: &'a Conv2d<'a>,
    input: &'a [i8],
    /// A kernel row of padding.
    padding: &'a [i8],
    /// Room to put together a kernel row of each pixel, or a line for all.
    rows: &'a mut [i8],
    /// Bytes of a kernel row, with and without what fills up its last vector.
    row: usize,
    row_len: usize,
}

impl<'a> Gather<'a> {
    /// `rows` is room for a kernel row of padding and the rest, or none where no window reaches outside.
    pub(super) fn new(op: &'a Conv2d<'a>, input: &'a [i8], rows: &'a mut [i8]) -> Self {
        let row = MVE_LAYOUT.padded_row(op.row_len());
        rows.fill(op.input_zero);
        let (padding, rows) = rows.split_at_mut(row.min(rows.len()));
        Gather { op, input, padding, rows, row, row_len: op.row_len() }
    }

    /// The column of the output pixel `at`. Where that is a run of whole vectors of the image, it is not copied.
    pub(super) fn one<'c>(&'c mut self, at: [usize; 2], columns: &'c mut [u8]) -> &'c [i8] {
        let (row, corner) = (self.row, self.corner(at));
        if self.op.window.kernel[0] == 1 && self.row_len == row && self.is_inside(corner) && !self.is_beside(corner.y) {
            return self.values(corner, row);
        }
        let columns = cast::i8s_mut(columns);
        for (ky, to) in columns.chunks_exact_mut(row).enumerate() {
            let from = self.kernel_row(corner, ky, 0);
            // SAFETY: a kernel row is at `from`, and its destination is not shorter.
            unsafe { copy(from, to.as_mut_ptr(), self.row_len) };
        }
        columns
    }

    /// The columns of `count` output pixels from `next` on, which moves behind them. Where they are fewer than four, the last is
    /// repeated.
    #[inline(always)]
    pub(super) fn four<'c>(&mut self, next: &mut [usize; 2], count: usize, columns: &'c mut [u8]) -> &'c [i8] {
        let width = self.op.output.width;
        let columns = cast::i8s_mut(columns);
        if count == TILE && next[1] + TILE <= width && self.is_dense() {
            self.neighbours(self.corner(*next), columns);
            next[1] += TILE;
            if next[1] == width {
                *next = [next[0] + 1, 0];
            }
        } else {
            self.any(next, count, columns);
        }
        columns
    }

    /// Four pixels side by side: their kernel rows are parts of one line of the image.
    #[inline(always)]
    fn neighbours(&mut self, first: Corner, columns: &mut [i8]) {
        let Conv2d { window, input: Shape { width, channels, .. }, .. } = *self.op;
        let (step, pixels) = (window.stride[1] * channels, 3 * window.stride[1] + window.kernel[1]);
        let inside = first.x >= 0 && first.x as usize + pixels <= width;
        let mut line = first;
        for to in columns.chunks_exact_mut(TILE * self.row) {
            let (values, step) = if self.is_beside(line.y) {
                (self.padding.as_ptr(), 0)
            } else if inside {
                (self.values(line, pixels * channels).as_ptr(), step)
            } else {
                (self.padded(line, pixels), step)
            };
            let from = from_fn(|p| values.wrapping_add(p * step));
            // SAFETY: a kernel row is at each address of `from`, and `to` has room for four of them with their padding.
            unsafe { interleave(from, to.as_mut_ptr(), self.row_len) };
            line.y += window.dilation[0] as isize;
        }
    }

    /// So many pixels of a line that reaches over a side of the image.
    #[inline(always)]
    fn padded(&mut self, line: Corner, pixels: usize) -> *const i8 {
        let Shape { width, channels, .. } = self.op.input;
        let left = (-line.x).max(0) as usize;
        let right = (line.x + pixels as isize - width as isize).max(0) as usize;
        let image = self.values(Corner { x: line.x + left as isize, ..line }, (pixels - left - right) * channels);
        let (before, rest) = self.rows.split_at_mut(left * channels);
        let (middle, after) = rest.split_at_mut(image.len());
        // SAFETY: each is as long as it says; no window has more than a kernel row of padding on a side.
        unsafe {
            copy(self.padding.as_ptr(), before.as_mut_ptr(), before.len());
            copy(image.as_ptr(), middle.as_mut_ptr(), middle.len());
            copy(self.padding.as_ptr(), after.as_mut_ptr(), right * channels);
        }
        self.rows.as_ptr()
    }

    /// Any pixels.
    #[inline(never)]
    fn any(&mut self, next: &mut [usize; 2], count: usize, columns: &mut [i8]) {
        let mut corners = [Corner { y: 0, x: 0 }; TILE];
        for (p, corner) in corners.iter_mut().enumerate() {
            *corner = self.corner(*next);
            if p + 1 < count {
                self.step(next);
            }
        }
        self.step(next);
        for (ky, to) in columns.chunks_exact_mut(TILE * self.row).enumerate() {
            let from = from_fn(|p| self.kernel_row(corners[p], ky, p));
            // SAFETY: as above.
            unsafe { interleave(from, to.as_mut_ptr(), self.row_len) };
        }
    }

    /// On to the next output pixel.
    fn step(&self, [y, x]: &mut [usize; 2]) {
        *x += 1;
        if *x == self.op.output.width {
            (*y, *x) = (*y + 1, 0);
        }
    }

    fn corner(&self, at: [usize; 2]) -> Corner {
        let window = &self.op.window;
        let corner = |axis: usize| (at[axis] * window.stride[axis]) as isize - window.pad[axis] as isize;
        Corner { y: corner(0), x: corner(1) }
    }

    /// Where row `ky` of the kernel, as the pixel with this corner sees it, lies as one run; pixel number `p` of a tile.
    #[inline(always)]
    fn kernel_row(&mut self, corner: Corner, ky: usize, p: usize) -> *const i8 {
        let line = Corner { y: corner.y + (ky * self.op.window.dilation[0]) as isize, ..corner };
        if self.is_beside(line.y) {
            self.padding.as_ptr()
        } else if self.is_inside(line) {
            self.values(line, self.row_len).as_ptr()
        } else {
            self.put_together(line, p)
        }
    }

    /// A kernel row that is partly outside, or of taps apart.
    fn put_together(&mut self, line: Corner, p: usize) -> *const i8 {
        let Conv2d { window, input: Shape { width, channels, .. }, .. } = *self.op;
        let row = &mut self.rows[p * self.row..][..self.row_len];
        // SAFETY: both have a kernel row.
        unsafe { copy(self.padding.as_ptr(), row.as_mut_ptr(), self.row_len) };
        // Taps of the row, and how many of them are one run.
        let inside =
            (0..window.kernel[1]).filter(|&kx| ((line.x + (kx * window.dilation[1]) as isize) as usize) < width);
        let (taps, run) = match window.dilation[1] {
            1 => (inside.clone().take(1), inside.count()),
            _ => (inside.take(usize::MAX), 1),
        };
        for kx in taps {
            let x = line.x + (kx * window.dilation[1]) as isize;
            let from = &self.input[(line.y as usize * width + x as usize) * channels..][..run * channels];
            let to = &mut row[kx * channels..][..run * channels];
            // SAFETY: both have so many values, one at least.
            unsafe { copy(from.as_ptr(), to.as_mut_ptr(), from.len()) };
        }
        row.as_ptr()
    }

    /// Whether a row is above or below the image.
    #[inline(always)]
    fn is_beside(&self, y: isize) -> bool {
        // Above the image the number is negative, so large when taken as unsigned.
        y as usize >= self.op.input.height
    }

    /// Whether all taps of a row are next to each other, and inside the image from left to right.
    #[inline(always)]
    fn is_inside(&self, line: Corner) -> bool {
        self.is_dense() && line.x >= 0 && line.x as usize + self.op.window.kernel[1] <= self.op.input.width
    }

    /// Whether all taps of a row are next to each other.
    #[inline(always)]
    fn is_dense(&self) -> bool {
        self.op.window.dilation[1] == 1 || self.op.window.kernel[1] == 1
    }

    /// So many values of the image from a pixel on; all of them must be inside.
    #[inline(always)]
    fn values(&self, pixel: Corner, n: usize) -> &'a [i8] {
        let shape = self.op.input;
        let first = (pixel.y as usize * shape.width + pixel.x as usize) * shape.channels;
        &self.input[first..][..n]
    }
}

/// Copies `n` bytes.
///
/// # Safety
/// They are at `from`, and there is room for them at `to`.
#[inline(always)]
unsafe fn copy(from: *const i8, to: *mut i8, n: usize) {
    // SAFETY: the loop's last round reads and writes only the bytes that are left.
    unsafe {
        asm!(
            "wlstp.8 lr, {n}, 3f",
            "2:",
            "vldrb.8 q0, [{from}], #16",
            "vstrb.8 q0, [{to}], #16",
            "letp lr, 2b",
            "3:",
            n = in(reg) n, from = inout(reg) from => _, to = inout(reg) to => _,
            out("lr") _, out("q0") _,
            options(nostack)
        );
    }
}

/// Copies `n` bytes, one at least, of each source, sixteen of each by turns.
///
/// # Safety
/// They are at each address of `from`, and there are four times so many, rounded up to whole vectors, at `to`.
#[inline(always)]
unsafe fn interleave(from: [*const i8; 4], to: *mut i8, n: usize) {
    let [a, b, c, d] = from;
    // SAFETY: the loop's last round reads and writes only the bytes that are left of each.
    unsafe {
        asm!(
            "dlstp.8 lr, {n}",
            "2:",
            "vldrb.8 q0, [{a}], #16",
            "vldrb.8 q1, [{b}], #16",
            "vstrb.8 q0, [{to}], #64",
            "vldrb.8 q2, [{c}], #16",
            "vstrb.8 q1, [{to}, #-48]",
            "vldrb.8 q3, [{d}], #16",
            "vstrb.8 q2, [{to}, #-32]",
            "vstrb.8 q3, [{to}, #-16]",
            "letp lr, 2b",
            n = in(reg) n, to = inout(reg) to => _,
            a = inout(reg) a => _, b = inout(reg) b => _, c = inout(reg) c => _, d = inout(reg) d => _,
            out("lr") _, out("q0") _, out("q1") _, out("q2") _, out("q3") _,
            options(nostack)
        );
    }
}

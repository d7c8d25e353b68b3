//! Gathers what the output pixels of a tile see into columns of 16-bit values, in the order of the packed weights.

use core::arch::asm;
use core::array::from_fn;

use super::insn::{even_bytes, odd_bytes};
use crate::ops::Conv2d;

/// The columns of the `P` pixels of a tile, filled from the top. They lie word by word beside each other, so that one load brings
/// the same two values of every pixel.
///
/// Four values, a *group*, are two words: elements 0 and 2, then 1 and 3.
struct Columns<'a, const P: usize>(&'a mut [u32]);

impl<const P: usize> Columns<'_, P> {
    /// Appends the first `groups` groups of a source for each pixel; nothing if they are not there, or do not fit.
    #[inline(always)]
    fn append(&mut self, sources: [&[i8]; P], groups: usize) {
        let words = core::mem::take(&mut self.0);
        let Some((to, rest)) = words.split_at_mut_checked(2 * P * groups) else { return };
        self.0 = rest;
        if groups == 0 || sources.iter().any(|s| s.len() < 4 * groups) {
            return;
        }
        let sources = sources.map(|s| s.as_ptr().cast::<u32>());
        // SAFETY: there is a group at least, every source has all of them, and `to` has 2P words for each.
        unsafe {
            match sources.first_chunk() {
                Some(sources) if P == 3 => widen_three(sources, groups, to.as_mut_ptr()),
                _ => widen_any(sources, groups, to.as_mut_ptr()),
            }
        }
    }
}

/// # Safety
/// Each of `from` has `groups` words at any address, and `to` has `2 * P * groups`.
#[inline(always)]
unsafe fn widen_any<const P: usize>(from: [*const u32; P], groups: usize, to: *mut u32) {
    for group in 0..groups {
        for (p, from) in from.iter().enumerate() {
            // SAFETY: the caller's; the core loads unaligned words.
            unsafe {
                let four = from.add(group).read_unaligned();
                to.add(2 * P * group + p).write(even_bytes(four));
                to.add(2 * P * group + P + p).write(odd_bytes(four));
            }
        }
    }
}

/// Twelve values in twelve instructions.
///
/// # Safety
/// As for [`widen_any`], and `groups` is not 0.
#[inline(always)]
unsafe fn widen_three(from: &[*const u32; 3], groups: usize, to: *mut u32) {
    // SAFETY: reads a word of each source and writes six words for each group.
    unsafe {
        asm!(
            "2:",
            "ldr r4, [r0], #4",
            "ldr r5, [r1], #4",
            "ldr r8, [r2], #4",
            "subs {n}, {n}, #1",
            "sxtb16 r9, r4",
            "sxtb16 r10, r5",
            "sxtb16 r11, r8",
            "sxtb16 r12, r4, ror #8",
            "sxtb16 r5, r5, ror #8",
            "sxtb16 r8, r8, ror #8",
            "stm r3!, {{r9, r10, r11, r12}}",
            "strd r5, r8, [r3], #8",
            "bne 2b",
            n = inout(reg) groups => _,
            inout("r0") from[0] => _, inout("r1") from[1] => _, inout("r2") from[2] => _,
            inout("r3") to => _,
            out("r4") _, out("r5") _, out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _,
            options(nostack)
        );
    }
}

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
    /// Where channels come in whole groups: a kernel row of padding. Else room to put together a kernel row of each pixel of a tile.
    rows: &'a mut [i8],
    /// Taps next to each other are next to each other in memory.
    dense: bool,
}

impl<'a> Gather<'a> {
    /// `rows` is as long as [`row_bytes`] says.
    pub(super) fn new(op: &'a Conv2d<'a>, input: &'a [i8], rows: &'a mut [i8]) -> Self {
        rows.fill(op.input_zero);
        Gather { op, input, rows, dense: op.window.dilation[1] == 1 }
    }

    /// Fills `columns` with what the output pixels `at` see. One copy for all callers: it is long, and called once for a tile.
    #[inline(never)]
    pub(super) fn tile<const P: usize>(&mut self, at: [[usize; 2]; P], columns: &mut [u32]) {
        let op = self.op;
        let corner = |axis: usize, out: usize| (out * op.window.stride[axis]) as isize - op.window.pad[axis] as isize;
        let corners = at.map(|[y, x]| Corner { y: corner(0, y), x: corner(1, x) });
        let mut columns = Columns(columns);
        for ky in 0..op.window.kernel[0] {
            let down = (ky * op.window.dilation[0]) as isize;
            let lines = corners.map(|c| Corner { y: c.y + down, ..c });
            if op.input.channels.is_multiple_of(4) {
                self.whole_groups(lines, &mut columns);
            } else {
                self.parts_of_groups(lines, &mut columns);
            }
        }
    }

    /// A kernel row where every pixel of the image is whole groups: nothing needs to be copied first.
    #[inline(always)]
    fn whole_groups<const P: usize>(&self, lines: [Corner; P], columns: &mut Columns<'_, P>) {
        let (op, channels) = (self.op, self.op.input.channels);
        if lines.iter().all(|&line| self.is_above_or_below(line) || self.is_inside(line)) {
            let source = |line| if self.is_above_or_below(line) { &*self.rows } else { self.values(line) };
            columns.append(lines.map(source), op.row_len() / 4);
            return;
        }
        for kx in 0..op.window.kernel[1] {
            let right = (kx * op.window.dilation[1]) as isize;
            let source = |line: Corner| {
                let tap = Corner { x: line.x + right, ..line };
                let outside = self.is_above_or_below(tap) || tap.x as usize >= op.input.width;
                if outside { &*self.rows } else { self.values(tap) }
            };
            columns.append(lines.map(source), channels / 4);
        }
    }

    /// A kernel row where groups cross pixels. What lies behind the row in the last group is multiplied by zero.
    #[inline(always)]
    fn parts_of_groups<const P: usize>(&mut self, lines: [Corner; P], columns: &mut Columns<'_, P>) {
        let (op, channels) = (self.op, self.op.input.channels);
        let row_bytes = self.rows.len() / super::TILE;
        let whole = |this: &Self, line| {
            !this.is_above_or_below(line) && this.is_inside(line) && this.values(line).len() >= row_bytes
        };
        for (p, &line) in lines.iter().enumerate() {
            if whole(self, line) {
                continue;
            }
            for kx in 0..op.window.kernel[1] {
                let tap = Corner { x: line.x + (kx * op.window.dilation[1]) as isize, ..line };
                let outside = self.is_above_or_below(tap) || tap.x as usize >= op.input.width;
                for c in 0..channels {
                    let value = if outside { op.input_zero } else { self.values(tap)[c] };
                    self.rows[p * row_bytes + kx * channels + c] = value;
                }
            }
        }
        let source = |p: usize| match lines[p] {
            line if whole(self, line) => self.values(line),
            _ => &self.rows[p * row_bytes..],
        };
        columns.append(from_fn(source), row_bytes / 4);
    }

    #[inline(always)]
    fn is_above_or_below(&self, line: Corner) -> bool {
        // Above the image the number is negative, so large when taken as unsigned.
        line.y as usize >= self.op.input.height
    }

    /// Whether all taps of the row are next to each other, and inside the image from left to right.
    #[inline(always)]
    fn is_inside(&self, line: Corner) -> bool {
        self.dense && line.x >= 0 && line.x as usize + self.op.window.kernel[1] <= self.op.input.width
    }

    /// The image from that pixel on, which must be inside.
    #[inline(always)]
    fn values(&self, pixel: Corner) -> &[i8] {
        let Conv2d { input: shape, .. } = self.op;
        let first = (pixel.y as usize * shape.width + pixel.x as usize) * shape.channels;
        self.input.get(first..).unwrap_or(&[])
    }
}

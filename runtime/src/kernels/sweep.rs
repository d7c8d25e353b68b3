//! Where the products of a convolution lie in a band, and how a kernel goes from pixel to pixel.

use crate::kernels::band::Band;
use crate::ops::Conv2d;

/// The products of one output pixel: `rows * runs` runs of neighbouring values, in groups as long as the layout's; steps in bytes.
#[derive(Clone, Copy)]
pub(super) struct Taps {
    pub(super) rows: usize,
    pub(super) row_step: usize,
    /// Runs in a kernel row: one, or one for each tap if taps do not touch.
    pub(super) runs: usize,
    pub(super) run_step: usize,
    pub(super) groups: usize,
    /// Bytes of a group of values, and of one of weights.
    pub(super) group: usize,
    pub(super) weights: usize,
}

impl Taps {
    /// For values of `size` bytes; `None` if the products of a group would not be those of neighbouring values, or weights are missing.
    pub(super) fn new(op: &Conv2d<'_>, band: &Band, size: usize) -> Option<Taps> {
        let [rows, columns] = op.window.kernel;
        let (channels, k) = (op.input.channels, op.layout.k as usize);
        let (runs, len) = match op.window.dilation[1] {
            dilation if dilation == 1 || columns == 1 => (1, op.row_len()),
            _ if channels.is_multiple_of(k) => (columns, channels),
            _ => return None,
        };
        let taps = Taps {
            rows,
            row_step: op.window.dilation[0] * band.row() * size,
            runs,
            run_step: op.window.dilation[1] * channels * size,
            groups: len.div_ceil(k),
            group: k * size,
            weights: op.layout.group(),
        };
        let channels = op.layout.padded_channels(op.output.channels);
        let panels = channels / op.layout.n as usize;
        (panels * taps.panel() <= op.weights.len() && op.channels.covers(channels)).then_some(taps)
    }

    /// Bytes of a panel of weights.
    pub(super) const fn panel(&self) -> usize {
        self.rows * self.runs * self.groups * self.weights
    }

    /// Bytes from a pixel's first value to the end of its last group.
    pub(super) const fn reach(&self) -> usize {
        (self.rows - 1) * self.row_step + (self.runs - 1) * self.run_step + self.groups * self.group
    }
}

/// The offsets in a band of the pixels that a run of outputs begins with, in the order of the outputs.
#[derive(Clone, Copy)]
pub(super) struct Pixels {
    at: usize,
    /// The offset before.
    last: usize,
    column: usize,
    columns: usize,
    /// Bytes to the next pixel, and on from there to the first of the next row.
    step: usize,
    wrap: usize,
}

impl Pixels {
    /// For `count` outputs, `columns` in a row, of a band of `len` bytes, values of `size` bytes.
    ///
    /// If there is a result, then each of the first `count` offsets has `reach` bytes of the band after it.
    pub(super) fn new(
        band: &Band,
        size: usize,
        columns: usize,
        count: usize,
        reach: usize,
        len: usize,
    ) -> Option<Pixels> {
        let [row, step] = [band.step[0] * band.row() * size, band.step[1] * band.pixel * size];
        let last = (count.checked_sub(1)? / columns) * row + (columns - 1) * step;
        let wrap = row.wrapping_sub(columns * step);
        (last + reach <= len).then_some(Pixels { at: 0, last: 0, column: 0, columns, step, wrap })
    }

    /// The offsets of the next `N` pixels; if only `count` (1 or more) are left, the last is repeated.
    #[inline(always)]
    pub(super) fn next<const N: usize>(&mut self, count: usize) -> [usize; N] {
        let mut offsets = [self.at; N];
        if count >= N && self.columns - self.column > N {
            // All in one row, and the next one too.
            for (i, offset) in offsets.iter_mut().enumerate() {
                *offset += i * self.step;
            }
            self.last = offsets[N - 1];
            self.column += N;
            self.at += N * self.step;
            return offsets;
        }
        for (i, offset) in offsets.iter_mut().enumerate() {
            if i < count {
                self.last = self.at;
                self.column += 1;
                self.at += self.step;
                if self.column == self.columns {
                    self.column = 0;
                    self.at = self.at.wrapping_add(self.wrap);
                }
            }
            *offset = self.last;
        }
        offsets
    }
}

//! An output pixel, and what lies under its window.

use core::ops::Range;

use crate::ops::Window;
use crate::tensor::Shape;

/// An output pixel, and the taps of its window that lie inside the image.
pub(super) struct Place {
    y: usize,
    x: usize,
    /// Kernel rows inside.
    pub(super) rows: Range<usize>,
    /// Kernel columns inside.
    pub(super) columns: Range<usize>,
}

impl Place {
    /// The pixel `[y, x]` of an output.
    pub(super) fn new(window: &Window, input: Shape, [y, x]: [usize; 2]) -> Self {
        let (rows, columns) = (window.inside(0, y, input.height), window.inside(1, x, input.width));
        // A dilated window may miss the image in one direction: then there is nothing in the other either.
        let missed = rows.is_empty() || columns.is_empty();
        let (rows, columns) = if missed { (0..0, 0..0) } else { (rows, columns) };
        Place { y, x, rows, columns }
    }

    /// Whether a tap lies inside.
    pub(super) fn holds(&self, ky: usize, kx: usize) -> bool {
        self.rows.contains(&ky) && self.columns.contains(&kx)
    }

    /// Whether all taps lie inside.
    pub(super) fn is_full(&self, window: &Window) -> bool {
        self.rows.len() == window.kernel[0] && self.columns.len() == window.kernel[1]
    }

    /// Where the channels of the pixel under a tap inside the image begin.
    pub(super) fn read(&self, window: &Window, input: Shape, ky: usize, kx: usize) -> usize {
        (window.read(0, self.y, ky) * input.width + window.read(1, self.x, kx)) * input.channels
    }
}

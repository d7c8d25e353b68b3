//! Bands: rows of an image copied to scratch with their padding written out, so that all taps of a window are plain addresses.

use crate::ops::{Conv2d, Depthwise, Window};
use crate::tensor::Shape;

/// Values that a band may have before an image is cut into several: with its weights it should stay in the fast caches.
const VALUES: usize = 32 * 1024;

/// The same where products are so fast that reading the weights once for each band takes as long.
const MANY_VALUES: usize = 4 * VALUES;

/// Bytes after a band that a kernel may read: its last loads are longer than the last pixel.
const SLACK: usize = 64;

/// The rows of an image that neighbouring output rows read.
///
/// Where windows have one row, those between them are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Band {
    /// Output rows that one band serves; the last band may serve fewer.
    pub(super) outputs: usize,
    /// Rows of the band.
    pub(super) rows: usize,
    /// Pixels in a row.
    pub(super) columns: usize,
    /// Values in a pixel.
    pub(super) pixel: usize,
    /// Rows and columns of the band from one output to the next.
    pub(super) step: [usize; 2],
    /// Rows of the image from one of the band to the next.
    pub(super) skip: usize,
}

impl Band {
    /// For pixels of `pixel` values under `window`, with `values` at most if a row has not more.
    fn new(window: &Window, output: Shape, pixel: usize, values: usize) -> Band {
        let (rows, skip) = if window.kernel[0] == 1 { (1, window.stride[0]) } else { (window.stride[0], 1) };
        let step = [rows, window.stride[1]];
        // Rows or columns that `outputs` outputs read.
        let extent = |axis: usize, outputs: usize| {
            let reach = window.kernel[axis].saturating_sub(1).saturating_mul(window.dilation[axis]);
            outputs.saturating_sub(1).saturating_mul(step[axis]).saturating_add(reach).saturating_add(1)
        };
        let columns = extent(1, output.width);
        let row = columns.saturating_mul(pixel).max(1);
        let spare = (values / row).saturating_sub(extent(0, 1));
        let most = 1 + spare.checked_div(step[0]).unwrap_or(0);
        // As few bands as possible, of equal heights.
        let outputs = output.height.div_ceil(output.height.div_ceil(most).max(1));
        Band { outputs, rows: extent(0, outputs), columns, pixel, step, skip }
    }

    /// Of a convolution.
    pub(super) fn of_conv2d(op: &Conv2d<'_>) -> Band {
        Band::new(&op.window, op.output, op.input.channels, VALUES)
    }

    /// Of a convolution in tiles.
    pub(super) fn of_tiles(op: &Conv2d<'_>) -> Band {
        Band::new(&op.window, op.output, op.input.channels, MANY_VALUES)
    }

    /// Of a depthwise convolution: an input channel that serves several outputs is repeated.
    pub(super) fn of_depthwise(op: &Depthwise<'_>) -> Band {
        Band::new(&op.window, op.output, op.output.channels, VALUES)
    }

    /// Values in a row.
    pub(super) const fn row(&self) -> usize {
        self.columns.saturating_mul(self.pixel)
    }

    /// Scratch for values of `size` bytes.
    pub(super) const fn bytes(&self, size: usize) -> usize {
        self.rows.saturating_mul(self.row()).saturating_mul(size).saturating_add(SLACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_hold_what_their_outputs_read() {
        // (window, output, values in a pixel) -> (outputs, rows, columns)
        let rows = [
            (Window::square(3, 1, 1), Shape::new(32, 32, 16), 16, (32, 34, 34)),
            (Window::square(3, 2, 1), Shape::new(16, 16, 32), 16, (16, 33, 33)),
            (Window::square(1, 2, 0), Shape::new(16, 16, 32), 16, (16, 16, 31)),
            (Window::UNIT, Shape::new(1, 1, 10), 64, (1, 1, 1)),
            // 3,712 values a row: eight rows fit, so 56 rows need ten bands of six.
            (Window::square(3, 1, 1), Shape::new(56, 56, 64), 64, (6, 8, 58)),
            // A row that does not fit is a band all the same.
            (Window::square(3, 1, 1), Shape::new(9, 9, 8), 8192, (1, 3, 11)),
        ];
        for (window, output, pixel, (outputs, rows, columns)) in rows {
            let band = Band::new(&window, output, pixel, VALUES);
            assert_eq!((band.outputs, band.rows, band.columns), (outputs, rows, columns), "{window:?} {output:?}");
        }
        assert_eq!(
            Band::new(&Window::square(3, 1, 1), Shape::new(32, 32, 16), 16, VALUES).bytes(2),
            34 * 34 * 16 * 2 + 64
        );
    }

    #[test]
    fn sizes_that_no_memory_has_do_not_overflow() {
        let huge = Shape::new(usize::MAX, usize::MAX, 1);
        let window = Window { kernel: [usize::MAX; 2], stride: [usize::MAX; 2], dilation: [2; 2], pad: [0; 2] };
        assert_eq!(Band::new(&window, huge, usize::MAX, VALUES).bytes(2), usize::MAX);
        let nothing = Window { kernel: [0; 2], stride: [0; 2], dilation: [0; 2], pad: [0; 2] };
        assert_eq!(Band::new(&nothing, Shape::new(0, 0, 0), 0, VALUES).bytes(1), 64);
    }
}

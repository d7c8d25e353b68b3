//! What lies under the windows of a pool: some channels at a time of the pixels that a window covers.

use core::iter::StepBy;
use core::ops::Range;

use crate::ops::MaxPool;

/// The rows and columns of the image under a window.
pub(super) struct Under {
    rows: StepBy<Range<usize>>,
    columns: StepBy<Range<usize>>,
    /// Pixels in a row of the image, and values in a pixel.
    width: usize,
    channels: usize,
}

impl Under {
    /// How many pixels of the image the window covers.
    #[inline(always)]
    pub(super) fn pixels(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// Calls `each` with `len` values of every pixel, from `channel` on.
    // Inlined into a function that has its CPU's features, so that the closure is, too.
    #[inline(always)]
    pub(super) fn each(&self, input: &[i8], channel: usize, len: usize, mut each: impl FnMut(&[i8])) {
        for y in self.rows.clone() {
            let line = y * self.width;
            for x in self.columns.clone() {
                let values = input.get((line + x) * self.channels + channel..).and_then(|values| values.get(..len));
                values.into_iter().for_each(&mut each);
            }
        }
    }
}

/// Calls `each` with every window, the first of `BLOCK` channels, and their outputs: fewer than `BLOCK` at the end of a pixel.
#[inline(always)]
pub(super) fn for_each_block<const BLOCK: usize>(
    op: &MaxPool,
    output: &mut [i8],
    mut each: impl FnMut(&Under, usize, &mut [i8]),
) {
    let MaxPool { input, output: shape, window } = op;
    let mut pixels = output.chunks_exact_mut(shape.channels.max(1));
    for y in 0..shape.height {
        for (x, pixel) in pixels.by_ref().take(shape.width).enumerate() {
            let [rows, columns] = [window.under(0, y, input.height), window.under(1, x, input.width)];
            let under = Under { rows, columns, width: input.width, channels: input.channels };
            for (block, out) in pixel.chunks_mut(BLOCK).enumerate() {
                each(&under, block * BLOCK, out);
            }
        }
    }
}

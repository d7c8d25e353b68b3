//! Shapes of activations: every tensor is an image of rows, columns and channels, channels last, batch one.

/// Size of an activation tensor, stored row by row, pixel by pixel, channel by channel.
///
/// A vector is `[1, 1, n]`, a matrix `[1, rows, n]`. The batch is always one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Values in a pixel.
    pub channels: usize,
}

impl Shape {
    /// An image of `height` rows, `width` columns, `channels` channels.
    pub const fn new(height: usize, width: usize, channels: usize) -> Self {
        Shape { height, width, channels }
    }

    /// Number of elements; `usize::MAX`, which no slice has, if that does not fit.
    pub const fn len(self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(self.channels)
    }

    /// Whether there are no elements.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Rows, columns, channels.
    pub const fn sizes(self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }

    /// Number of pixels.
    pub const fn pixels(self) -> usize {
        self.height.saturating_mul(self.width)
    }
}

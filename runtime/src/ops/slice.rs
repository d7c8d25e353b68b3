//! Every so-manyth element of each axis.

/// Output element `i` of an axis is input element `start + i * step`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// First row, column, channel.
    pub start: [usize; 3],
    /// Distance between rows, columns, channels; at least 1.
    pub step: [usize; 3],
}

//! A constant around a tensor.

/// The input placed inside a larger output; everything else of the output is `value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pad {
    /// Elements before the input: rows, columns, channels.
    pub before: [usize; 3],
    /// What stands around: the zero point, where zeros are meant.
    pub value: i8,
}

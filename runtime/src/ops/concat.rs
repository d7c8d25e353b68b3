//! Tensors of one scale one after another.

/// Inputs joined along one axis: 0 rows, 1 columns, 2 channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concat {
    /// The axis.
    pub axis: u8,
}

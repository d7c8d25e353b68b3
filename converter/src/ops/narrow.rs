//! Change from 16 to 8 bits; among reals nothing changes.

use crate::graph::Tensor;

/// `x`
pub fn reference(x: &Tensor) -> Tensor {
    x.clone()
}

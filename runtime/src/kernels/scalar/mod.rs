//! The specification: every op in plain Rust, short and obvious; all other tables must equal it byte for byte.

mod conv;
mod depthwise;
mod eltwise;
mod place;
mod pool;
mod softmax;

use super::{Isa, Kernels};

/// Scalar kernels; other tables start as a copy.
pub const KERNELS: Kernels = Kernels {
    isa: Isa::Scalar,
    conv2d: conv::conv2d,
    depthwise: depthwise::depthwise,
    linear: conv::linear,
    add: eltwise::add,
    mul: eltwise::mul,
    lut: eltwise::lut,
    max_pool: pool::max_pool,
    avg_pool: pool::avg_pool,
    softmax: softmax::softmax,
};

/// Always.
pub(crate) const fn available() -> bool {
    true
}

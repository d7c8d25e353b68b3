//! The specification: every op in plain Rust, short and obvious; all other tables must equal it byte for byte.

mod attention;
mod conv;
mod depthwise;
mod eltwise;
mod embed;
mod layer_norm;
mod place;
mod pool;
mod softmax;

use super::{Isa, Kernels, Scratch};

/// Scalar kernels; other tables start as a copy.
///
/// Those of sequences are inlined wherever they are called, so that a table can compile them again for its own registers.
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
    embed: embed::embed,
    layer_norm: layer_norm::layer_norm,
    attention: attention::attention,
    mean: pool::mean,
    add16: eltwise::add16,
    narrow: eltwise::narrow,
};

/// Working memory of scalar's kernels: what attention needs to see each score twice.
pub const SCRATCH: Scratch =
    Scratch { conv2d: |_| 0, depthwise: |_| 0, linear: |_| 0, attention: attention::scratch_bytes };

/// Always.
pub(crate) const fn available() -> bool {
    true
}

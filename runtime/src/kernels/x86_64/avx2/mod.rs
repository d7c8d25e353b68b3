//! AVX2: products of 16-bit pairs, since those of bytes would saturate.

mod conv;
mod depthwise;
mod eltwise;
mod pool;
mod requantize;

use super::has;
use crate::kernels::{Isa, Kernels, scalar};

/// See [`available`].
pub(crate) const KERNELS: Kernels = Kernels {
    isa: Isa::Avx2,
    conv2d: conv::conv2d,
    depthwise: depthwise::depthwise,
    linear: conv::linear,
    add: eltwise::add,
    mul: eltwise::mul,
    max_pool: pool::max_pool,
    avg_pool: pool::avg_pool,
    // A table of bytes is read byte by byte: as fast as shuffles of sixteen.
    ..scalar::KERNELS
};

/// Whether this CPU has AVX2: every kernel here relies on that.
pub(crate) fn available() -> bool {
    has!("avx2")
}

//! WebAssembly's vectors of 128 bits: products of 16-bit pairs. Relaxed instructions are not used, since hosts differ in what they do.

mod conv;
mod depthwise;
mod eltwise;
mod pool;
mod requantize;

use crate::kernels::{Isa, Kernels, scalar};

/// See [`available`].
pub(crate) const KERNELS: Kernels = Kernels {
    isa: Isa::Simd128,
    conv2d: conv::conv2d,
    depthwise: depthwise::depthwise,
    linear: conv::linear,
    add: eltwise::add,
    mul: eltwise::mul,
    max_pool: pool::max_pool,
    avg_pool: pool::avg_pool,
    narrow: eltwise::narrow,
    // The compiler makes vectors of what is left.
    ..scalar::KERNELS
};

/// Always: a host without vectors does not load a module that has them.
pub(crate) const fn available() -> bool {
    true
}

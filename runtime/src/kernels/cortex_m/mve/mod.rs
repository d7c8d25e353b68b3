//! The table for Helium, the vector extension of Cortex-M (M52, M55, M85): sixteen 8-bit products an instruction.
//!
//! rustc knows neither its registers nor its instructions, so whole loops are assembly.

mod attention;
mod conv;
mod depthwise;
mod eltwise;
mod gather;
mod layer_norm;
mod pool;
mod requantize;
mod tile;

use crate::kernels::{Isa, Kernels, scalar};

/// See [`Kernels`].
pub(crate) const KERNELS: Kernels = Kernels {
    isa: Isa::Mve,
    conv2d: conv::conv2d,
    depthwise: depthwise::depthwise,
    linear: conv::linear,
    add: eltwise::add,
    mul: eltwise::mul,
    lut: eltwise::lut,
    max_pool: pool::max_pool,
    avg_pool: pool::avg_pool,
    layer_norm: layer_norm::layer_norm,
    attention: attention::attention,
    add16: eltwise::add16,
    narrow: eltwise::narrow,
    ..scalar::KERNELS
};

/// Always: a program is built for one core.
pub(crate) const fn available() -> bool {
    true
}

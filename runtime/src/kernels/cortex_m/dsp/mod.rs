//! The table for cores with the DSP extension (Cortex-M4, M7, M33, M55): two 16-bit products an instruction.

mod attention;
mod conv;
mod depthwise;
mod eltwise;
mod gather;
mod insn;
mod pool;
mod requantize;
mod sequences;
mod tile;

use super::TILE;
use crate::kernels::{Isa, Kernels, scalar};

/// See [`Kernels`].
pub(crate) const KERNELS: Kernels = Kernels {
    isa: Isa::Dsp,
    attention: attention::attention,
    conv2d: conv::conv2d,
    depthwise: depthwise::depthwise,
    linear: conv::linear,
    add: eltwise::add,
    max_pool: pool::max_pool,
    avg_pool: pool::avg_pool,
    layer_norm: sequences::layer_norm,
    add16: sequences::add16,
    narrow: sequences::narrow,
    ..scalar::KERNELS
};

/// Always: a program is built for one core.
pub(crate) const fn available() -> bool {
    true
}

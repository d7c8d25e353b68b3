//! AVX-512 with VNNI: four products a lane in one instruction.

mod attention;
mod conv;
mod depthwise;
mod eltwise;
mod layer_norm;
mod pool;
mod requantize;
mod sequences;

pub(super) use conv::{Panels, store};

use super::has;
use crate::kernels::{Isa, Kernels, scalar};

/// See [`available`].
pub(crate) const KERNELS: Kernels = Kernels {
    isa: Isa::Avx512Vnni,
    conv2d: conv::conv2d,
    depthwise: depthwise::depthwise,
    linear: conv::linear,
    add: eltwise::add,
    mul: eltwise::mul,
    lut: eltwise::lut,
    max_pool: pool::max_pool,
    avg_pool: pool::avg_pool,
    embed: sequences::embed,
    layer_norm: layer_norm::layer_norm,
    attention: attention::attention,
    mean: sequences::mean,
    add16: eltwise::add16,
    narrow: eltwise::narrow,
    ..scalar::KERNELS
};

/// Whether this CPU has AVX-512 F, BW, VL and VNNI: every kernel here relies on that.
pub(crate) fn available() -> bool {
    has!("avx512f", "avx512bw", "avx512vl", "avx512vnni")
}

//! AVX2: products of 16-bit pairs, since those of bytes would saturate.

pub(super) mod attention;
pub(super) mod conv;
mod depthwise;
mod eltwise;
mod pool;
pub(super) mod requantize;
mod sequences;
pub(super) mod tile;

use tile::Words;

use super::has;
use crate::kernels::{Isa, Kernels, scalar};

/// See [`available`].
pub(crate) const KERNELS: Kernels = Kernels {
    isa: Isa::Avx2,
    conv2d: conv::conv2d::<Words, 2>,
    depthwise: depthwise::depthwise,
    linear: conv::linear::<Words, 2>,
    add: eltwise::add,
    mul: eltwise::mul,
    max_pool: pool::max_pool,
    avg_pool: pool::avg_pool,
    embed: sequences::embed,
    layer_norm: sequences::layer_norm,
    attention: attention::attention::<Words, 2>,
    mean: sequences::mean,
    add16: sequences::add16,
    narrow: sequences::narrow,
    // A table of bytes is read byte by byte: as fast as shuffles of sixteen.
    ..scalar::KERNELS
};

/// Whether this CPU has AVX2: every kernel here relies on that.
pub(crate) fn available() -> bool {
    has!("avx2")
}

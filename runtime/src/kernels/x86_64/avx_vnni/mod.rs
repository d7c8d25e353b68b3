//! AVX-VNNI: four products of bytes an instruction in vectors of 256 bits; all else is as with AVX2.

mod insn;
mod tile;

use super::avx2::{self, attention, conv};
use super::has;
use crate::kernels::{Isa, Kernels};

/// See [`available`].
pub(crate) const KERNELS: Kernels = Kernels {
    isa: Isa::AvxVnni,
    conv2d: conv::conv2d::<tile::Bytes, 1>,
    linear: conv::linear::<tile::Bytes, 1>,
    attention: attention::attention::<tile::Bytes, 1>,
    ..avx2::KERNELS
};

/// Whether this CPU has AVX2 and AVX-VNNI: every kernel here relies on that.
pub(crate) fn available() -> bool {
    has!("avx2", "avxvnni")
}

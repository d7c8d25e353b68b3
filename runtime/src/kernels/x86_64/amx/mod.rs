//! AMX: a matrix of sixteen by sixteen sums takes 64 products each in one instruction; all else is as with AVX-512.

mod conv;
mod permission;
mod strip;
mod tile;

use super::avx512_vnni;
use crate::kernels::{Isa, Kernels};

/// See [`available`].
pub(crate) const KERNELS: Kernels =
    Kernels { isa: Isa::Amx, conv2d: conv::conv2d, linear: conv::linear, ..avx512_vnni::KERNELS };

/// Whether this CPU has AMX for bytes beside what AVX-512's table needs, and the operating system lets this process use it.
pub(crate) fn available() -> bool {
    avx512_vnni::available() && permission::granted()
}

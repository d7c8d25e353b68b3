//! The table for cores without the DSP extension (Cortex-M0, M0+, M3): two products a multiplication.

mod conv;
mod gather;
mod products;
mod requantize;

use crate::kernels::{Isa, Kernels, scalar};

/// See [`Kernels`].
pub(crate) const KERNELS: Kernels =
    Kernels { isa: Isa::Thumb, conv2d: conv::conv2d, linear: conv::linear, ..scalar::KERNELS };

/// Always: a program is built for one core.
pub(crate) const fn available() -> bool {
    true
}

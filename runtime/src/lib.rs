//! Runs int8 models with one exact integer contract: no allocator, no float, no panic.
//!
//! From the bottom up: [`quant`] is the arithmetic, [`ops`] says what each operator is, [`kernels`] how a CPU computes it.
#![cfg_attr(not(any(test, feature = "std")), no_std)]

pub mod kernels;
pub mod ops;
pub mod quant;
pub mod tensor;

pub use kernels::{Isa, Kernels, Layout};

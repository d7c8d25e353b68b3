//! Runs int8 models with one exact integer contract: no allocator, no float, no panic.
//!
//! From the bottom up: [`quant`] is the arithmetic, [`ops`] says what each operator is, [`kernels`] how a CPU computes it,
//! [`format`](mod@format) how a model lies in a file. A file is checked once ([`Model::parse`]); then a [`Session`] runs it in memory that
//! the caller gives, and nothing can fail any more. [`text`] makes a model's input of words.
//!
//! ```
//! use limbeck_runtime::{LoadError, Model};
//!
//! #[repr(align(16))]
//! struct Aligned([u8; 16]);
//! assert_eq!(Model::parse(&Aligned(*b"certainly not...").0).unwrap_err(), LoadError::Magic);
//! ```
#![cfg_attr(not(any(test, feature = "std")), no_std)]

mod arena;
mod digest;
mod error;
pub mod format;
pub mod kernels;
mod log;
pub mod ops;
pub mod quant;
mod session;
pub mod tensor;
#[cfg(test)]
mod testing;
pub mod text;

#[cfg(any(test, feature = "std"))]
pub use arena::AlignedBytes;
pub use arena::StaticArena;
pub use digest::{Fnv1a64, Rng, fnv1a64};
pub use error::{LoadError, OpRule, SessionError, TokenError};
pub use format::{Certificate, Model, Port, Tensor};
pub use kernels::{Isa, Kernels, Layout};
pub use session::{Session, Step, arena_bytes};
pub use tensor::{Element, Shape};
pub use text::{Encoding, Span, Tokenizer};

/// Bytes of an included file at a multiple of 16; see [`include_model!`].
#[doc(hidden)]
#[repr(C, align(16))]
pub struct Aligned<T: ?Sized>(pub T);

/// A model file as a part of the program. In a module of its own it gives `BYTES`, `ARENA_BYTES` and `Ops`:
///
/// ```ignore
/// mod digits { limbeck_runtime::include_model!("digits.lmb"); }
/// static mut ARENA: StaticArena<{ digits::ARENA_BYTES }> = StaticArena::new();
/// let model = Model::parse_with::<digits::Ops>(digits::BYTES)?;
/// let mut session = Session::<digits::Ops>::with_ops(&model, arena)?;
/// ```
#[macro_export]
macro_rules! include_model {
    ($path:expr $(,)?) => {
        static FILE: &$crate::Aligned<[u8]> = &$crate::Aligned(*include_bytes!($path));

        /// The model file.
        pub static BYTES: &[u8] = &FILE.0;

        /// The arena that a session needs.
        pub const ARENA_BYTES: usize = $crate::format::arena_bytes(include_bytes!($path));

        /// The operators that the model uses.
        #[derive(Clone, Copy, Debug)]
        pub enum Ops {}

        impl $crate::ops::OpSet for Ops {
            const MASK: u32 = $crate::format::ops_used(include_bytes!($path));
        }
    };
}

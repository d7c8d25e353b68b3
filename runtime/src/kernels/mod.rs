//! How a CPU computes the ops: one table of functions for each instruction set, chosen once, all equal byte for byte.
//!
//! **To add an instruction set**: write `kernels/<arch>/<isa>.rs` with a constant that begins as a copy of scalar's table and
//! replaces what it speeds up, and a function that gives it out only if the CPU can run it:
//!
//! ```ignore
//! static TABLE: Kernels = Kernels { isa: Isa::Avx2, conv2d, ..scalar::KERNELS };
//! pub(crate) fn table() -> Option<&'static Kernels> { has_avx2().then_some(&TABLE) }
//! ```
//!
//! then one line in `for_each_isa!` (`isa.rs`) with its layout, its scratch rules (plain functions in `isa.rs`, compiled on every
//! host, or a const `Scratch` in a file beside it that is) and its `cfg`, and one `mod` line here under the same `cfg`. The contract
//! suite, benchmarks and planner follow from the line.
//!
//! **Rules of a kernel.** It may be called with anything: first of all it returns, having written nothing, unless the buffers
//! fit the parameters (`fits`) and scratch has the bytes that its rule asks for; `check` on load makes that impossible in a session. Numbers
//! inside the parameters may be hostile (any bias, any weight, shifts as checked), so sums wrap. Scratch begins at a multiple
//! of 16 bytes in a session and its contents are arbitrary; activations begin at multiples of 16 too, but nothing may depend on it for safety.
//! Elementwise ops work in place: `output` holds an operand on entry. Nothing allocates, panics, or uses floats.
// The only folder with unsafe code; each block states why it is sound.
#![allow(unsafe_code)]

#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod isa;
mod layout;
pub mod scalar;

pub use isa::{Isa, Scratch};
pub use layout::{Layout, Order};

use crate::ops::{Add, AvgPool, Conv2d, Depthwise, Linear, Lut, MaxPool, Mul, Softmax};

/// The kernels of one instruction set. Safe to call: a table is given out only on a CPU that can run it.
#[derive(Clone, Copy, Debug)]
pub struct Kernels {
    /// Whose table this is.
    pub isa: Isa,
    /// `(op, input, output, scratch)`; with a fused residual `output` holds the residual on entry.
    pub conv2d: fn(&Conv2d<'_>, &[i8], &mut [i8], &mut [u8]),
    /// `(op, input, output, scratch)`
    pub depthwise: fn(&Depthwise<'_>, &[i8], &mut [i8], &mut [u8]),
    /// `(op, input, output, scratch)`
    pub linear: fn(&Linear<'_>, &[i8], &mut [i8], &mut [u8]),
    /// `(op, a, output)`: `output` holds `b` on entry. `a` is repeated as often as it fits (once, or once for each pixel).
    pub add: fn(&Add, &[i8], &mut [i8]),
    /// `(op, a, output)`: `output` holds `b` on entry. `a` is repeated as often as it fits.
    pub mul: fn(&Mul, &[i8], &mut [i8]),
    /// `(op, output)`: `output` holds the input on entry.
    pub lut: fn(&Lut<'_>, &mut [i8]),
    /// `(op, input, output)`
    pub max_pool: fn(&MaxPool, &[i8], &mut [i8]),
    /// `(op, input, output)`
    pub avg_pool: fn(&AvgPool<'_>, &[i8], &mut [i8]),
    /// `(op, output)`: `output` holds the input on entry, whole rows.
    pub softmax: fn(&Softmax, &mut [i8]),
}

impl Kernels {
    /// The best table on this CPU that reads weights in this order; scalar reads all.
    pub fn best(layout: Layout) -> &'static Kernels {
        let mut tables = Isa::ALL.iter().rev().filter(|isa| isa.reads(layout)).filter_map(|&isa| Kernels::for_isa(isa));
        tables.next().unwrap_or(&scalar::TABLE)
    }

    /// Every table that this CPU can run, weakest first.
    pub fn all() -> impl Iterator<Item = &'static Kernels> {
        Isa::ALL.iter().filter_map(|&isa| Kernels::for_isa(isa))
    }
}

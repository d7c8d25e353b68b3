//! How a CPU computes the ops: one table of functions for each instruction set, chosen once, all equal byte for byte.
//!
//! **To add an instruction set**: write `kernels/<arch>/<isa>.rs` with a constant that begins as a copy of scalar's table and
//! replaces what it speeds up, and a function that says whether this CPU can run it:
//!
//! ```ignore
//! pub(crate) const KERNELS: Kernels = Kernels { isa: Isa::Avx2, conv2d, ..scalar::KERNELS };
//! pub(crate) fn available() -> bool { has_avx2() }
//! ```
//!
//! then one line in `for_each_isa!` (`isa.rs`) with its layout, its scratch rules (plain functions in `isa.rs`, compiled on every
//! host, or a const `Scratch` in a file beside it that is) and its `cfg`, and one `mod` line here under the same `cfg`. The contract
//! suite, benchmarks and planner follow from the line. Nothing but `Kernels::of` may give the constant out: it probes first.
//!
//! **Rules of a kernel.** It may be called with anything: first of all it returns, having written nothing, unless the buffers
//! fit the parameters (`fits`) and scratch has the bytes that its rule asks for; `check` on load makes that impossible in a session. Numbers
//! inside the parameters may be hostile (any bias, any weight, shifts as checked), so sums wrap. Scratch begins at a multiple
//! of 16 bytes in a session and its contents are arbitrary; activations begin at multiples of 16 too, but nothing may depend on it for safety.
//! Elementwise ops work in place: `output` holds an operand on entry. Nothing allocates, panics, or uses floats.
// The only folder with unsafe code; each block states why it is sound.
#![allow(unsafe_code)]

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod band;
pub(crate) mod cast;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod cortex_m;
mod eights;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", all(target_arch = "wasm32", target_feature = "simd128")))]
mod fill;
mod head;
mod isa;
mod layout;
pub mod scalar;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64", all(target_arch = "wasm32", target_feature = "simd128")))]
mod sweep;
#[cfg(test)]
mod tests;
#[cfg(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    all(target_arch = "wasm32", target_feature = "simd128"),
    all(target_arch = "arm", target_os = "none", feature = "isa-dsp")
))]
mod under;
#[cfg(target_arch = "wasm32")]
mod wasm32;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub use isa::{Isa, Scratch};
pub use layout::{Layout, Order};

use crate::ops::{
    Add, Add16, AllOps, Attention, AvgPool, Conv2d, Depthwise, Embed, LayerNorm, Linear, Lut, MaxPool, Mean, Mul,
    Narrow, OpKind, OpSet, Qkv, Softmax,
};
use crate::tensor::{Values, ValuesMut};

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
    /// `(op, tokens, output)`
    pub embed: fn(&Embed<'_>, &[u16], &mut [i16]),
    /// `(op, input, output)`, whole rows.
    pub layer_norm: fn(&LayerNorm<'_>, Values<'_>, ValuesMut<'_>),
    /// `(op, queries, keys and values, output, scratch)`
    pub attention: fn(&Attention, Qkv<'_>, &mut [i8], &mut [u8]),
    /// `(op, input, output)`: `output` is one row.
    pub mean: fn(&Mean<'_>, Values<'_>, &mut [i8]),
    /// `(op, a, output)`: `output` holds `b` on entry.
    pub add16: fn(&Add16, Values<'_>, &mut [i16]),
    /// `(op, input, output)`
    pub narrow: fn(&Narrow, &[i16], &mut [i8]),
}

impl Kernels {
    /// The table of `isa`, if it was compiled in and this CPU can run it.
    pub fn for_isa(isa: Isa) -> Option<&'static Kernels> {
        Kernels::of::<AllOps>(isa)
    }

    /// The best table on this CPU that reads weights in this order, reduced to the kernels that `O` needs; scalar reads all orders.
    pub fn best<O: OpSet>(layout: Layout) -> &'static Kernels {
        let mut tables = Isa::ALL.iter().rev().filter(|isa| isa.reads(layout)).filter_map(|&isa| Kernels::of::<O>(isa));
        tables.next().unwrap_or(const { &scalar::KERNELS.only(O::MASK) })
    }

    /// Every table that this CPU can run, weakest first.
    pub fn all() -> impl Iterator<Item = &'static Kernels> {
        Isa::ALL.iter().filter_map(|&isa| Kernels::for_isa(isa))
    }

    /// The same table with kernels that do nothing for ops that are not in `ops` (bits by [`OpKind`]), so that the linker can
    /// leave out the others.
    const fn only(mut self, ops: u32) -> Kernels {
        const fn lacks(ops: u32, kind: OpKind) -> bool {
            ops & kind.bit() == 0
        }
        if lacks(ops, OpKind::Conv2d) {
            self.conv2d = |_, _, _, _| ();
        }
        if lacks(ops, OpKind::Depthwise) {
            self.depthwise = |_, _, _, _| ();
        }
        if lacks(ops, OpKind::Linear) {
            self.linear = |_, _, _, _| ();
        }
        if lacks(ops, OpKind::Add) {
            self.add = |_, _, _| ();
        }
        if lacks(ops, OpKind::Mul) {
            self.mul = |_, _, _| ();
        }
        if lacks(ops, OpKind::Lut) {
            self.lut = |_, _| ();
        }
        if lacks(ops, OpKind::MaxPool) {
            self.max_pool = |_, _, _| ();
        }
        if lacks(ops, OpKind::AvgPool) {
            self.avg_pool = |_, _, _| ();
        }
        if lacks(ops, OpKind::Softmax) {
            self.softmax = |_, _| ();
        }
        if lacks(ops, OpKind::Embed) {
            self.embed = |_, _, _| ();
        }
        if lacks(ops, OpKind::LayerNorm) {
            self.layer_norm = |_, _, _| ();
        }
        if lacks(ops, OpKind::Attention) {
            self.attention = |_, _, _, _| ();
        }
        if lacks(ops, OpKind::Pick) {
            self.mean = |_, _, _| ();
        }
        if lacks(ops, OpKind::Add16) {
            self.add16 = |_, _, _| ();
        }
        if lacks(ops, OpKind::Narrow) {
            self.narrow = |_, _, _| ();
        }
        self
    }
}

//! The list of kernel tables and what a planner must know of each, as plain data on every host.

use super::band::Band;
use super::eights::{Blocks, Eights};
use super::head::Head;
use super::{Kernels, Layout};
use crate::ops::{Attention, Conv2d, Depthwise, Linear, OpSet};

/// THE list of instruction sets, weakest first: the last that this CPU has and that reads a file's layout is the one that runs it.
///
/// A line is: variant, name, layout, scratch rules, `[where its module is compiled]`, module. The module has `KERNELS`, the table as
/// a constant, and `available()`, which probes the CPU. Everything else (the enum, `Kernels::for_isa`, the contract suite, the benchmarks, the planner's choices) follows from the line.
macro_rules! for_each_isa {
    ($each:ident) => {
        $each! {
            /// Plain Rust: the specification. Reads every layout.
            Scalar "scalar" Layout::LANES, super::scalar::SCRATCH, [all()] super::scalar;
            /// AVX2: almost every x86-64 CPU since 2013.
            Avx2 "avx2" Layout::N16K4, Scratch::WORD_BANDS, [target_arch = "x86_64"] super::x86_64::avx2;
            /// AVX-VNNI: laptops without AVX-512, Intel's since the 12th generation.
            AvxVnni "avx_vnni" Layout::N16K4, Scratch::BYTE_BANDS, [target_arch = "x86_64"] super::x86_64::avx_vnni;
            /// AVX-512 with VNNI: servers since Cascade Lake, desktops since Zen 4.
            Avx512Vnni "avx512_vnni" Layout::N16K4, Scratch::BYTE_BANDS, [target_arch = "x86_64"] super::x86_64::avx512_vnni;
            /// AMX for bytes: servers since Sapphire Rapids.
            Amx "amx" Layout::N16K4, Scratch::TILES, [target_arch = "x86_64"] super::x86_64::amx;
            /// Cortex-M without the DSP extension: M0, M0+, M3.
            Thumb "thumb" super::cortex_m::THUMB_LAYOUT, super::cortex_m::THUMB_SCRATCH,
                [all(target_arch = "arm", target_os = "none", feature = "isa-thumb")] super::cortex_m::thumb;
            /// NEON: every 64-bit Arm CPU.
            Neon "neon" Layout::N8K8, Scratch::EIGHTS, [target_arch = "aarch64"] super::aarch64::neon;
            /// Dot products of bytes: most phones since 2018.
            Dotprod "dotprod" Layout::N8K8, Scratch::EIGHTS, [target_arch = "aarch64"] super::aarch64::dotprod;
            /// Products of matrices of bytes: phones since 2021.
            I8mm "i8mm" Layout::N8K8, Scratch::EIGHTS, [target_arch = "aarch64"] super::aarch64::i8mm;
            /// WebAssembly with vectors of 128 bits: every browser since 2023.
            Simd128 "simd128" Layout::N8K8, Scratch::ONLY_BANDS,
                [all(target_arch = "wasm32", target_feature = "simd128")] super::wasm32::simd128;
            /// Cortex-M with the DSP extension: M4, M7, M33, M55.
            Dsp "dsp" super::cortex_m::DSP_LAYOUT, super::cortex_m::DSP_SCRATCH,
                [all(target_arch = "arm", target_os = "none", feature = "isa-dsp")] super::cortex_m::dsp;
            /// Helium, the vector extension of Cortex-M: M52, M55, M85.
            Mve "mve" super::cortex_m::MVE_LAYOUT, super::cortex_m::MVE_SCRATCH,
                [all(target_arch = "arm", target_os = "none", feature = "isa-mve")] super::cortex_m::mve;
        }
    };
}

/// Bytes of working memory that a table's kernels want, op by op. A rule sees only shapes and layout, never data.
#[derive(Clone, Copy)]
pub struct Scratch {
    /// For a convolution.
    pub conv2d: fn(&Conv2d<'_>) -> usize,
    /// For a depthwise convolution.
    pub depthwise: fn(&Depthwise<'_>) -> usize,
    /// For a fully connected layer.
    pub linear: fn(&Linear<'_>) -> usize,
    /// For attention; not less for more rows.
    pub attention: fn(&Attention) -> usize,
}

impl Scratch {
    /// A band of one byte for each value; heads of attention with keys of one.
    const BYTE_BANDS: Scratch = Scratch {
        conv2d: |op| Band::of_conv2d(op).bytes(1),
        depthwise: |op| Band::of_depthwise(op).bytes(1),
        linear: |op| Band::of_conv2d(&op.as_conv2d()).bytes(1),
        attention: |op| Head::of(op, 1).bytes(op),
    };

    /// A band of one byte for each value; attention as scalar's.
    const ONLY_BANDS: Scratch = Scratch { attention: super::scalar::SCRATCH.attention, ..Scratch::BYTE_BANDS };

    /// Bands of bytes, and blocks of eight rows.
    const EIGHTS: Scratch = Scratch {
        linear: |op| Blocks::of(op).bytes().max((Scratch::BYTE_BANDS.linear)(op)),
        attention: |op| Eights::of(op).bytes(),
        ..Scratch::BYTE_BANDS
    };

    /// As bands of bytes, larger ones for tiles.
    const TILES: Scratch = Scratch {
        conv2d: |op| Band::of_tiles(op).bytes(1),
        linear: |op| Band::of_tiles(&op.as_conv2d()).bytes(1),
        ..Scratch::BYTE_BANDS
    };

    /// A band of two bytes for each value that is summed over channels; heads with keys of two.
    const WORD_BANDS: Scratch = Scratch {
        conv2d: |op| Band::of_conv2d(op).bytes(2),
        linear: |op| Band::of_conv2d(&op.as_conv2d()).bytes(2),
        attention: |op| Head::of(op, 2).bytes(op),
        ..Scratch::BYTE_BANDS
    };
}

macro_rules! define_isa {
    ($($(#[$doc:meta])* $name:ident $text:literal $layout:expr, $scratch:expr, [$where:meta] $($module:ident)::+;)*) => {
        /// An instruction set that has a table of kernels.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Isa {
            $($(#[$doc])* $name,)*
        }

        impl Isa {
            /// All of them, weakest first, whether this CPU has them or not.
            pub const ALL: &'static [Isa] = &[$(Isa::$name),*];

            /// The name that commands and target files use.
            pub const fn name(self) -> &'static str {
                match self { $(Isa::$name => $text,)* }
            }

            /// The order of weights that its kernels read.
            pub const fn layout(self) -> Layout {
                match self { $(Isa::$name => $layout,)* }
            }

            /// Working memory of its kernels.
            pub const fn scratch(self) -> Scratch {
                match self { $(Isa::$name => $scratch,)* }
            }
        }

        impl Kernels {
            /// The table of `isa` reduced to the kernels that `O` needs, if it was compiled in and this CPU can run it.
            pub fn of<O: OpSet>(isa: Isa) -> Option<&'static Kernels> {
                match isa {
                    $(
                        #[cfg($where)]
                        Isa::$name => {
                            $($module)::+::available().then_some(const { &$($module)::+::KERNELS.only(O::MASK) })
                        }
                        #[cfg(not($where))]
                        Isa::$name => None,
                    )*
                }
            }
        }
    };
}

for_each_isa!(define_isa);

impl Isa {
    /// The instruction set called `name`.
    pub fn by_name(name: &str) -> Option<Isa> {
        Isa::ALL.iter().copied().find(|isa| isa.name() == name)
    }

    /// Whether its kernels read weights in this order.
    pub fn reads(self, layout: Layout) -> bool {
        self == Isa::Scalar || self.layout() == layout
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Order;

    #[test]
    fn names_find_their_isa_and_layouts_are_valid() {
        for &isa in Isa::ALL {
            assert_eq!(Isa::by_name(isa.name()), Some(isa));
            let Layout { n, k, order, input_offset } = isa.layout();
            assert_eq!(Layout::new(n, k, order as u8, input_offset), Some(isa.layout()), "{}", isa.name());
        }
        assert_eq!(Isa::by_name("z80"), None);
        assert_eq!(Isa::Scalar.layout().order, Order::KMinor);
    }
}

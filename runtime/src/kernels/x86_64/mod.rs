//! Kernels for x86-64: what its tables share, and which CPU has which.

pub(super) mod amx;
pub(super) mod avx2;
pub(super) mod avx512_vnni;
pub(super) mod avx_vnni;
mod sequences;

/// Channels in a panel of weights.
const PANEL: usize = 16;

/// Bytes of a group of weights: four products of each channel of a panel.
const GROUP: usize = 4 * PANEL;

/// Whether this CPU has all of the named features: asked of the CPU with `std`, else of the compiler.
macro_rules! has {
    ($($feature:tt),+) => {{
        #[cfg(any(test, feature = "std"))]
        let has = true $(&& std::arch::is_x86_feature_detected!($feature))+;
        #[cfg(not(any(test, feature = "std")))]
        let has = true $(&& cfg!(target_feature = $feature))+;
        has
    }};
}
use has;

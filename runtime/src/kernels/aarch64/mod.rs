//! Kernels for 64-bit Arm. Its tables read one order of weights, so that a file packed for a phone is fast on every phone; they
//! share all but the sums of products.

mod attention;
mod conv;
mod depthwise;
pub(super) mod dotprod;
mod eltwise;
pub(super) mod i8mm;
mod insn;
mod layer_norm;
pub(super) mod neon;
mod panel;
mod pool;
mod requantize;
mod tile;

/// Whether this CPU has a feature: asked of the system with `std`, else of the compiler.
macro_rules! has {
    ($feature:tt) => {{
        #[cfg(any(test, feature = "std"))]
        let has = std::arch::is_aarch64_feature_detected!($feature);
        #[cfg(not(any(test, feature = "std")))]
        let has = cfg!(target_feature = $feature);
        has
    }};
}
use has;

/// The table of a tile: only that tells one table from another.
const fn table<T: tile::Tile>() -> super::Kernels {
    super::Kernels {
        isa: T::ISA,
        conv2d: conv::conv2d::<T>,
        depthwise: depthwise::depthwise,
        linear: conv::linear::<T>,
        add: eltwise::add,
        mul: eltwise::mul,
        lut: eltwise::lut,
        max_pool: pool::max_pool,
        avg_pool: pool::avg_pool,
        layer_norm: layer_norm::layer_norm,
        attention: attention::attention::<T>,
        add16: eltwise::add16,
        narrow: eltwise::narrow,
        // The compiler makes vectors of what is left.
        ..super::scalar::KERNELS
    }
}

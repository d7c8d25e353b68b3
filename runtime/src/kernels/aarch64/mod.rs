//! Kernels for 64-bit Arm. Its tables read one order of weights, so that a file packed for a phone is fast on every phone; they
//! share all but the sums of products.

#[cfg(target_arch = "aarch64")]
mod attention;
#[cfg(target_arch = "aarch64")]
mod conv;
#[cfg(target_arch = "aarch64")]
mod depthwise;
#[cfg(target_arch = "aarch64")]
pub(super) mod dotprod;
#[cfg(target_arch = "aarch64")]
mod eltwise;
#[cfg(target_arch = "aarch64")]
pub(super) mod i8mm;
#[cfg(target_arch = "aarch64")]
mod insn;
#[cfg(target_arch = "aarch64")]
mod layer_norm;
#[cfg(target_arch = "aarch64")]
pub(super) mod neon;
#[cfg(target_arch = "aarch64")]
mod panel;
#[cfg(target_arch = "aarch64")]
mod pool;
#[cfg(target_arch = "aarch64")]
mod requantize;
#[cfg(target_arch = "aarch64")]
mod tile;

/// Whether this CPU has a feature: asked of the system with `std`, else of the compiler.
#[cfg(target_arch = "aarch64")]
macro_rules! has {
    ($feature:tt) => {{
        #[cfg(any(test, feature = "std"))]
        let has = std::arch::is_aarch64_feature_detected!($feature);
        #[cfg(not(any(test, feature = "std")))]
        let has = cfg!(target_feature = $feature);
        has
    }};
}
#[cfg(target_arch = "aarch64")]
use has;

/// The table of a tile: only that tells one table from another.
#[cfg(target_arch = "aarch64")]
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

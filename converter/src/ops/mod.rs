//! The host half of each operator: what it computes on floats, in plain loops that serve as the specification.
//!
//! Files carry the same names as those of the runtime's operators. Every `reference` function takes tensors whose shapes
//! [`Graph`](crate::graph::Graph) has checked, sums in `f64` and rounds once, so that a fast executor is compared with
//! the exact result and not with another order of summation.

pub mod add;
pub mod add16;
pub mod attention;
pub mod avg_pool;
pub mod batchnorm;
pub mod concat;
pub mod conv2d;
pub mod depthwise;
pub mod embed;
pub mod layer_norm;
pub mod layout;
pub mod linear;
pub mod lut;
pub mod matmul;
pub mod max_pool;
pub mod mul;
pub mod narrow;
pub mod pad;
pub mod pick;
pub mod reference;
pub mod slice;
pub mod softmax;
pub mod window;

/// Demands a file here for each operator of the runtime.
macro_rules! demand {
    ($($(#[$doc:meta])* $name:ident $file:ident $number:literal [$op:ty];)*) => { $(#[allow(unused_imports)] use self::$file as _;)* };
}

limbeck_runtime::for_each_op!(demand);

//! The GPU half of each operator: its parameters and constants for a shader, which lies beside it.
//!
//! Files carry the same names as those of the runtime's operators. Each has `lower`, which adds dispatches to a program.

use super::program::Lowering;
use super::values::Call;
use limbeck_runtime::ops::Op;

mod add;
mod add16;
mod attention;
mod avg_pool;
mod concat;
mod conv2d;
mod depthwise;
mod embed;
mod layer_norm;
mod linear;
mod lut;
mod max_pool;
mod mul;
mod narrow;
mod pad;
mod pick;
mod slice;
mod softmax;

/// What every op file needs.
mod prelude {
    pub(super) use crate::verify::gpu::program::{Lowering, Params, Shader, WINDOW, channels_of, only, shader, word};
    pub(super) use crate::verify::gpu::values::{Call, QUAD};
}

/// Demands a file here for each operator of the runtime.
macro_rules! define_lower {
    ($($(#[$doc:meta])* $name:ident $file:ident $number:literal [$($params:tt)*];)*) => {
        /// Adds an op to a program.
        pub(super) fn lower(op: &Op<'_>, call: &Call, to: &mut Lowering) {
            match op {
                $(Op::$name(op) => $file::lower(op, call, to),)*
            }
        }
    };
}

limbeck_runtime::for_each_op!(define_lower);

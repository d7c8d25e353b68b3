//! Ops on sequences: scalar's loops, which are inlined and so compiled again for the registers of each table.

/// Functions that are scalar's kernels of the same name, compiled with these CPU features.
macro_rules! again {
    ($features:literal $($name:ident($($argument:ident: $type:ty),*);)*) => {
        $(
            /// See the field of this name of [`crate::Kernels`].
            pub(super) fn $name($($argument: $type),*) {
                #[target_feature(enable = $features)]
                fn again($($argument: $type),*) {
                    (crate::kernels::scalar::KERNELS.$name)($($argument),*)
                }
                // SAFETY: the table is given out only if the CPU has the features (`available`).
                unsafe { again($($argument),*) }
            }
        )*
    };
}

/// The kernels of ops on sequences.
macro_rules! sequences {
    ($features:literal) => {
        use crate::kernels::x86_64::sequences::again;
        use crate::ops::{Add16, Attention, Embed, LayerNorm, Mean, Narrow, Qkv};
        use crate::tensor::{Values, ValuesMut};

        again! { $features
            embed(op: &Embed<'_>, tokens: &[u16], output: &mut [i16]);
            layer_norm(op: &LayerNorm<'_>, input: Values<'_>, output: ValuesMut<'_>);
            attention(op: &Attention, inputs: Qkv<'_>, output: &mut [i8], scratch: &mut [u8]);
            mean(op: &Mean<'_>, input: Values<'_>, output: &mut [i8]);
            add16(op: &Add16, a: Values<'_>, output: &mut [i16]);
            narrow(op: &Narrow, input: &[i16], output: &mut [i8]);
        }
    };
}

pub(super) use {again, sequences};

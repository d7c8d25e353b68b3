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

pub(super) use again;

//! Ops on sequences, compiled for AVX2.

crate::kernels::x86_64::sequences::sequences!("avx2");

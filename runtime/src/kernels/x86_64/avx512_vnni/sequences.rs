//! Ops on sequences, compiled for AVX-512.

crate::kernels::x86_64::sequences::sequences!("avx512f,avx512bw,avx512vl,avx512vnni");

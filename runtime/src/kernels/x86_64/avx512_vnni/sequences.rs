//! Ops on sequences, compiled for AVX-512.

use crate::kernels::x86_64::sequences::again;
use crate::ops::{Embed, Mean};
use crate::tensor::Values;

again! { "avx512f,avx512bw,avx512vl,avx512vnni"
    embed(op: &Embed<'_>, tokens: &[u16], output: &mut [i16]);
    mean(op: &Mean<'_>, input: Values<'_>, output: &mut [i8]);
}

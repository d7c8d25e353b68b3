//! Ops on sequences, compiled for AVX2.

use crate::kernels::x86_64::sequences::again;
use crate::ops::{Add16, Embed, LayerNorm, Mean, Narrow};
use crate::tensor::{Values, ValuesMut};

again! { "avx2"
    embed(op: &Embed<'_>, tokens: &[u16], output: &mut [i16]);
    layer_norm(op: &LayerNorm<'_>, input: Values<'_>, output: ValuesMut<'_>);
    mean(op: &Mean<'_>, input: Values<'_>, output: &mut [i8]);
    add16(op: &Add16, a: Values<'_>, output: &mut [i16]);
    narrow(op: &Narrow, input: &[i16], output: &mut [i8]);
}

//! Vectorized passes over whole tensors: functions of elements, and sums for each channel.
//!
//! A pass may read coefficients that repeat with the channels; [`repeat`] makes of them a period of whole vectors. Passes are
//! types and not closures, since only what is inlined into [`WithSimd::with_simd`] is compiled for the CPU at hand.

#![expect(clippy::needless_range_loop, reason = "constant ranges over arrays are unrolled into registers")]

use super::gemm::Store;
use pulp::{Arch, Simd, WithSimd};

/// Values in a period at least, so that sums kept in memory are not needed again at once.
const PERIOD: usize = 128;
/// The longest vector.
const VECTOR: usize = 16;

/// The length of a period for so many channels: a multiple of them and of every vector.
pub(super) fn period(channels: usize) -> usize {
    let mut whole = channels.max(1);
    while !whole.is_multiple_of(VECTOR) {
        whole *= 2;
    }
    whole * PERIOD.div_ceil(whole)
}

/// One value for each channel, repeated to a period.
pub(super) fn repeat(values: &[f32]) -> Vec<f32> {
    values.repeat(period(values.len()) / values.len().max(1))
}

/// A function of `IN` tensors and `CO` coefficients.
pub(super) trait Map<const IN: usize, const CO: usize>: Copy {
    fn at<S: Simd>(self, simd: S, x: [S::f32s; IN], c: [S::f32s; CO]) -> S::f32s;
}

/// Puts or adds a function of every element to `out`.
pub(super) fn map<const IN: usize, const CO: usize>(
    function: impl Map<IN, CO>,
    inputs: [&[f32]; IN],
    coefficients: [&[f32]; CO],
    out: &mut [f32],
    store: Store,
) {
    Arch::new().dispatch(MapPass { function, inputs, coefficients, out, store });
}

struct MapPass<'a, F, const IN: usize, const CO: usize> {
    function: F,
    inputs: [&'a [f32]; IN],
    coefficients: [&'a [f32]; CO],
    out: &'a mut [f32],
    store: Store,
}

impl<F: Map<IN, CO>, const IN: usize, const CO: usize> WithSimd for MapPass<'_, F, IN, CO> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let period = self.coefficients.first().map_or(self.out.len(), |c| c.len()).max(1);
        let mut start = 0;
        for out in self.out.chunks_mut(period) {
            let len = out.len();
            let (vectors, rest) = S::as_mut_simd_f32s(out);
            let mut x: [&[S::f32s]; IN] = [&[]; IN];
            let mut c: [&[S::f32s]; CO] = [&[]; CO];
            for k in 0..IN {
                x[k] = &S::as_simd_f32s(&self.inputs[k][start..start + len]).0[..vectors.len()];
            }
            for k in 0..CO {
                c[k] = &S::as_simd_f32s(&self.coefficients[k][..len]).0[..vectors.len()];
            }
            for (i, out) in vectors.iter_mut().enumerate() {
                let mut at = ([*out; IN], [*out; CO]);
                for k in 0..IN {
                    at.0[k] = x[k][i];
                }
                for k in 0..CO {
                    at.1[k] = c[k][i];
                }
                let value = self.function.at(simd, at.0, at.1);
                *out = if self.store == Store::Add { simd.add_f32s(*out, value) } else { value };
            }
            let done = len - rest.len();
            for (i, out) in rest.iter_mut().enumerate() {
                let mut at = ([simd.splat_f32s(0.0); IN], [simd.splat_f32s(0.0); CO]);
                for k in 0..IN {
                    at.0[k] = simd.splat_f32s(self.inputs[k][start + done + i]);
                }
                for k in 0..CO {
                    at.1[k] = simd.splat_f32s(self.coefficients[k][done + i]);
                }
                let value = first(simd, self.function.at(simd, at.0, at.1));
                *out = if self.store == Store::Add { *out + value } else { value };
            }
            start += len;
        }
    }
}

/// The first element of a vector.
#[inline(always)]
fn first<S: Simd>(simd: S, vector: S::f32s) -> f32 {
    let mut values = [0.0; VECTOR];
    simd.partial_store_f32s(&mut values[..S::F32_LANES], vector);
    values[0]
}

/// What an element of `IN` tensors adds to `N` sums of its channel.
pub(super) trait Sum<const IN: usize, const N: usize>: Copy {
    fn at<S: Simd>(self, simd: S, x: [S::f32s; IN], c: S::f32s, sums: [S::f32s; N]) -> [S::f32s; N];
}

/// Adds up what the elements of some tensors give, with one coefficient, position by position of a period.
pub(super) fn sum<const IN: usize, const N: usize>(
    function: impl Sum<IN, N>,
    inputs: [&[f32]; IN],
    coefficients: &[f32],
    sums: [&mut [f32]; N],
) {
    Arch::new().dispatch(SumPass { function, inputs, coefficients, sums });
}

struct SumPass<'a, F, const IN: usize, const N: usize> {
    function: F,
    inputs: [&'a [f32]; IN],
    coefficients: &'a [f32],
    sums: [&'a mut [f32]; N],
}

impl<F: Sum<IN, N>, const IN: usize, const N: usize> WithSimd for SumPass<'_, F, IN, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (total, period) = (self.inputs[0].len(), self.coefficients.len());
        let zero = simd.splat_f32s(0.0);
        for start in (0..total).step_by(period.max(1)) {
            let len = period.min(total - start);
            let c = S::as_simd_f32s(&self.coefficients[..len]).0;
            let mut x: [&[S::f32s]; IN] = [&[]; IN];
            for k in 0..IN {
                x[k] = &S::as_simd_f32s(&self.inputs[k][start..start + len]).0[..c.len()];
            }
            let sums = self.sums.each_mut().map(|sums| &mut S::as_mut_simd_f32s(&mut sums[..len]).0[..c.len()]);
            for i in 0..c.len() {
                let mut at = ([zero; IN], [zero; N]);
                for k in 0..IN {
                    at.0[k] = x[k][i];
                }
                for k in 0..N {
                    at.1[k] = sums[k][i];
                }
                let values = self.function.at(simd, at.0, c[i], at.1);
                for k in 0..N {
                    sums[k][i] = values[k];
                }
            }
            for i in c.len() * S::F32_LANES..len {
                let mut at = ([zero; IN], [zero; N]);
                for k in 0..IN {
                    at.0[k] = simd.splat_f32s(self.inputs[k][start + i]);
                }
                for k in 0..N {
                    at.1[k] = simd.splat_f32s(self.sums[k][i]);
                }
                let values = self.function.at(simd, at.0, simd.splat_f32s(self.coefficients[i]), at.1);
                for k in 0..N {
                    self.sums[k][i] = first(simd, values[k]);
                }
            }
        }
    }
}

/// `x`
#[derive(Clone, Copy)]
pub(super) struct Copied;

impl Map<1, 0> for Copied {
    #[inline(always)]
    fn at<S: Simd>(self, _: S, [x]: [S::f32s; 1], _: [S::f32s; 0]) -> S::f32s {
        x
    }
}

/// `x + y`
#[derive(Clone, Copy)]
pub(super) struct Added;

impl Map<2, 0> for Added {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, [x, y]: [S::f32s; 2], _: [S::f32s; 0]) -> S::f32s {
        simd.add_f32s(x, y)
    }
}

/// `max(x, 0)`
#[derive(Clone, Copy)]
pub(super) struct Relu;

impl Map<1, 0> for Relu {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, [x]: [S::f32s; 1], _: [S::f32s; 0]) -> S::f32s {
        simd.max_f32s(x, simd.splat_f32s(0.0))
    }
}

/// `min(max(x, low), high)`
#[derive(Clone, Copy)]
pub(super) struct Clamp {
    pub(super) low: f32,
    pub(super) high: f32,
}

impl Map<1, 0> for Clamp {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, [x]: [S::f32s; 1], _: [S::f32s; 0]) -> S::f32s {
        simd.min_f32s(simd.max_f32s(x, simd.splat_f32s(self.low)), simd.splat_f32s(self.high))
    }
}

/// `dy` where `x` is between the bounds of the [`Clamp`], which is the gradient in front of it.
impl Map<2, 0> for Clamp {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, [x, dy]: [S::f32s; 2], _: [S::f32s; 0]) -> S::f32s {
        let zero = simd.splat_f32s(0.0);
        let below = simd.select_f32s(simd.greater_than_f32s(simd.splat_f32s(self.high), x), dy, zero);
        simd.select_f32s(simd.greater_than_f32s(x, simd.splat_f32s(self.low)), below, zero)
    }
}

/// `dy` where `y` is above the floor: the gradient in front of a ReLU (floor zero), or `dy` itself (no floor).
#[derive(Clone, Copy)]
pub(super) struct Passed {
    pub(super) floor: f32,
}

impl Passed {
    #[inline(always)]
    pub(super) fn through<S: Simd>(self, simd: S, y: S::f32s, dy: S::f32s) -> S::f32s {
        let open = simd.greater_than_f32s(y, simd.splat_f32s(self.floor));
        simd.select_f32s(open, dy, simd.splat_f32s(0.0))
    }
}

impl Map<2, 0> for Passed {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, [y, dy]: [S::f32s; 2], _: [S::f32s; 0]) -> S::f32s {
        self.through(simd, y, dy)
    }
}

/// The sum of `x`.
#[derive(Clone, Copy)]
struct Total;

impl Sum<1, 1> for Total {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, [x]: [S::f32s; 1], _: S::f32s, [sum]: [S::f32s; 1]) -> [S::f32s; 1] {
        [simd.add_f32s(sum, x)]
    }
}

/// Adds the rows of `from`, each as long as `to`, to `to`.
pub(super) fn add_rows(from: &[f32], to: &mut [f32]) {
    let mut sums = vec![0.0; period(to.len())];
    let none = sums.clone();
    sum(Total, [from], &none, [&mut sums]);
    for row in sums.chunks_exact(to.len()) {
        to.iter_mut().zip(row).for_each(|(to, value)| *to += value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_holds_whole_vectors_and_whole_pixels() {
        for channels in [1, 2, 3, 16, 17, 40, 64, 100, 160, 1000] {
            let period = period(channels);
            assert!(period.is_multiple_of(channels) && period.is_multiple_of(VECTOR) && period >= PERIOD, "{channels}");
        }
    }

    #[test]
    fn rows_are_added_whatever_their_length() {
        for channels in [1, 3, 16, 40] {
            for rows in [1, 7, 50, 129] {
                let from: Vec<f32> = (0..rows * channels).map(|i| (i % 7) as f32).collect();
                let mut to = vec![1.0; channels];
                add_rows(&from, &mut to);
                for (channel, sum) in to.iter().enumerate() {
                    let expected: f32 = from.iter().skip(channel).step_by(channels).sum();
                    assert_eq!(*sum, expected + 1.0, "{channels} channels, {rows} rows");
                }
            }
        }
    }

    #[test]
    fn functions_reach_every_element() {
        for len in [1, 15, 16, 33, 100] {
            let (y, dy): (Vec<f32>, Vec<f32>) = (0..len).map(|i| ((i % 5) as f32 - 2.0, i as f32)).unzip();
            let mut out = vec![1.0; len];
            map(Passed { floor: 0.0 }, [&y, &dy], [], &mut out, Store::Add);
            for i in 0..len {
                assert_eq!(out[i], 1.0 + if y[i] > 0.0 { dy[i] } else { 0.0 }, "{i} of {len}");
            }
        }
    }
}

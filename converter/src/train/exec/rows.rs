//! Normalization of each vector along the last axis, and the sums over vectors that it needs.

use super::gemm::Store;
use super::layer::{Inputs, Layer, Point, Scratch, Site};
use crate::ops::layer_norm::SHORTEST;
use pulp::{Arch, Simd, WithSimd};

/// Partial sums of a row: as many as the longest vector has values, so that no sum depends on the vector length.
const LANES: usize = 16;

/// The sum of all values of `f`, in a fixed order.
#[inline(always)]
fn sum_of<const IN: usize>(rows: [&[f32]; IN], f: impl Fn([f32; IN]) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let len = rows[0].len();
    let whole = len - len % LANES;
    for start in (0..whole).step_by(LANES) {
        let chunk: [&[f32]; IN] = rows.map(|row| &row[start..start + LANES]);
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += f(chunk.map(|chunk| chunk[lane]));
        }
    }
    for index in whole..len {
        sums[index - whole] += f(rows.map(|row| row[index]));
    }
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
    }
    sums[0]
}

/// The sum of a row.
#[inline(always)]
pub(super) fn sum(row: &[f32]) -> f32 {
    sum_of([row], |[x]| x)
}

/// The sum of products of two rows.
#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    sum_of([a, b], |[a, b]| a * b)
}

/// What a normalization does to the rows.
#[derive(Clone, Copy)]
enum Kind {
    /// To mean 0 and variance 1, with this added to the variance.
    Layer(f32),
    /// To length 1.
    Length,
}

impl Kind {
    /// What is subtracted from a row, and what the rest is multiplied by.
    #[inline(always)]
    fn measure(self, row: &[f32]) -> (f32, f32) {
        let count = 1.0 / row.len() as f32;
        match self {
            Kind::Layer(eps) => {
                let mean = sum(row) * count;
                let variance = sum_of([row], |[x]| (x - mean) * (x - mean)) * count;
                (mean, 1.0 / (variance + eps).sqrt())
            }
            Kind::Length => (0.0, 1.0 / dot(row, row).sqrt().max(SHORTEST as f32)),
        }
    }
}

/// LayerNorm, or scaling to length 1.
pub(super) struct RowNorm {
    width: usize,
    kind: Kind,
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

impl RowNorm {
    pub(super) fn layer_norm(site: &Site<'_>, eps: f32) -> Self {
        let width = site.shape(1)[0];
        RowNorm { width, kind: Kind::Layer(eps), gamma: Vec::new(), beta: Vec::new() }
    }

    pub(super) fn to_length(site: &Site<'_>) -> Self {
        let width = site.shape(0).last().copied().unwrap_or(1);
        RowNorm { width, kind: Kind::Length, gamma: vec![1.0; width], beta: vec![0.0; width] }
    }
}

impl Layer for RowNorm {
    fn prepare(&mut self, operand: usize, values: &[f32]) {
        let own = if operand == 1 { &mut self.gamma } else { &mut self.beta };
        own.clear();
        own.extend_from_slice(values);
    }

    fn forward(&self, _: usize, x: Inputs<'_>, y: &mut [f32], _: &mut Scratch) {
        Arch::new().dispatch(Forward { norm: self, x: x.get(0), y });
    }

    fn input_grad(&self, _: usize, at: Point<'_>, dx: &mut [f32], store: Store, _: &mut Scratch) {
        Arch::new().dispatch(InputGrad { norm: self, x: at.x.get(0), dy: at.dy, dx, store });
    }

    fn param_grad(&self, operand: usize, at: Point<'_>, dw: &mut [f32], _: &mut Scratch) {
        match operand {
            1 => Arch::new().dispatch(GammaGrad { norm: self, x: at.x.get(0), dy: at.dy, dw }),
            _ => super::passes::add_rows(at.dy, dw),
        }
    }
}

struct Forward<'a> {
    norm: &'a RowNorm,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let RowNorm { width, kind, gamma, beta } = self.norm;
        for (x, y) in self.x.chunks_exact(*width).zip(self.y.chunks_exact_mut(*width)) {
            let (mean, scale) = kind.measure(x);
            for (((y, x), gamma), beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
                *y = gamma * ((x - mean) * scale) + beta;
            }
        }
    }
}

struct InputGrad<'a> {
    norm: &'a RowNorm,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
    store: Store,
}

impl WithSimd for InputGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let RowNorm { width, kind, gamma, .. } = self.norm;
        let keep = if self.store == Store::Add { 1.0 } else { 0.0 };
        if self.store == Store::Set {
            // Whatever stood there may not be a number.
            self.dx.fill(0.0);
        }
        let rows = self.x.chunks_exact(*width).zip(self.dy.chunks_exact(*width));
        for ((x, dy), dx) in rows.zip(self.dx.chunks_exact_mut(*width)) {
            let (mean, scale) = kind.measure(x);
            // Moving a row along itself changes nothing, nor, if the mean is taken off, moving all of it alike.
            let along = sum_of([dy, gamma, x], |[dy, gamma, x]| dy * gamma * ((x - mean) * scale));
            let (along, alike) = match kind {
                Kind::Layer(_) => (along / *width as f32, dot(dy, gamma) / *width as f32),
                Kind::Length => (along, 0.0),
            };
            for (((dx, dy), gamma), x) in dx.iter_mut().zip(dy).zip(gamma).zip(x) {
                *dx = keep * *dx + scale * (dy * gamma - alike - along * ((x - mean) * scale));
            }
        }
    }
}

struct GammaGrad<'a> {
    norm: &'a RowNorm,
    x: &'a [f32],
    dy: &'a [f32],
    dw: &'a mut [f32],
}

impl WithSimd for GammaGrad<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let RowNorm { width, kind, .. } = self.norm;
        for (x, dy) in self.x.chunks_exact(*width).zip(self.dy.chunks_exact(*width)) {
            let (mean, scale) = kind.measure(x);
            for ((dw, dy), x) in self.dw.iter_mut().zip(dy).zip(x) {
                *dw += dy * ((x - mean) * scale);
            }
        }
    }
}

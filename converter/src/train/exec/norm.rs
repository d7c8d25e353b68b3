//! Normalization of channels: by stored statistics when a graph is only run, by those of the batch when it is trained.
//!
//! In training the normalization takes the residual sum and the ReLU behind it into its own passes, since each pass over a
//! batch costs memory bandwidth.

use super::gemm::Store;
use super::layer::{Inputs, Layer, Point, Scratch, Site};
use super::passes::{Map, Passed, Sum, map, repeat, sum};
use pulp::Simd;

/// Normalization by stored statistics: `x * scale + shift` for each channel.
pub(super) struct Affine {
    eps: f32,
    /// Gamma, beta, mean, variance.
    stored: [Vec<f32>; 4],
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Affine {
    pub(super) fn new(_: &Site<'_>, eps: f32) -> Self {
        Affine { eps, stored: Default::default(), scale: Vec::new(), shift: Vec::new() }
    }
}

impl Layer for Affine {
    fn prepare(&mut self, operand: usize, values: &[f32]) {
        self.stored[operand - 1] = values.to_vec();
        let [gamma, beta, mean, variance] = &self.stored;
        if [beta, mean, variance].iter().all(|other| other.len() == gamma.len()) {
            let scale: Vec<f32> = gamma.iter().zip(variance).map(|(g, v)| g / (v + self.eps).sqrt()).collect();
            let shift: Vec<f32> = beta.iter().zip(mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
            (self.scale, self.shift) = (repeat(&scale), repeat(&shift));
        }
    }

    fn forward(&self, _: usize, x: Inputs<'_>, y: &mut [f32], _: &mut Scratch) {
        apply(x.get(0), &self.scale, &self.shift, &[], false, y);
    }

    fn input_grad(&self, _: usize, at: Point<'_>, dx: &mut [f32], store: Store, _: &mut Scratch) {
        map(Scaled, [at.dy], [&self.scale], dx, store);
    }
}

/// `y = x * scale + shift`, plus `residual` unless that is empty, and without its negative part if `relu`.
fn apply(x: &[f32], scale: &[f32], shift: &[f32], residual: &[f32], relu: bool, y: &mut [f32]) {
    let function = Normalized { floor: floor(relu) };
    if residual.is_empty() {
        map(function, [x], [scale, shift], y, Store::Set);
    } else {
        map(function, [x, residual], [scale, shift], y, Store::Set);
    }
}

/// What the result of a normalization is not below.
fn floor(relu: bool) -> f32 {
    if relu { 0.0 } else { f32::NEG_INFINITY }
}

/// `x * c`
#[derive(Clone, Copy)]
struct Scaled;

impl Map<1, 1> for Scaled {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, [x]: [S::f32s; 1], [c]: [S::f32s; 1]) -> S::f32s {
        simd.mul_f32s(x, c)
    }
}

/// `max(x * a + b, floor)`, or with a residual `max(x * a + b + r, floor)`
#[derive(Clone, Copy)]
struct Normalized {
    floor: f32,
}

impl Map<1, 2> for Normalized {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, [x]: [S::f32s; 1], [a, b]: [S::f32s; 2]) -> S::f32s {
        simd.max_f32s(simd.mul_add_f32s(x, a, b), simd.splat_f32s(self.floor))
    }
}

impl Map<2, 2> for Normalized {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, [x, r]: [S::f32s; 2], [a, b]: [S::f32s; 2]) -> S::f32s {
        simd.max_f32s(simd.add_f32s(simd.mul_add_f32s(x, a, b), r), simd.splat_f32s(self.floor))
    }
}

/// The gradient in front of a normalization.
#[derive(Clone, Copy)]
struct NormalizedGrad(Passed);

impl Map<3, 3> for NormalizedGrad {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, [x, y, dy]: [S::f32s; 3], [a, b, c]: [S::f32s; 3]) -> S::f32s {
        simd.mul_add_f32s(self.0.through(simd, y, dy), a, simd.mul_add_f32s(x, b, c))
    }
}

impl Map<2, 5> for NormalizedGrad {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, [x, dy]: [S::f32s; 2], [a, b, c, scale, shift]: [S::f32s; 5]) -> S::f32s {
        let y = simd.mul_add_f32s(x, scale, shift);
        Map::<3, 3>::at(self, simd, [x, y, dy], [a, b, c])
    }
}

/// Sums of `x` and of its squares about the center.
#[derive(Clone, Copy)]
struct Moments;

impl Sum<1, 2> for Moments {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, [x]: [S::f32s; 1], center: S::f32s, sums: [S::f32s; 2]) -> [S::f32s; 2] {
        let d = simd.sub_f32s(x, center);
        [simd.add_f32s(sums[0], d), simd.mul_add_f32s(d, d, sums[1])]
    }
}

/// Sums of the gradient behind the ReLU, and of its products with `x` about the mean.
#[derive(Clone, Copy)]
struct MomentsGrad(Passed);

impl Sum<3, 2> for MomentsGrad {
    #[inline(always)]
    fn at<S: Simd>(self, simd: S, [x, y, dy]: [S::f32s; 3], mean: S::f32s, sums: [S::f32s; 2]) -> [S::f32s; 2] {
        let dz = self.0.through(simd, y, dy);
        [simd.add_f32s(sums[0], dz), simd.mul_add_f32s(dz, simd.sub_f32s(x, mean), sums[1])]
    }
}

/// Sums over the elements of each channel, as one thread finds them.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    /// Number of elements.
    pub(super) count: usize,
    /// Two sums for each channel.
    pub(super) sums: [Vec<f64>; 2],
    /// The same for the items at hand, repeated.
    partial: [Vec<f32>; 2],
}

impl Sums {
    pub(super) fn clear(&mut self, channels: usize) {
        self.count = 0;
        for sums in &mut self.sums {
            sums.clear();
            sums.resize(channels, 0.0);
        }
    }

    /// Adds another's sums.
    pub(super) fn merge(&mut self, other: &Sums) {
        self.count += other.count;
        for (sums, more) in self.sums.iter_mut().zip(&other.sums) {
            sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    }

    /// Lets `pass` sum single-precision partial sums over one image, and adds them.
    fn image(&mut self, period: usize, elements: usize, pass: impl FnOnce([&mut [f32]; 2])) {
        for partial in &mut self.partial {
            partial.clear();
            partial.resize(period, 0.0);
        }
        pass(self.partial.each_mut().map(Vec::as_mut_slice));
        let channels = self.sums[0].len();
        self.count += elements / channels;
        for (sums, partial) in self.sums.iter_mut().zip(&self.partial) {
            for values in partial.chunks_exact(channels) {
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(*value));
            }
        }
    }
}

/// Normalization by the statistics of the batch, with a residual sum and a ReLU if they follow.
#[derive(Clone, Debug, Default)]
pub(super) struct BatchNorm {
    pub(super) eps: f32,
    pub(super) relu: bool,
    pub(super) channels: usize,
    /// About which sums of squares are taken: the running mean, since it is near the true one.
    center: Vec<f32>,
    /// Statistics of the batch.
    pub(super) mean: Vec<f64>,
    pub(super) variance: Vec<f64>,
    /// The mean, repeated.
    near: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    /// The gradient of `x` is `dz * a + x * b + c`.
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl BatchNorm {
    pub(super) fn new(channels: usize, eps: f32) -> Self {
        BatchNorm { eps, channels, ..BatchNorm::default() }
    }

    /// Takes the point about which sums of squares will be taken.
    pub(super) fn begin(&mut self, center: &[f32]) {
        self.center = repeat(center);
    }

    /// First pass: sums of `x` and of its squares, both about the center.
    pub(super) fn count(&self, n: usize, x: &[f32], sums: &mut Sums) {
        for x in x.chunks_exact(x.len() / n) {
            sums.image(self.center.len(), x.len(), |sums| sum(Moments, [x], &self.center, sums));
        }
    }

    /// Between the passes: the statistics of the whole batch.
    pub(super) fn settle(&mut self, sums: &Sums, gamma: &[f32], beta: &[f32]) {
        let count = sums.count as f64;
        self.mean.clear();
        self.variance.clear();
        for (channel, (first, second)) in sums.sums[0].iter().zip(&sums.sums[1]).enumerate() {
            let offset = first / count;
            self.mean.push(f64::from(self.center[channel]) + offset);
            self.variance.push((second / count - offset * offset).max(0.0));
        }
        let scale: Vec<f32> = gamma.iter().enumerate().map(|(i, g)| (f64::from(*g) * self.inverse(i)) as f32).collect();
        let shift =
            beta.iter().zip(&scale).zip(&self.mean).map(|((b, s), m)| (f64::from(*b) - m * f64::from(*s)) as f32);
        self.shift = repeat(&shift.collect::<Vec<f32>>());
        self.scale = repeat(&scale);
        self.near = repeat(&self.mean.iter().map(|m| *m as f32).collect::<Vec<f32>>());
    }

    /// One over the standard deviation of a channel.
    fn inverse(&self, channel: usize) -> f64 {
        1.0 / (self.variance[channel] + f64::from(self.eps)).sqrt()
    }

    /// Second pass.
    pub(super) fn apply(&self, x: &[f32], residual: &[f32], y: &mut [f32]) {
        apply(x, &self.scale, &self.shift, residual, self.relu, y);
    }

    /// First pass backward: sums of the gradient behind the ReLU, and of its products with `x` about the mean.
    pub(super) fn count_grad(&self, n: usize, x: &[f32], y: &[f32], dy: &[f32], sums: &mut Sums) {
        let function = MomentsGrad(Passed { floor: floor(self.relu) });
        let len = x.len() / n;
        for ((x, y), dy) in x.chunks_exact(len).zip(y.chunks_exact(len)).zip(dy.chunks_exact(len)) {
            sums.image(self.near.len(), len, |sums| sum(function, [x, y, dy], &self.near, sums));
        }
    }

    /// Between the passes backward: the gradients of gamma and beta.
    pub(super) fn settle_grad(&mut self, sums: &Sums, gamma: &[f32]) -> [Vec<f32>; 2] {
        let count = sums.count as f64;
        let (mut d_gamma, mut d_beta) = (Vec::new(), Vec::new());
        let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
        for (channel, (first, second)) in sums.sums[0].iter().zip(&sums.sums[1]).enumerate() {
            let inverse = self.inverse(channel);
            d_beta.push(*first as f32);
            d_gamma.push((second * inverse) as f32);
            let scale = f64::from(gamma[channel]) * inverse;
            let slope = -scale * inverse * inverse * second / count;
            a.push(scale as f32);
            b.push(slope as f32);
            c.push((-scale * first / count - slope * self.mean[channel]) as f32);
        }
        (self.a, self.b, self.c) = (repeat(&a), repeat(&b), repeat(&c));
        [d_gamma, d_beta]
    }

    /// Second pass backward: puts or adds the gradient of `x`. Without `y` (and a residual in it) that is computed again.
    pub(super) fn apply_grad(&self, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32], store: Store) {
        let function = NormalizedGrad(Passed { floor: floor(self.relu) });
        if y.is_empty() {
            map(function, [x, dy], [&self.a, &self.b, &self.c, &self.scale, &self.shift], dx, store);
        } else {
            map(function, [x, y, dy], [&self.a, &self.b, &self.c], dx, store);
        }
    }

    /// The gradient of the residual, put or added: that behind the ReLU.
    pub(super) fn residual_grad(&self, y: &[f32], dy: &[f32], dr: &mut [f32], store: Store) {
        map(Passed { floor: floor(self.relu) }, [y, dy], [], dr, store);
    }
}

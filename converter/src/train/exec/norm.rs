//! Normalization of channels: by stored statistics when a graph is only run, by those of the batch when it is trained.
//!
//! In training the normalization takes the residual sum and the ReLU behind it into its own passes, since each pass over a
//! batch costs memory bandwidth. The passes run over whole periods of a few repetitions of the channels, so that
//! their inner loops are long enough for full vectors whatever the number of channels.

use super::gemm::Store;
use super::layer::{Inputs, Layer, Point, Scratch, Site};
use pulp::Arch;

/// Values that one inner loop of a pass covers, at least.
const PERIOD: usize = 128;

/// `values` repeated so often that a pass has long inner loops.
fn repeat(values: &[f32]) -> Vec<f32> {
    values.repeat(PERIOD.div_ceil(values.len().max(1)))
}

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
        for (dx, dy) in dx.chunks_mut(self.scale.len()).zip(at.dy.chunks(self.scale.len())) {
            let values = dx.iter_mut().zip(dy).zip(&self.scale);
            match store {
                Store::Set => values.for_each(|((dx, dy), s)| *dx = dy * s),
                Store::Add => values.for_each(|((dx, dy), s)| *dx += dy * s),
            }
        }
    }
}

/// `y = x * scale + shift`, plus `residual` unless that is empty, and without its negative part if `relu`.
fn apply(x: &[f32], scale: &[f32], shift: &[f32], residual: &[f32], relu: bool, y: &mut [f32]) {
    let period = scale.len();
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let floor = if relu { 0.0 } else { f32::NEG_INFINITY };
            let mut residual = residual.chunks(period);
            for (x, y) in x.chunks(period).zip(y.chunks_mut(period)) {
                let (scale, shift) = (&scale[..x.len()], &shift[..x.len()]);
                let values = y.iter_mut().zip(x).zip(scale).zip(shift);
                match residual.next() {
                    None => values.for_each(|(((y, x), a), b)| *y = x.mul_add(*a, *b).max(floor)),
                    Some(r) => values.zip(r).for_each(|((((y, x), a), b), r)| *y = (x.mul_add(*a, *b) + r).max(floor)),
                }
            }
        },
    );
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
    fn image(&mut self, period: usize, elements: usize, pass: impl FnOnce(&mut [f32], &mut [f32])) {
        for partial in &mut self.partial {
            partial.clear();
            partial.resize(period, 0.0);
        }
        let [first, second] = &mut self.partial;
        pass(first, second);
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
        let period = self.center.len();
        for x in x.chunks_exact(x.len() / n) {
            sums.image(period, x.len(), |first, second| {
                Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        for x in x.chunks(period) {
                            let sums = first[..x.len()].iter_mut().zip(&mut second[..x.len()]);
                            for ((x, center), (first, second)) in x.iter().zip(&self.center[..x.len()]).zip(sums) {
                                let d = x - center;
                                *first += d;
                                *second = d.mul_add(d, *second);
                            }
                        }
                    },
                );
            });
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
        let period = self.center.len();
        let mean = &self.near;
        let floor = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        let len = x.len() / n;
        for ((x, y), dy) in x.chunks_exact(len).zip(y.chunks_exact(len)).zip(dy.chunks_exact(len)) {
            sums.image(period, len, |first, second| {
                Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        for ((x, y), dy) in x.chunks(period).zip(y.chunks(period)).zip(dy.chunks(period)) {
                            let sums = first[..x.len()].iter_mut().zip(&mut second[..x.len()]);
                            let values = x.iter().zip(y).zip(dy).zip(&mean[..x.len()]);
                            for ((((x, y), dy), mean), (first, second)) in values.zip(sums) {
                                let dz = if *y > floor { *dy } else { 0.0 };
                                *first += dz;
                                *second = dz.mul_add(x - mean, *second);
                            }
                        }
                    },
                );
            });
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

    /// Second pass backward: puts or adds the gradient of `x`.
    pub(super) fn apply_grad(&self, x: &[f32], y: &[f32], dy: &[f32], dx: &mut [f32], store: Store) {
        let floor = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        let period = self.a.len();
        let keep = if store == Store::Add { 1.0 } else { 0.0 };
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let passes = x.chunks(period).zip(y.chunks(period)).zip(dy.chunks(period)).zip(dx.chunks_mut(period));
                for (((x, y), dy), dx) in passes {
                    let len = x.len();
                    let coefficients = self.a[..len].iter().zip(&self.b[..len]).zip(&self.c[..len]);
                    for ((((x, y), dy), dx), ((a, b), c)) in x.iter().zip(y).zip(dy).zip(dx).zip(coefficients) {
                        let dz = if *y > floor { *dy } else { 0.0 };
                        let value = dz.mul_add(*a, x.mul_add(*b, *c));
                        *dx = if keep > 0.0 { *dx + value } else { value };
                    }
                }
            },
        );
    }

    /// The gradient of the residual, put or added: that behind the ReLU.
    pub(super) fn residual_grad(&self, y: &[f32], dy: &[f32], dr: &mut [f32], store: Store) {
        let floor = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let values = dr.iter_mut().zip(y).zip(dy);
                match store {
                    Store::Set => values.for_each(|((dr, y), dy)| *dr = if *y > floor { *dy } else { 0.0 }),
                    Store::Add => values.for_each(|((dr, y), dy)| *dr += if *y > floor { *dy } else { 0.0 }),
                }
            },
        );
    }
}

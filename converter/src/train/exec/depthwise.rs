//! Depthwise convolution: each channel by itself, vectors of channels at a time.

use super::gemm::Store;
use super::layer::{Inputs, Layer, Point, Scratch, Site};
use crate::graph::Window;
use pulp::Arch;

/// A convolution with as many groups as input channels, `multiplier` outputs for each.
pub(super) struct Depthwise {
    window: Window,
    images: usize,
    /// Rows, columns, channels.
    input: [usize; 3],
    output: [usize; 3],
    /// `[kernel rows * kernel columns][out]`
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Depthwise {
    pub(super) fn new(site: &Site<'_>, window: Window) -> Self {
        let [images, h, w, c] = site.image(site.node.inputs[0]);
        let [_, oh, ow, out] = site.image(site.node.output);
        let (input, output) = ([h, w, c], [oh, ow, out]);
        Depthwise { window, images, input, output, weights: Vec::new(), bias: Vec::new() }
    }

    /// Calls `meet(tap, output pixel, input pixel)`, as offsets of their channels, wherever a tap is inside the image.
    #[inline(always)]
    fn meetings(&self, mut meet: impl FnMut(usize, usize, usize)) {
        let ([_, w, c], [oh, ow, out]) = (self.input, self.output);
        for oy in 0..oh {
            for ox in 0..ow {
                for (tap, y, x) in super::pool::taps(&self.window, [self.input[0], w], [oy, ox]) {
                    meet(tap * out, (oy * ow + ox) * out, (y * w + x) * c);
                }
            }
        }
    }

    fn sizes(&self) -> (usize, usize, usize) {
        let ([h, w, c], [oh, ow, out]) = (self.input, self.output);
        (h * w * c, oh * ow * out, out / c)
    }
}

impl Layer for Depthwise {
    fn prepare(&mut self, operand: usize, values: &[f32]) {
        if operand == 2 {
            self.bias = values.to_vec();
            return;
        }
        let out = self.output[2];
        let taps = self.window.kernel[0] * self.window.kernel[1];
        self.weights = (0..taps * out).map(|i| values[i % out * taps + i / out]).collect();
    }

    fn forward(&self, n: usize, x: Inputs<'_>, y: &mut [f32], _: &mut Scratch) {
        let (from, to, multiplier) = self.sizes();
        let (c, out) = (self.input[2], self.output[2]);
        let images = x.get(0).chunks_exact(from).zip(y.chunks_exact_mut(to)).take(n * self.images);
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for (x, y) in images {
                    if self.bias.is_empty() {
                        y.fill(0.0);
                    } else {
                        y.chunks_exact_mut(out).for_each(|y| y.copy_from_slice(&self.bias));
                    }
                    self.meetings(
                        #[inline(always)]
                        |tap, to, from| {
                            let (y, w, x) = (&mut y[to..to + out], &self.weights[tap..tap + out], &x[from..from + c]);
                            if multiplier == 1 {
                                y.iter_mut().zip(w).zip(x).for_each(|((y, w), x)| *y = x.mul_add(*w, *y));
                            } else {
                                y.iter_mut().zip(w).enumerate().for_each(|(i, (y, w))| *y += x[i / multiplier] * w);
                            }
                        },
                    );
                }
            },
        );
    }

    fn input_grad(&self, _: usize, at: Point<'_>, dx: &mut [f32], store: Store, _: &mut Scratch) {
        let (from, to, multiplier) = self.sizes();
        let (c, out) = (self.input[2], self.output[2]);
        if store == Store::Set {
            dx.fill(0.0);
        }
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for (dx, dy) in dx.chunks_exact_mut(from).zip(at.dy.chunks_exact(to)) {
                    self.meetings(
                        #[inline(always)]
                        |tap, to, from| {
                            let (dy, w) = (&dy[to..to + out], &self.weights[tap..tap + out]);
                            let dx = &mut dx[from..from + c];
                            if multiplier == 1 {
                                dx.iter_mut().zip(w).zip(dy).for_each(|((dx, w), dy)| *dx = dy.mul_add(*w, *dx));
                            } else {
                                dy.iter().zip(w).enumerate().for_each(|(i, (dy, w))| dx[i / multiplier] += dy * w);
                            }
                        },
                    );
                }
            },
        );
    }

    fn param_grad(&self, operand: usize, at: Point<'_>, dw: &mut [f32], scratch: &mut Scratch) {
        if operand == 2 {
            return super::eltwise::add_rows(at.dy, dw);
        }
        let (from, to, multiplier) = self.sizes();
        let (c, out) = (self.input[2], self.output[2]);
        let taps = self.weights.len() / out;
        // The sums grow in the order of the kernel's loops and are transposed once at the end.
        scratch.image.clear();
        scratch.image.resize(taps * out, 0.0);
        let sums = scratch.image.as_mut_slice();
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for (x, dy) in at.x.get(0).chunks_exact(from).zip(at.dy.chunks_exact(to)) {
                    self.meetings(
                        #[inline(always)]
                        |tap, to, from| {
                            let (sums, dy) = (&mut sums[tap..tap + out], &dy[to..to + out]);
                            let x = &x[from..from + c];
                            if multiplier == 1 {
                                sums.iter_mut().zip(x).zip(dy).for_each(|((sum, x), dy)| *sum = dy.mul_add(*x, *sum));
                            } else {
                                let pairs = sums.iter_mut().zip(dy).enumerate();
                                pairs.for_each(|(i, (sum, dy))| *sum += dy * x[i / multiplier]);
                            }
                        },
                    );
                }
            },
        );
        for (i, sum) in scratch.image.iter().enumerate() {
            dw[i % out * taps + i / out] += sum;
        }
    }
}

//! Depthwise convolution: each channel by itself, vectors of channels at a time.

use super::gemm::Store;
use super::layer::{Inputs, Layer, Point, Scratch, Site};
use super::pool::taps;
use crate::graph::Window;
use pulp::{Arch, Simd, WithSimd};

/// A convolution with as many groups as input channels, some outputs for each.
pub(super) struct Depthwise {
    window: Window,
    /// Rows, columns, channels.
    input: [usize; 3],
    output: [usize; 3],
    /// `[kernel rows * kernel columns][out]`
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Depthwise {
    pub(super) fn new(site: &Site<'_>, window: Window) -> Self {
        let [_, h, w, c] = site.image(site.node.inputs[0]);
        let [_, oh, ow, out] = site.image(site.node.output);
        Depthwise { window, input: [h, w, c], output: [oh, ow, out], weights: Vec::new(), bias: Vec::new() }
    }

    fn run(&self, product: Product<'_>) {
        Arch::new().dispatch(Pass { layer: self, product });
    }
}

/// Wherever a tap meets a pixel, one of the three is the sum of products of the other two.
enum Product<'a> {
    /// `y += w * x`
    Output { y: &'a mut [f32], x: &'a [f32] },
    /// `dx += w * dy`
    Image { dx: &'a mut [f32], dy: &'a [f32] },
    /// `dw += x * dy`, with the weights in the order of the layer's own.
    Weights { dw: &'a mut [f32], x: &'a [f32], dy: &'a [f32] },
}

struct Pass<'a> {
    layer: &'a Depthwise,
    product: Product<'a>,
}

impl WithSimd for Pass<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Depthwise { window, input, output, weights, .. } = self.layer;
        let ([h, w, c], [oh, ow, out]) = (*input, *output);
        let images = match &self.product {
            Product::Output { x, .. } | Product::Weights { x, .. } => x.len() / (h * w * c),
            Product::Image { dx, .. } => dx.len() / (h * w * c),
        };
        for pixel in 0..images * oh * ow {
            let (image, oy, ox) = (pixel / (oh * ow), pixel / ow % oh, pixel % ow);
            for (tap, iy, ix) in taps(window, [h, w], [oy, ox]) {
                let from = ((image * h + iy) * w + ix) * c;
                let (image, pixel, tap) = (from..from + c, pixel * out..(pixel + 1) * out, tap * out..(tap + 1) * out);
                match &mut self.product {
                    Product::Output { y, x } => spread(simd, &mut y[pixel], &weights[tap], &x[image]),
                    Product::Weights { dw, x, dy } => spread(simd, &mut dw[tap], &dy[pixel], &x[image]),
                    Product::Image { dx, dy } => collect(simd, &mut dx[image], &weights[tap], &dy[pixel]),
                }
            }
        }
    }
}

/// `to += a * b`, where a value of `b` may stand for several of `to` and `a`.
#[inline(always)]
fn spread<S: Simd>(simd: S, to: &mut [f32], a: &[f32], b: &[f32]) {
    if to.len() == b.len() {
        return add_products(simd, to, a, b);
    }
    let multiplier = to.len() / b.len();
    for (i, to) in to.iter_mut().enumerate() {
        *to += a[i] * b[i / multiplier];
    }
}

/// `to += a * b`, where a value of `to` may stand for several of `a` and `b`.
#[inline(always)]
fn collect<S: Simd>(simd: S, to: &mut [f32], a: &[f32], b: &[f32]) {
    if to.len() == b.len() {
        return add_products(simd, to, a, b);
    }
    let multiplier = b.len() / to.len();
    for (i, b) in b.iter().enumerate() {
        to[i / multiplier] += a[i] * b;
    }
}

#[inline(always)]
fn add_products<S: Simd>(simd: S, to: &mut [f32], a: &[f32], b: &[f32]) {
    let (to, to_rest) = S::as_mut_simd_f32s(to);
    let ((a, a_rest), (b, b_rest)) = (S::as_simd_f32s(a), S::as_simd_f32s(b));
    for ((to, a), b) in to.iter_mut().zip(a).zip(b) {
        *to = simd.mul_add_f32s(*a, *b, *to);
    }
    for ((to, a), b) in to_rest.iter_mut().zip(a_rest).zip(b_rest) {
        *to += a * b;
    }
}

impl Layer for Depthwise {
    fn prepare(&mut self, operand: usize, values: &[f32]) {
        if operand == 2 {
            self.bias = values.to_vec();
            return;
        }
        let out = self.output[2];
        let taps = values.len() / out;
        self.weights = (0..values.len()).map(|i| values[i % out * taps + i / out]).collect();
    }

    fn forward(&self, _: usize, x: Inputs<'_>, y: &mut [f32], _: &mut Scratch) {
        if self.bias.is_empty() {
            y.fill(0.0);
        } else {
            y.chunks_exact_mut(self.bias.len()).for_each(|pixel| pixel.copy_from_slice(&self.bias));
        }
        self.run(Product::Output { y, x: x.get(0) });
    }

    fn input_grad(&self, _: usize, at: Point<'_>, dx: &mut [f32], store: Store, _: &mut Scratch) {
        if store == Store::Set {
            dx.fill(0.0);
        }
        self.run(Product::Image { dx, dy: at.dy });
    }

    fn param_grad(&self, operand: usize, at: Point<'_>, dw: &mut [f32], scratch: &mut Scratch) {
        if operand == 2 {
            return super::passes::add_rows(at.dy, dw);
        }
        // The sums grow in the order of the layer's weights and are transposed once at the end.
        let sums = &mut scratch.image.grow(dw.len())[..dw.len()];
        sums.fill(0.0);
        self.run(Product::Weights { dw: sums, x: at.x.get(0), dy: at.dy });
        let out = self.output[2];
        let taps = dw.len() / out;
        for (i, sum) in sums.iter().enumerate() {
            dw[i % out * taps + i / out] += sum;
        }
    }
}

//! Pooling: largest value or mean under a window, and the mean of whole images.

use super::gemm::Store;
use super::layer::{Inputs, Layer, Point, Scratch, Site};
use crate::graph::{Pair, Window};

/// The taps of a window that lie inside an image of `size` for the output pixel `at`: tap, row, column.
#[inline(always)]
pub(super) fn taps(window: &Window, size: Pair, at: Pair) -> impl Iterator<Item = (usize, usize, usize)> {
    let Window { kernel, stride, dilation, pads } = *window;
    let axis = move |axis: usize, tap: usize, pad: usize| {
        (at[axis] * stride[axis] + tap * dilation[axis]).checked_sub(pad).filter(|&i| i < size[axis])
    };
    (0..kernel[0]).filter_map(move |ky| Some((ky, axis(0, ky, pads.top)?))).flat_map(move |(ky, y)| {
        (0..kernel[1]).filter_map(move |kx| Some((ky * kernel[1] + kx, y, axis(1, kx, pads.left)?)))
    })
}

/// Sizes shared by both windowed pools.
struct Sizes {
    window: Window,
    /// Rows, columns.
    input: Pair,
    output: Pair,
    channels: usize,
}

impl Sizes {
    fn new(site: &Site<'_>, window: Window) -> Self {
        let [_, h, w, channels] = site.image(site.node.inputs[0]);
        let [_, oh, ow, _] = site.image(site.node.output);
        Sizes { window, input: [h, w], output: [oh, ow], channels }
    }

    fn input_len(&self) -> usize {
        self.input[0] * self.input[1] * self.channels
    }

    fn output_len(&self) -> usize {
        self.output[0] * self.output[1] * self.channels
    }

    /// Output pixels and the offset of each.
    fn pixels(&self) -> impl Iterator<Item = (Pair, usize)> {
        let ([rows, columns], channels) = (self.output, self.channels);
        (0..rows * columns).map(move |i| ([i / columns, i % columns], i * channels))
    }

    /// Offsets of the input pixels under the window of an output pixel.
    fn under(&self, at: Pair) -> impl Iterator<Item = usize> {
        let (width, channels) = (self.input[1], self.channels);
        taps(&self.window, self.input, at).map(move |(_, y, x)| (y * width + x) * channels)
    }
}

/// Largest value under the window; where several are equal the first counts.
pub(super) struct MaxPool(Sizes);

impl MaxPool {
    pub(super) fn new(site: &Site<'_>, window: Window) -> Self {
        MaxPool(Sizes::new(site, window))
    }
}

impl Layer for MaxPool {
    fn forward(&self, _: usize, x: Inputs<'_>, y: &mut [f32], _: &mut Scratch) {
        let MaxPool(sizes) = self;
        let c = sizes.channels;
        for (x, y) in x.get(0).chunks_exact(sizes.input_len()).zip(y.chunks_exact_mut(sizes.output_len())) {
            for (at, to) in sizes.pixels() {
                let y = &mut y[to..to + c];
                y.fill(f32::NEG_INFINITY);
                for from in sizes.under(at) {
                    y.iter_mut()
                        .zip(&x[from..from + c])
                        .for_each(|(y, &x)| *y = if x > *y || x.is_nan() { x } else { *y });
                }
            }
        }
    }

    fn input_grad(&self, _: usize, at: Point<'_>, dx: &mut [f32], store: Store, _: &mut Scratch) {
        let MaxPool(sizes) = self;
        let (from, to, c) = (sizes.input_len(), sizes.output_len(), sizes.channels);
        if store == Store::Set {
            dx.fill(0.0);
        }
        let images = at.x.get(0).chunks_exact(from).zip(at.y.chunks_exact(to)).zip(at.dy.chunks_exact(to));
        for (((x, y), dy), dx) in images.zip(dx.chunks_exact_mut(from)) {
            for (at, to) in sizes.pixels() {
                for channel in 0..c {
                    let winner = sizes.under(at).find(|from| x[from + channel] == y[to + channel]);
                    if let Some(winner) = winner {
                        dx[winner + channel] += dy[to + channel];
                    }
                }
            }
        }
    }
}

/// Mean under the window.
pub(super) struct AvgPool {
    sizes: Sizes,
    count_pad: bool,
}

impl AvgPool {
    pub(super) fn new(site: &Site<'_>, window: Window, count_pad: bool) -> Self {
        AvgPool { sizes: Sizes::new(site, window), count_pad }
    }

    /// What the sum under the window of a pixel is multiplied by.
    fn factor(&self, at: Pair) -> f32 {
        let [kh, kw] = self.sizes.window.kernel;
        let count = if self.count_pad { kh * kw } else { self.sizes.under(at).count() };
        1.0 / count.max(1) as f32
    }
}

impl Layer for AvgPool {
    fn forward(&self, _: usize, x: Inputs<'_>, y: &mut [f32], _: &mut Scratch) {
        let sizes = &self.sizes;
        let c = sizes.channels;
        for (x, y) in x.get(0).chunks_exact(sizes.input_len()).zip(y.chunks_exact_mut(sizes.output_len())) {
            for (at, to) in sizes.pixels() {
                let y = &mut y[to..to + c];
                y.fill(0.0);
                for from in sizes.under(at) {
                    y.iter_mut().zip(&x[from..from + c]).for_each(|(y, x)| *y += x);
                }
                let factor = self.factor(at);
                y.iter_mut().for_each(|y| *y *= factor);
            }
        }
    }

    fn input_grad(&self, _: usize, at: Point<'_>, dx: &mut [f32], store: Store, _: &mut Scratch) {
        let sizes = &self.sizes;
        let c = sizes.channels;
        if store == Store::Set {
            dx.fill(0.0);
        }
        for (dy, dx) in at.dy.chunks_exact(sizes.output_len()).zip(dx.chunks_exact_mut(sizes.input_len())) {
            for (at, to) in sizes.pixels() {
                let factor = self.factor(at);
                for from in sizes.under(at) {
                    let dx = &mut dx[from..from + c];
                    dx.iter_mut().zip(&dy[to..to + c]).for_each(|(dx, dy)| *dx += dy * factor);
                }
            }
        }
    }
}

/// Mean over rows and columns.
pub(super) struct GlobalAvgPool {
    pixels: usize,
    channels: usize,
}

impl GlobalAvgPool {
    pub(super) fn new(site: &Site<'_>) -> Self {
        let [_, h, w, channels] = site.image(site.node.inputs[0]);
        GlobalAvgPool { pixels: h * w, channels }
    }
}

impl Layer for GlobalAvgPool {
    fn forward(&self, _: usize, x: Inputs<'_>, y: &mut [f32], _: &mut Scratch) {
        let factor = 1.0 / self.pixels as f32;
        for (x, y) in x.get(0).chunks_exact(self.pixels * self.channels).zip(y.chunks_exact_mut(self.channels)) {
            y.fill(0.0);
            super::passes::add_rows(x, y);
            y.iter_mut().for_each(|y| *y *= factor);
        }
    }

    fn input_grad(&self, _: usize, at: Point<'_>, dx: &mut [f32], store: Store, _: &mut Scratch) {
        let factor = 1.0 / self.pixels as f32;
        let images = at.dy.chunks_exact(self.channels).zip(dx.chunks_exact_mut(self.pixels * self.channels));
        for (dy, dx) in images {
            for pixel in dx.chunks_exact_mut(self.channels) {
                match store {
                    Store::Set => pixel.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy * factor),
                    Store::Add => pixel.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += dy * factor),
                }
            }
        }
    }
}

//! Convolution on channels-last images as tiled products over the images themselves, without im2col.
//!
//! * Forward: an image is copied into a frame of zeros once; a row of the product is an output pixel, its runs are the
//!   rows of the kernel, each `kernel width * channels` consecutive values of the frame.
//! * Gradient of the image: for a stride of `s` the pixels fall into `s * s` phases, each of which sees its own subset of the
//!   taps; every phase is a dense product over the framed gradient of the output, its taps in reverse.
//! * Gradient of the weight: a sum of outer products of output gradients and framed images, for each kernel row.

use super::buffer::Buffer;
use super::gemm::{Grid, Outer, Packed, Rows, Store, gather, outer};
use super::layer::{Inputs, Layer, Point, Scratch, Site};
use crate::graph::{Pair, Window};

/// A convolution in some groups.
pub(super) struct Conv {
    window: Window,
    groups: usize,
    /// Images in an item.
    images: usize,
    /// Rows, columns, channels.
    input: [usize; 3],
    output: [usize; 3],
    /// The weights as given, `[out, kernel rows, kernel columns, in / groups]`.
    bias: Vec<f32>,
    forward: Vec<Packed>,
    taps: Vec<usize>,
    phases: Vec<Phase>,
}

/// The pixels of an image whose coordinates leave the same remainders, and how their gradient is a product.
struct Phase {
    /// First pixel of the phase in the image.
    origin: Pair,
    /// Rows and columns of the phase.
    size: Pair,
    /// First pixel of the framed output gradient that the first tap of the first pixel reads.
    from: Pair,
    /// Kernel rows that meet this phase, in the order of what they read, and how far apart that is.
    rows: Taps,
    columns: Taps,
    taps: Vec<usize>,
    weights: Vec<Packed>,
}

/// The taps of one axis that a phase sees.
#[derive(Clone)]
struct Taps {
    /// Kernel indices.
    index: Vec<usize>,
    /// Where each reads, in pixels of the output gradient from that of the first.
    offset: Vec<usize>,
}

/// A frame of zeros round an image: pixels before the image, and sizes with it.
#[derive(Clone, Copy, PartialEq)]
struct Frame {
    before: Pair,
    size: Pair,
}

impl Frame {
    fn len(&self, channels: usize) -> usize {
        self.size[0] * self.size[1] * channels
    }

    /// The framed image: the image itself if there is nothing round it.
    fn put<'a>(&self, image: &'a [f32], [rows, columns, channels]: [usize; 3], buffer: &'a mut Buffer) -> &'a [f32] {
        if self.size == [rows, columns] {
            return image;
        }
        let len = self.len(channels);
        let frame = &mut buffer.grow(len)[..len];
        let width = self.size[1] * channels;
        let (left, used) = (self.before[1] * channels, columns * channels);
        let (top, rest) = frame.split_at_mut(self.before[0] * width);
        top.fill(0.0);
        let (middle, bottom) = rest.split_at_mut(rows * width);
        for (line, row) in middle.chunks_exact_mut(width).zip(image.chunks_exact(used)) {
            line[..left].fill(0.0);
            line[left..left + used].copy_from_slice(row);
            line[left + used..].fill(0.0);
        }
        bottom.fill(0.0);
        frame
    }
}

impl Conv {
    pub(super) fn new(site: &Site<'_>, window: Window, groups: usize) -> Self {
        let [images, h, w, c] = site.image(site.node.inputs[0]);
        let [_, oh, ow, out] = site.image(site.node.output);
        let mut conv = Conv {
            window,
            groups,
            images,
            input: [h, w, c],
            output: [oh, ow, out],
            bias: Vec::new(),
            forward: vec![Packed::default(); groups],
            taps: Vec::new(),
            phases: Vec::new(),
        };
        let width = conv.frame().size[1];
        let [kh, kw] = window.kernel;
        let row = |y: usize| y * window.dilation[0] * width * c;
        conv.taps = if conv.dense() {
            (0..kh).map(row).collect()
        } else {
            (0..kh).flat_map(|y| (0..kw).map(move |x| row(y) + x * window.dilation[1] * c)).collect()
        };
        conv.phases = conv.make_phases();
        conv
    }

    /// Whether a kernel row reads consecutive values.
    fn dense(&self) -> bool {
        self.groups == 1 && (self.window.dilation[1] == 1 || self.window.kernel[1] == 1)
    }

    /// The image with its padding.
    fn frame(&self) -> Frame {
        let pads = self.window.pads;
        Frame {
            before: [pads.top, pads.left],
            size: [self.input[0] + pads.top + pads.bottom, self.input[1] + pads.left + pads.right],
        }
    }

    fn make_phases(&self) -> Vec<Phase> {
        let [sy, sx] = self.window.stride;
        let pads = [self.window.pads.top, self.window.pads.left];
        let frame = self.gradient_frame();
        let mut phases = Vec::new();
        for py in 0..sy.min(self.input[0]) {
            for px in 0..sx.min(self.input[1]) {
                let axis = |axis: usize, at: usize| {
                    let stride = self.window.stride[axis];
                    // Pixel `at` is read by tap `k` of the output at `(at + pad - k * dilation) / stride`.
                    let reach = |k: usize| {
                        let numerator = (at + pads[axis]) as isize - (k * self.window.dilation[axis]) as isize;
                        (numerator.rem_euclid(stride as isize) == 0).then(|| numerator.div_euclid(stride as isize))
                    };
                    let mut seen: Vec<(isize, usize)> =
                        (0..self.window.kernel[axis]).filter_map(|k| Some((reach(k)?, k))).collect();
                    seen.sort_unstable();
                    let first = seen.first().map_or(0, |s| s.0);
                    let from = (first + frame.before[axis] as isize) as usize;
                    let offset = seen.iter().map(|s| (s.0 - first) as usize).collect();
                    (from, Taps { index: seen.iter().map(|s| s.1).collect(), offset })
                };
                let ((from_y, rows), (from_x, columns)) = (axis(0, py), axis(1, px));
                let (width, out) = (frame.size[1], self.output[2]);
                let dense = self.groups == 1 && columns.offset.iter().enumerate().all(|(i, &at)| i == at);
                let row = |y: usize| y * width * out;
                let taps = if columns.index.is_empty() {
                    Vec::new()
                } else if dense {
                    rows.offset.iter().map(|&y| row(y)).collect()
                } else {
                    rows.offset.iter().flat_map(|&y| columns.offset.iter().map(move |&x| row(y) + x * out)).collect()
                };
                phases.push(Phase {
                    origin: [py, px],
                    size: [(self.input[0] - py).div_ceil(sy), (self.input[1] - px).div_ceil(sx)],
                    from: [from_y, from_x],
                    rows,
                    columns,
                    taps,
                    weights: vec![Packed::default(); self.groups],
                });
            }
        }
        phases
    }

    /// The output gradient with as many zeros round it as any tap of any pixel reads.
    fn gradient_frame(&self) -> Frame {
        let (mut before, mut size) = ([0; 2], [0; 2]);
        let pads = [self.window.pads.top, self.window.pads.left];
        for axis in 0..2 {
            let (stride, reach) =
                (self.window.stride[axis], self.window.dilation[axis] * (self.window.kernel[axis] - 1));
            before[axis] = reach.saturating_sub(pads[axis]).div_ceil(stride);
            let last = (self.input[axis] - 1 + pads[axis]) / stride;
            size[axis] = before[axis] + self.output[axis].max(last + 1);
        }
        Frame { before, size }
    }

    /// Input and output channels of a group.
    fn depth(&self) -> [usize; 2] {
        [self.input[2] / self.groups, self.output[2] / self.groups]
    }
}

impl Layer for Conv {
    fn prepare(&mut self, operand: usize, values: &[f32]) {
        if operand == 2 {
            self.bias.clear();
            self.bias.extend_from_slice(values);
            return;
        }
        let [kh, kw] = self.window.kernel;
        let [depth, width] = self.depth();
        let k = kh * kw * depth;
        for (group, packed) in self.forward.iter_mut().enumerate() {
            packed.fill(k, width, |row, column| values[(group * width + column) * k + row]);
        }
        for phase in &mut self.phases {
            let (rows, columns) = (&phase.rows.index, &phase.columns.index);
            for (group, packed) in phase.weights.iter_mut().enumerate() {
                packed.fill(rows.len() * columns.len() * width, depth, |row, channel| {
                    let (tap, out) = (row / width, row % width);
                    let (y, x) = (rows[tap / columns.len()], columns[tap % columns.len()]);
                    values[(group * width + out) * k + (y * kw + x) * depth + channel]
                });
            }
        }
    }

    fn forward(&self, n: usize, x: Inputs<'_>, y: &mut [f32], scratch: &mut Scratch) {
        let [h, w, c] = self.input;
        let [oh, ow, out] = self.output;
        let frame = self.frame();
        let [depth, width] = self.depth();
        let [sy, sx] = self.window.stride;
        let run = if self.dense() { self.window.kernel[1] * c } else { depth };
        for (image, y) in x.get(0).chunks_exact(h * w * c).zip(y.chunks_exact_mut(oh * ow * out)).take(n * self.images)
        {
            let framed = frame.put(image, self.input, &mut scratch.image);
            for (group, weights) in self.forward.iter().enumerate() {
                let rows = Rows {
                    count: oh * ow,
                    from: &framed[group * depth..],
                    grid: Grid { width: ow, step: sx * c, line: sy * frame.size[1] * c },
                    taps: &self.taps,
                    run,
                    to: Grid { width: ow, step: out, line: ow * out },
                };
                let channels = group * width..(group + 1) * width;
                let bias = self.bias.get(channels.clone()).unwrap_or_default();
                gather(rows, weights, bias, &mut y[channels.start..], Store::Set);
            }
        }
    }

    fn input_grad(&self, _: usize, at: Point<'_>, dx: &mut [f32], store: Store, scratch: &mut Scratch) {
        let [h, w, c] = self.input;
        let [oh, ow, out] = self.output;
        let frame = self.gradient_frame();
        let [depth, width] = self.depth();
        let [sy, sx] = self.window.stride;
        for (dx, dy) in dx.chunks_exact_mut(h * w * c).zip(at.dy.chunks_exact(oh * ow * out)) {
            if store == Store::Set && self.phases.iter().any(|phase| phase.taps.is_empty()) {
                dx.fill(0.0);
            }
            let framed = frame.put(dy, self.output, &mut scratch.image);
            for phase in self.phases.iter().filter(|phase| !phase.taps.is_empty()) {
                let columns = phase.columns.index.len();
                let run = phase.rows.index.len() * columns * width / phase.taps.len();
                let from = (phase.from[0] * frame.size[1] + phase.from[1]) * out;
                let to = (phase.origin[0] * w + phase.origin[1]) * c;
                for (group, weights) in phase.weights.iter().enumerate() {
                    let rows = Rows {
                        count: phase.size[0] * phase.size[1],
                        from: &framed[from + group * width..],
                        grid: Grid { width: phase.size[1], step: out, line: frame.size[1] * out },
                        taps: &phase.taps,
                        run,
                        to: Grid { width: phase.size[1], step: sx * c, line: sy * w * c },
                    };
                    gather(rows, weights, &[], &mut dx[to + group * depth..], store);
                }
            }
        }
    }

    fn param_grad(&self, operand: usize, at: Point<'_>, dw: &mut [f32], scratch: &mut Scratch) {
        let [h, w, c] = self.input;
        let [oh, ow, out] = self.output;
        if operand == 2 {
            return super::passes::add_rows(at.dy, dw);
        }
        let frame = self.frame();
        let [depth, width] = self.depth();
        let [kh, kw] = self.window.kernel;
        let [sy, sx] = self.window.stride;
        let (run, per_row) = if self.dense() { (kw * c, 1) } else { (depth, kw) };
        // A band of rows is small enough to stay in the first-level cache while all tiles pass over it.
        let band = (128 / ow).max(1);
        for (image, dy) in at.x.get(0).chunks_exact(h * w * c).zip(at.dy.chunks_exact(oh * ow * out)) {
            let framed = frame.put(image, self.input, &mut scratch.image);
            for top in (0..oh).step_by(band) {
                for (tap, &offset) in self.taps.iter().enumerate() {
                    for group in 0..self.groups {
                        let product = Outer {
                            lines: band.min(oh - top),
                            a: &dy[top * ow * out + group * width..],
                            a_grid: Grid { width: ow, step: out, line: ow * out },
                            m: width,
                            b: &framed[top * sy * frame.size[1] * c + offset + group * depth..],
                            b_grid: Grid { width: ow, step: sx * c, line: sy * frame.size[1] * c },
                            n: run,
                            stride: kh * kw * depth,
                        };
                        let first = (group * width * kh + tap / per_row) * kw * depth + tap % per_row * depth;
                        outer(product, &mut dw[first..]);
                    }
                }
            }
        }
    }
}

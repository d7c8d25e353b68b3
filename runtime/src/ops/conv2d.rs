//! Convolution, all input channels into each output channel, with clamp and, if wanted, a residual added in place.

use super::{Add, Window};
use crate::kernels::Layout;
use crate::quant::{Channels, Output};
use crate::tensor::Shape;

/// A convolution. Input and output are images; `K` is `kernel rows` rows of `kernel columns * input channels` products.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d<'a> {
    /// Shape of the input.
    pub input: Shape,
    /// Shape of the output.
    pub output: Shape,
    /// Kernel, stride, dilation, padding.
    pub window: Window,
    /// What a tap outside the image reads.
    pub input_zero: i8,
    /// Order of the weights.
    pub layout: Layout,
    /// The weights; element `(o, ky, kx * channels + c)` is [`Conv2d::weight`].
    pub weights: &'a [i8],
    /// Bias, multiplier, shift of each output channel.
    pub channels: Channels<'a>,
    /// Zero point and clamp of the convolution's own result.
    pub range: Output,
    /// Adds what the output buffer holds on entry: `out = add.apply(conv result, out)`.
    pub residual: Option<Add>,
}

impl Conv2d<'_> {
    /// Products in one kernel row.
    pub const fn row_len(&self) -> usize {
        self.window.kernel[1].saturating_mul(self.input.channels)
    }

    /// The weight of output channel `o`, kernel row `row`, element `i` (`kx * input channels + c`).
    pub const fn weight(&self, o: usize, row: usize, i: usize) -> i8 {
        self.layout.weight(self.weights, [self.window.kernel[0], self.row_len()], [o, row, i])
    }

    /// Whether these buffers and the parameters' own slices have the sizes that the shapes ask for.
    pub const fn fits(&self, input: &[i8], output: &[i8]) -> bool {
        let out = self.output.channels;
        input.len() == self.input.len()
            && output.len() == self.output.len()
            && self.channels.covers(self.layout.padded_channels(out))
            && self.weights.len() >= self.layout.weight_bytes(out, self.window.kernel[0], self.row_len())
            && self.window.relates(self.input, self.output)
    }
}

//! Fully connected layer on the last axis.

use super::{Conv2d, Window};
use crate::kernels::Layout;
use crate::quant::{Channels, Output};
use crate::tensor::Shape;

/// `rows` vectors of `inputs` values, each into `outputs` values.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// Number of vectors.
    pub rows: usize,
    /// Length of an input vector.
    pub inputs: usize,
    /// Length of an output vector.
    pub outputs: usize,
    /// Order of the weights.
    pub layout: Layout,
    /// The weights; element `(o, i)` is `layout.weight(weights, [1, inputs], [o, 0, i])`.
    pub weights: &'a [i8],
    /// Bias, multiplier, shift of each output.
    pub channels: Channels<'a>,
    /// Zero point and clamp of the result.
    pub range: Output,
}

impl<'a> Linear<'a> {
    /// The same as a convolution with one tap over a row of `rows` pixels.
    pub const fn as_conv2d(&self) -> Conv2d<'a> {
        Conv2d {
            input: Shape::new(1, self.rows, self.inputs),
            output: Shape::new(1, self.rows, self.outputs),
            window: Window::UNIT,
            input_zero: 0,
            layout: self.layout,
            weights: self.weights,
            channels: self.channels,
            range: self.range,
            residual: None,
        }
    }

    /// Whether these buffers and the parameters' own slices have the sizes that the shapes ask for.
    pub const fn fits(&self, input: &[i8], output: &[i8]) -> bool {
        input.len() == self.rows.saturating_mul(self.inputs)
            && output.len() == self.rows.saturating_mul(self.outputs)
            && self.channels.covers(self.layout.padded_channels(self.outputs))
            && self.weights.len() >= self.layout.weight_bytes(self.outputs, 1, self.inputs)
    }
}

//! Depthwise convolution: each output channel reads one input channel.

use super::Window;
use crate::quant::{Channels, Output};
use crate::tensor::Shape;

/// A depthwise convolution. Output channel `o` reads input channel `o / multiplicity`.
#[derive(Clone, Copy, Debug)]
pub struct Depthwise<'a> {
    /// Shape of the input.
    pub input: Shape,
    /// Shape of the output: a whole multiple of the input's channels.
    pub output: Shape,
    /// Kernel, stride, dilation, padding.
    pub window: Window,
    /// What a tap outside the image reads.
    pub input_zero: i8,
    /// `[kernel rows * kernel columns][output channels]`, in every layout.
    pub weights: &'a [i8],
    /// Bias, multiplier, shift of each output channel.
    pub channels: Channels<'a>,
    /// Zero point and clamp of the result.
    pub range: Output,
}

impl Depthwise<'_> {
    /// Output channels for each input channel.
    pub const fn multiplicity(&self) -> usize {
        match self.output.channels.checked_div(self.input.channels) {
            Some(n) => n,
            None => 0,
        }
    }

    /// Whether these buffers and the parameters' own slices have the sizes that the shapes ask for.
    pub const fn fits(&self, input: &[i8], output: &[i8]) -> bool {
        let out = self.output.channels;
        input.len() == self.input.len()
            && output.len() == self.output.len()
            && self.input.channels != 0
            && out.is_multiple_of(self.input.channels)
            && self.channels.covers(out)
            && self.weights.len() >= self.window.taps().saturating_mul(out)
            && self.window.relates(self.input, self.output)
    }
}

//! Largest value under a window, channel by channel.

use super::Window;
use crate::tensor::Shape;

/// The largest value under the window; taps outside the image do not count.
#[derive(Clone, Copy, Debug)]
pub struct MaxPool {
    /// Shape of the input.
    pub input: Shape,
    /// Shape of the output, with as many channels.
    pub output: Shape,
    /// Kernel, stride, dilation, padding; every window holds at least one pixel of the image.
    pub window: Window,
}

impl MaxPool {
    /// Whether these buffers have the sizes that the shapes ask for.
    pub const fn fits(&self, input: &[i8], output: &[i8]) -> bool {
        input.len() == self.input.len()
            && output.len() == self.output.len()
            && self.input.channels == self.output.channels
            && self.window.relates(self.input, self.output)
    }
}

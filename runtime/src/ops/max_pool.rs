//! Largest value under a window, channel by channel.

use super::prelude::*;

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

/// Fields: the window.
impl<'a> Operator<'a> for MaxPool {
    type Fields = Window;

    const INPUTS: RangeInclusive<usize> = 1..=1;

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        Ok(MaxPool { input: view.input(0).shape, output: view.output().shape, window: view.read() })
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, _: &mut Sink<'_>) -> Result<Window, OpRule> {
        OpRule::Window.unless(self.window.relates(self.input, self.output))?;
        Ok(self.window)
    }

    fn check(&self, _: &OpView<'_, 'a>) -> Result<(), OpRule> {
        self.check_shapes()
    }

    fn run(&self, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        let (input, output, _) = operands.split(0);
        (kernels.max_pool)(self, input, output);
    }
}

impl MaxPool {
    /// The window belongs to the shapes and never lies outside the image.
    pub(super) fn check_shapes(&self) -> Result<(), OpRule> {
        OpRule::Window
            .unless(self.window.relates(self.input, self.output) && self.window.never_empty(self.input, self.output))?;
        OpRule::Shape.unless(self.input.channels == self.output.channels)
    }
}

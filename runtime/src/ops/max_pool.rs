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
        let (input, output, _) = operands.split(0, 0);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use crate::testing::{check_op, run_op};

    #[test]
    fn good_rows() {
        let input = Shape::new(2, 3, 1);
        let values = [-5, 1, 2, 3, -7, -8];
        for (window, output, expected) in [
            (Window::square(2, 1, 0), Shape::new(1, 2, 1), &[3, 2][..]),
            (Window::square(3, 2, 1), Shape::new(1, 2, 1), &[3, 2]),
            (Window { kernel: [1, 2], pad: [0, 1], ..Window::UNIT }, Shape::new(2, 4, 1), &[-5, 1, 2, 2, 3, 3, -7, -8]),
        ] {
            let op = Op::MaxPool(MaxPool { input, output, window });
            assert_eq!(run_op(op, &[(input, &values)], output), expected, "{window:?}");
        }
    }

    #[test]
    fn bad_rows() {
        let shape = Shape::new(4, 4, 2);
        let dilated = Window { kernel: [2; 2], stride: [1; 2], dilation: [8; 2], pad: [4; 2] };
        for (window, output, expected) in [
            (Window::square(2, 2, 0), Shape::new(2, 2, 2), Ok(())),
            (Window::square(2, 2, 0), Shape::new(2, 2, 3), Err(OpRule::Shape)),
            (Window::square(2, 2, 0), Shape::new(3, 2, 2), Err(OpRule::Window)),
            (Window::square(2, 1, 2), shape, Err(OpRule::Window)),
            (Window::square(0, 1, 0), shape, Err(OpRule::Window)),
            (Window::square(2, 0, 0), shape, Err(OpRule::Window)),
            // Taps at -4 and 4 of four pixels: all of them outside.
            (dilated, Shape::new(1, 1, 2), Err(OpRule::Window)),
        ] {
            let op = Op::MaxPool(MaxPool { input: shape, output, window });
            assert_eq!(check_op(op, &[shape], output), expected, "{window:?} {output:?}");
        }
    }
}

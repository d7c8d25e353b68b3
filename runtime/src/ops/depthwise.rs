//! Depthwise convolution: each output channel reads one input channel.

use super::prelude::*;

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

record! {
    /// 28 bytes.
    pub(crate) struct Fields {
        window: Window,
        input_zero: i8,
        range: Output,
        weights: u32,
        channels: u32,
    }
}

impl<'a> Operator<'a> for Depthwise<'a> {
    type Fields = Fields;

    const INPUTS: RangeInclusive<usize> = 1..=1;

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        let Fields { window, input_zero, range, weights, channels } = view.read();
        let (input, output) = (view.input(0).shape, view.output().shape);
        Ok(Depthwise {
            input,
            output,
            window,
            input_zero,
            weights: view.model().weights(weights, window.taps().saturating_mul(output.channels)),
            channels: view.model().channels(channels, view.model().layout().padded_channels(output.channels)),
            range,
        })
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, sink: &mut Sink<'_>) -> Result<Fields, OpRule> {
        OpRule::Window.unless(self.window.relates(self.input, self.output))?;
        OpRule::Weights.unless(self.weights.len() == self.window.taps().saturating_mul(self.output.channels))?;
        Ok(Fields {
            window: self.window,
            input_zero: self.input_zero,
            range: self.range,
            weights: sink.weights(self.weights),
            channels: sink.channels(&self.channels, sink.layout().padded_channels(self.output.channels))?,
        })
    }

    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
        OpRule::Window.unless(self.window.relates(self.input, self.output))?;
        OpRule::Shape.unless(self.output.channels.is_multiple_of(self.input.channels))?;
        let products = [1, self.weights.len()];
        OpRule::Weights.unless(!self.weights.is_empty() && Layout::PLAIN.is_packed(self.weights, 1, products))?;
        self.channels.check(view.model().layout().padded_channels(self.output.channels))?;
        self.range.check()
    }

    fn scratch(&self, isa: Isa) -> usize {
        (isa.scratch().depthwise)(self)
    }

    fn run(&self, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        let (input, output, scratch) = operands.split(0, self.scratch(kernels.isa));
        (kernels.depthwise)(self, input, output, scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use crate::testing::{ONE, check_op, run_op};

    const CHANNELS: Channels<'_> = Channels { bias: &[0, 100], multiplier: &[ONE.0; 2], shift: &[ONE.1; 2] };

    fn op<'a>(input: Shape, output: Shape, weights: &'a [i8]) -> Depthwise<'a> {
        let window = Window { kernel: [1, 3], pad: [0, 1], ..Window::UNIT };
        Depthwise { input, output, window, input_zero: 4, weights, channels: CHANNELS, range: Output::full(0) }
    }

    #[test]
    fn good_rows() {
        let output = Shape::new(1, 2, 2);
        let weights = [1, -1, 10, 0, -1, 2];
        // Two channels of their own: 4*1 + 1*10 - 2 and 100 - 4 + 2*20; then 1 + 2*10 - 4 and 100 - 10 + 2*4.
        let own = Shape::new(1, 2, 2);
        assert_eq!(
            run_op(Op::Depthwise(op(own, output, &weights)), &[(own, &[1, 10, 2, 20])], output),
            [12, 127, 17, 98]
        );
        // Two outputs of the one channel: 4 + 10 - 2 and 100 - 4 + 2*2; then 1 + 20 - 4 and 100 - 1 + 8.
        let one = Shape::new(1, 2, 1);
        assert_eq!(run_op(Op::Depthwise(op(one, output, &weights)), &[(one, &[1, 2])], output), [12, 100, 17, 107]);
    }

    #[test]
    fn bad_rows() {
        let shape = Shape::new(1, 2, 2);
        let good = op(shape, shape, &[1; 6]);
        for (op, expected) in [
            (good, Ok(())),
            (Depthwise { weights: &[1; 5], ..good }, Err(OpRule::Weights)),
            (Depthwise { weights: &[0, 0, -128, 0, 0, 0], ..good }, Err(OpRule::Weights)),
            (Depthwise { channels: Channels { shift: &[ONE.1, 31], ..CHANNELS }, ..good }, Err(OpRule::Multiplier)),
            (Depthwise { channels: Channels::NONE, ..good }, Err(OpRule::Table)),
            (Depthwise { range: Output { lo: 0, hi: -1, zero: 0 }, ..good }, Err(OpRule::Clamp)),
            (Depthwise { window: Window::square(3, 1, 3), ..good }, Err(OpRule::Window)),
        ] {
            assert_eq!(check_op(Op::Depthwise(op), &[shape], shape), expected, "{op:?}");
        }
        let three = Shape::new(1, 2, 3);
        assert_eq!(check_op(Op::Depthwise(op(three, shape, &[1; 6])), &[three], shape), Err(OpRule::Shape));
    }
}

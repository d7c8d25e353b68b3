//! Convolution, all input channels into each output channel, with clamp and, if wanted, a residual added in place.

use super::Add;
use super::prelude::*;

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

record! {
    /// 40 bytes. The residual's parameters are zeros where there is no second input.
    pub(crate) struct Fields {
        window: Window,
        input_zero: i8,
        range: Output,
        weights: u32,
        channels: u32,
        residual: Add,
    }
}

/// Inputs: the image, and the residual if there is one, which lies where the output does.
impl<'a> Operator<'a> for Conv2d<'a> {
    type Fields = Fields;

    const INPUTS: RangeInclusive<usize> = 1..=2;

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        let Fields { window, input_zero, range, weights, channels, residual } = view.read();
        let (input, output, layout) = (view.input(0).shape, view.output().shape, view.model().layout());
        let row_len = window.kernel[1].saturating_mul(input.channels);
        Ok(Conv2d {
            input,
            output,
            window,
            input_zero,
            layout,
            weights: view.model().weights(weights, layout.weight_bytes(output.channels, window.kernel[0], row_len)),
            channels: view.model().channels(channels, layout.padded_channels(output.channels)),
            range,
            residual: (view.inputs() == 2).then_some(residual),
        })
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, sink: &mut Sink<'_>) -> Result<Fields, OpRule> {
        OpRule::Window.unless(self.window.relates(self.input, self.output))?;
        let bytes = self.layout.weight_bytes(self.output.channels, self.window.kernel[0], self.row_len());
        OpRule::Weights.unless(self.layout == sink.layout() && self.weights.len() == bytes)?;
        Ok(Fields {
            window: self.window,
            input_zero: self.input_zero,
            range: self.range,
            weights: sink.weights(self.weights),
            channels: sink.channels(&self.channels, self.layout.padded_channels(self.output.channels))?,
            residual: self.residual.unwrap_or(Add::NONE),
        })
    }

    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
        OpRule::Window.unless(self.window.relates(self.input, self.output))?;
        OpRule::Shape.unless(self.residual.is_none() || view.input(1).shape == self.output)?;
        let products = [self.window.kernel[0], self.row_len()];
        OpRule::Weights
            .unless(!self.weights.is_empty() && self.layout.is_packed(self.weights, self.output.channels, products))?;
        self.channels.check(self.layout.padded_channels(self.output.channels))?;
        self.range.check()?;
        self.residual.map_or(Ok(()), Add::check_numbers)
    }

    fn sharing(&self) -> Sharing {
        if self.residual.is_some() { Sharing::Must(1) } else { Sharing::Never }
    }

    fn scratch(&self, isa: Isa) -> usize {
        (isa.scratch().conv2d)(self)
    }

    fn run(&self, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        let (input, output, scratch) = operands.split(0, self.scratch(kernels.isa));
        (kernels.conv2d)(self, input, output, scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use crate::testing::{HALF, ONE, check_op, run_op};

    const CHANNELS: Channels<'_> = Channels { bias: &[0, 10], multiplier: &[ONE.0; 2], shift: &[ONE.1; 2] };
    /// `round((a + b) / 2)`
    const MEAN: Add = Add { multipliers: [1 << 14; 2], bias: 1 << 14, shift: 15, lo: -128, hi: 127 };

    fn op<'a>(input: Shape, output: Shape, window: Window, weights: &'a [i8]) -> Conv2d<'a> {
        let range = Output::full(0);
        let (layout, channels) = (Layout::PLAIN, CHANNELS);
        Conv2d { input, output, window, input_zero: 5, layout, weights, channels, range, residual: None }
    }

    #[test]
    fn good_rows() {
        let (input, output) = (Shape::new(2, 2, 1), Shape::new(1, 1, 2));
        let values = (input, &[1, 2, 3, 4][..]);
        let weights = [1, 1, 1, 1, 1, -1, 2, -2];
        let dense = op(input, output, Window::square(2, 1, 0), &weights);
        assert_eq!(run_op(Op::Conv2d(dense), &[values], output), [10, 7]);
        // The window of the first output sees three pixels of padding, then 1; the padding reads 5.
        let padded = Conv2d { window: Window::square(2, 2, 1), ..dense };
        assert_eq!(run_op(Op::Conv2d(padded), &[values], output), [16, 10 + 5 - 5 + 10 - 2]);
        // Every other pixel.
        let wide = Conv2d { output: Shape::new(2, 2, 2), window: Window::square(1, 1, 0), weights: &[3, -4], ..dense };
        assert_eq!(run_op(Op::Conv2d(wide), &[values], wide.output), [3, 6, 6, 2, 9, -2, 12, -6]);
        let strided = Conv2d { output, window: Window::square(1, 2, 0), ..wide };
        assert_eq!(run_op(Op::Conv2d(strided), &[values], output), [3, 6]);
        let dilated =
            Conv2d { window: Window { kernel: [2; 2], stride: [1; 2], dilation: [2; 2], pad: [1; 2] }, ..dense };
        assert_eq!(run_op(Op::Conv2d(dilated), &[values], output), [5 + 5 + 5 + 4, 10 + 5 - 5 + 10 - 8]);
        let channels = Channels { multiplier: &[HALF.0; 2], shift: &[HALF.1; 2], ..CHANNELS };
        let clamped = Conv2d { channels, range: Output { zero: -1, lo: -1, hi: 3 }, ..dense };
        assert_eq!(run_op(Op::Conv2d(clamped), &[values], output), [3, 3]);
        let summed = Conv2d { residual: Some(MEAN), ..dense };
        assert_eq!(run_op(Op::Conv2d(summed), &[values, (output, &[20, -10])], output), [15, -1]);
    }

    #[test]
    fn bad_rows() {
        let (input, output) = (Shape::new(3, 3, 2), Shape::new(3, 3, 2));
        let weights = [1; 36];
        let good = op(input, output, Window::square(3, 1, 1), &weights);
        let mut least = weights;
        least[35] = -128;
        for (op, expected) in [
            (good, Ok(())),
            (Conv2d { window: Window::square(3, 0, 1), ..good }, Err(OpRule::Window)),
            (Conv2d { window: Window::square(3, 2, 1), ..good }, Err(OpRule::Window)),
            (Conv2d { window: Window::square(3, 1, 3), ..good }, Err(OpRule::Window)),
            (Conv2d { window: Window::square(65536, 1, 1), ..good }, Err(OpRule::Window)),
            (Conv2d { weights: &weights[..35], ..good }, Err(OpRule::Weights)),
            (Conv2d { weights: &least, ..good }, Err(OpRule::Weights)),
            (Conv2d { channels: Channels { multiplier: &[0; 2], ..CHANNELS }, ..good }, Err(OpRule::Multiplier)),
            (Conv2d { channels: Channels { shift: &[ONE.1; 1], ..CHANNELS }, ..good }, Err(OpRule::Table)),
            (Conv2d { range: Output { zero: 0, lo: 1, hi: 0 }, ..good }, Err(OpRule::Clamp)),
        ] {
            assert_eq!(check_op(Op::Conv2d(op), &[input], output), expected, "{op:?}");
        }
        let summed = Conv2d { residual: Some(MEAN), ..good };
        let wrong = Conv2d { residual: Some(Add { shift: 0, ..MEAN }), ..good };
        assert_eq!(check_op(Op::Conv2d(summed), &[input, output], output), Ok(()));
        assert_eq!(check_op(Op::Conv2d(wrong), &[input, output], output), Err(OpRule::Multiplier));
        assert_eq!(check_op(Op::Conv2d(summed), &[input, Shape::new(3, 2, 4)], output), Err(OpRule::Aliasing));
        assert_eq!(check_op(Op::Conv2d(summed), &[input, Shape::new(3, 1, 6)], output), Err(OpRule::Shape));
    }
}

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
        let (input, output, scratch) = operands.split(0);
        (kernels.conv2d)(self, input, output, scratch);
    }
}

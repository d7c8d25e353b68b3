//! Fully connected layer on the last axis.

use super::Conv2d;
use super::prelude::*;

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

record! {
    /// 12 bytes; the byte between is zero.
    pub(crate) struct Fields {
        range: Output,
        reserved: u8,
        weights: u32,
        channels: u32,
    }
}

/// Rows and columns of the tensors are rows of the matrix, channels its columns.
impl<'a> Operator<'a> for Linear<'a> {
    type Fields = Fields;

    const INPUTS: RangeInclusive<usize> = 1..=1;

    const ROWS: Rows = Rows::Kept;

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        let Fields { range, weights, channels, .. } = view.read();
        let (inputs, outputs) = (view.input(0).shape.channels, view.output().shape.channels);
        let layout = view.model().layout();
        Ok(Linear {
            rows: view.output().shape.pixels(),
            inputs,
            outputs,
            layout,
            weights: view.model().weights(weights, layout.weight_bytes(outputs, 1, inputs)),
            channels: view.model().channels(channels, layout.padded_channels(outputs)),
            range,
        })
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, sink: &mut Sink<'_>) -> Result<Fields, OpRule> {
        let bytes = self.layout.weight_bytes(self.outputs, 1, self.inputs);
        OpRule::Weights.unless(self.layout == sink.layout() && self.weights.len() == bytes)?;
        Ok(Fields {
            range: self.range,
            reserved: 0,
            weights: sink.weights(self.weights),
            channels: sink.channels(&self.channels, self.layout.padded_channels(self.outputs))?,
        })
    }

    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
        let (input, output) = (view.input(0).shape, view.output().shape);
        // As a convolution, the rows are the columns of an image, whose numbers have 16 bits.
        let rows = input.pixels();
        OpRule::Shape.unless(input.pixels() == output.pixels() && rows <= u16::MAX as usize)?;
        OpRule::Weights
            .unless(!self.weights.is_empty() && self.layout.is_packed(self.weights, self.outputs, [1, self.inputs]))?;
        self.channels.check(self.layout.padded_channels(self.outputs))?;
        self.range.check()
    }

    fn scratch(&self, isa: Isa) -> usize {
        (isa.scratch().linear)(self)
    }

    fn run(&self, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        let (input, output, scratch) = operands.split(0, self.scratch(kernels.isa));
        (kernels.linear)(self, input, output, scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Order;
    use crate::ops::Op;
    use crate::testing::{ONE, check_op, run_op};

    const FULL: Output = Output::full(0);

    #[test]
    fn good_rows() {
        let channels = Channels { bias: &[5, -5], multiplier: &[ONE.0; 2], shift: &[ONE.1; 2] };
        let weights = &[1, 2, 3, -1, 0, 1];
        let op = Linear { rows: 2, inputs: 3, outputs: 2, layout: Layout::PLAIN, weights, channels, range: FULL };
        let (input, output) = (Shape::new(1, 2, 3), Shape::new(2, 1, 2));
        let values = [1, 10, 20, -1, 0, 100];
        assert_eq!(run_op(Op::Linear(op), &[(input, &values)], output), [86, 14, 127, 96]);
    }

    #[test]
    fn bad_rows() {
        let shape = Shape::new(1, 2, 3);
        let output = Shape::new(1, 2, 1);
        // Two channels in a panel, two products in a group: [channel 0, channel 1] of products 0, 1, then of 2 and the padding.
        let layout = Layout { n: 2, k: 2, order: Order::KMinor, input_offset: 0 };
        let channels = Channels { bias: &[0; 2], multiplier: &[ONE.0; 2], shift: &[ONE.1; 2] };
        let good = [1, 2, 0, 0, 3, 0, 0, 0];
        let op = Linear { rows: 2, inputs: 3, outputs: 1, layout, weights: &[], channels, range: FULL };
        let check = |weights: &[i8]| check_op(Op::Linear(Linear { weights, ..op }), &[shape], output);
        assert_eq!(check(&good), Ok(()));
        for (at, value) in [(0, -128), (2, 1), (5, 1), (7, 1)] {
            let mut weights = good;
            weights[at] = value;
            assert_eq!(check(&weights), Err(OpRule::Weights), "{at}");
        }
        assert_eq!(check(&good[..7]), Err(OpRule::Weights));
        let op = Linear { weights: &good, ..op };
        assert_eq!(check_op(Op::Linear(op), &[shape], Shape::new(1, 3, 1)), Err(OpRule::Shape));
        let channels = Channels { multiplier: &[ONE.0, 0], ..channels };
        let op = Linear { channels, ..op };
        assert_eq!(check_op(Op::Linear(op), &[shape], output), Err(OpRule::Multiplier));
        let channels = Channels { bias: &[0], multiplier: &[ONE.0], shift: &[ONE.1] };
        let op = Linear { channels, ..op };
        assert_eq!(check_op(Op::Linear(op), &[shape], output), Err(OpRule::Table));
    }
}

//! Fully connected layers.

use super::gemm::{Grid, Outer, Packed, Rows, Store, gather, outer};
use super::layer::{Inputs, Layer, Point, Scratch, Site};

/// A product with a stored matrix on the last axis.
pub(super) struct Linear {
    /// Input and output features.
    input: usize,
    output: usize,
    forward: Packed,
    backward: Packed,
    bias: Vec<f32>,
}

impl Linear {
    pub(super) fn new(site: &Site<'_>) -> Self {
        let weight = site.shape(1);
        let (output, input) = (weight[0], weight[1]);
        Linear { input, output, forward: Packed::default(), backward: Packed::default(), bias: Vec::new() }
    }
}

impl Layer for Linear {
    fn prepare(&mut self, operand: usize, values: &[f32]) {
        if operand == 2 {
            self.bias = values.to_vec();
            return;
        }
        let (input, output) = (self.input, self.output);
        self.forward.fill_columns(input, output, values, input);
        self.backward.fill_rows(output, input, values, input);
    }

    fn forward(&self, _: usize, x: Inputs<'_>, y: &mut [f32], _: &mut Scratch) {
        let rows = Rows {
            count: y.len() / self.output,
            from: x.get(0),
            grid: Grid::row(self.input),
            taps: &[0],
            run: self.input,
            to: Grid::row(self.output),
        };
        gather(rows, &self.forward, &self.bias, y, Store::Set);
    }

    fn input_grad(&self, _: usize, at: Point<'_>, dx: &mut [f32], store: Store, _: &mut Scratch) {
        let rows = Rows {
            count: dx.len() / self.input,
            from: at.dy,
            grid: Grid::row(self.output),
            taps: &[0],
            run: self.output,
            to: Grid::row(self.input),
        };
        gather(rows, &self.backward, &[], dx, store);
    }

    fn param_grad(&self, operand: usize, at: Point<'_>, dw: &mut [f32], _: &mut Scratch) {
        if operand == 2 {
            return super::passes::add_rows(at.dy, dw);
        }
        let rows = at.dy.len() / self.output;
        let line = |step| Grid { width: rows, step, line: 0 };
        let product = Outer {
            lines: 1,
            a: at.dy,
            a_grid: line(self.output),
            m: self.output,
            b: at.x.get(0),
            b_grid: line(self.input),
            n: self.input,
            stride: self.input,
        };
        outer(product, dw);
    }
}

//! Softmax along one axis.

use super::gemm::Store;
use super::layer::{Inputs, Layer, Point, Scratch, Site};

/// `exp(x) / sum(exp(x))` along an axis of `size` values `step` apart.
pub(super) struct Softmax {
    size: usize,
    step: usize,
}

impl Softmax {
    pub(super) fn new(site: &Site<'_>, axis: usize) -> Self {
        let shape = site.output();
        Softmax { size: shape[axis], step: shape[axis + 1..].iter().product() }
    }

    /// Calls `line` with the indices of each set of values that sum to one.
    fn lines(&self, len: usize, mut line: impl FnMut(std::iter::StepBy<std::ops::Range<usize>>)) {
        let block = self.size * self.step;
        for start in (0..len).step_by(block) {
            for first in start..start + self.step {
                line((first..start + block).step_by(self.step));
            }
        }
    }
}

impl Layer for Softmax {
    fn forward(&self, _: usize, x: Inputs<'_>, y: &mut [f32], _: &mut Scratch) {
        let x = x.get(0);
        self.lines(y.len(), |line| {
            let max = line.clone().map(|i| x[i]).fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for i in line.clone() {
                y[i] = (x[i] - max).exp();
                sum += y[i];
            }
            line.for_each(|i| y[i] /= sum);
        });
    }

    fn input_grad(&self, _: usize, at: Point<'_>, dx: &mut [f32], store: Store, _: &mut Scratch) {
        self.lines(at.y.len(), |line| {
            let mean: f32 = line.clone().map(|i| at.y[i] * at.dy[i]).sum();
            for i in line {
                let value = at.y[i] * (at.dy[i] - mean);
                dx[i] = if store == Store::Add { dx[i] + value } else { value };
            }
        });
    }
}

//! Operators that only move values: concat, pad, slice, reshape, transpose.

use super::gemm::Store;
use super::layer::{Inputs, Layer, Point, Scratch, Site};
use super::strided::{Strided, dense};

/// For each operand, a copy of its items into those of the output.
pub(super) struct Layout {
    /// What the copies leave open.
    fill: Option<f32>,
    /// Loops over (output, operand), and the operand's values if it is stored.
    parts: Vec<(Strided<2>, Vec<f32>)>,
    /// Values in an item of the output.
    len: usize,
}

impl Layout {
    fn new(site: &Site<'_>, fill: Option<f32>, parts: Vec<Strided<2>>) -> Self {
        let parts = parts.into_iter().map(|part| (part, Vec::new())).collect();
        Layout { fill, parts, len: site.output().iter().product() }
    }

    pub(super) fn concat(site: &Site<'_>, axis: usize) -> Self {
        let to = dense(site.output());
        let mut start = 0;
        let parts = (0..site.node.inputs.len())
            .map(|operand| {
                let shape = site.shape(operand);
                let part = Strided::new(shape, [&to, &dense(shape)], [start, 0]);
                start += shape[axis] * to[axis];
                part
            })
            .collect();
        Self::new(site, None, parts)
    }

    pub(super) fn pad(site: &Site<'_>, pads: &[(usize, usize)], value: f32) -> Self {
        let to = dense(site.output());
        let start = pads.iter().zip(&to).map(|(pad, stride)| pad.0 * stride).sum();
        let part = Strided::new(site.shape(0), [&to, &dense(site.shape(0))], [start, 0]);
        Self::new(site, Some(value), vec![part])
    }

    pub(super) fn slice(site: &Site<'_>, axis: usize, start: usize, step: usize) -> Self {
        let mut from = dense(site.shape(0));
        let start = start * from[axis];
        from[axis] *= step;
        let part = Strided::new(site.output(), [&dense(site.output()), &from], [0, start]);
        Self::new(site, None, vec![part])
    }

    pub(super) fn reshape(site: &Site<'_>) -> Self {
        let len = site.output().iter().product();
        Self::new(site, None, vec![Strided::new(&[len], [&[1], &[1]], [0, 0])])
    }

    pub(super) fn transpose(site: &Site<'_>, perm: &[usize]) -> Self {
        let from = dense(site.shape(0));
        let from: Vec<usize> = perm.iter().map(|&axis| from[axis]).collect();
        let part = Strided::new(site.output(), [&dense(site.output()), &from], [0, 0]);
        Self::new(site, None, vec![part])
    }
}

impl Layer for Layout {
    fn prepare(&mut self, operand: usize, values: &[f32]) {
        self.parts[operand].1 = values.to_vec();
    }

    fn forward(&self, n: usize, x: Inputs<'_>, y: &mut [f32], _: &mut Scratch) {
        for item in 0..n {
            let y = &mut y[item * self.len..][..self.len];
            if let Some(value) = self.fill {
                y.fill(value);
            }
            for (operand, (part, stored)) in self.parts.iter().enumerate() {
                let x = x.item(operand, item, stored);
                part.runs(|[to, from], len, [to_step, from_step]| {
                    if (to_step, from_step) == (1, 1) {
                        y[to..to + len].copy_from_slice(&x[from..from + len]);
                    } else {
                        for i in 0..len {
                            y[to + i * to_step] = x[from + i * from_step];
                        }
                    }
                });
            }
        }
    }

    fn input_grad(&self, operand: usize, at: Point<'_>, dx: &mut [f32], store: Store, _: &mut Scratch) {
        if store == Store::Set {
            dx.fill(0.0);
        }
        let len = dx.len() / at.n;
        for (dx, dy) in dx.chunks_exact_mut(len).zip(at.dy.chunks_exact(self.len)) {
            self.parts[operand].0.runs(|[to, from], len, [to_step, from_step]| {
                for i in 0..len {
                    dx[from + i * from_step] += dy[to + i * to_step];
                }
            });
        }
    }
}

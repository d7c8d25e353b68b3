//! Products of two tensors over their last two axes.

use super::gemm::{Grid, Outer, Rows, Store, gather, outer};
use super::layer::{Inputs, Layer, Point, Scratch, Site};
use super::strided::{Strided, broadcast, dense};

/// Matrices `[m, k]` times `[k, n]`, the leading axes broadcast.
pub(super) struct MatMul {
    /// Over the first elements of (output, left, right) matrices.
    walk: Strided<3>,
    /// `m`, `k`, `n`.
    sizes: [usize; 3],
    len: usize,
    stored: [Vec<f32>; 2],
}

impl MatMul {
    pub(super) fn new(site: &Site<'_>) -> Self {
        let (left, right, out) = (site.shape(0), site.shape(1), site.output());
        let matrix = |shape: &[usize]| [shape[shape.len() - 2], shape[shape.len() - 1]];
        let ([m, k], [_, n]) = (matrix(left), matrix(right));
        let lead = &out[..out.len() - 2];
        let strides = |shape: &[usize], size: usize| -> Vec<usize> {
            broadcast(&shape[..shape.len() - 2], lead).iter().map(|stride| stride * size).collect()
        };
        let to: Vec<usize> = dense(lead).iter().map(|stride| stride * m * n).collect();
        let walk = Strided::new(lead, [&to, &strides(left, m * k), &strides(right, k * n)], [0; 3]);
        MatMul { walk, sizes: [m, k, n], len: out.iter().product(), stored: Default::default() }
    }

    /// Calls `product` with the begins of each triple of matrices.
    fn each(&self, mut product: impl FnMut([usize; 3])) {
        self.walk.runs(|[to, left, right], len, steps| {
            for i in 0..len {
                product([to + i * steps[0], left + i * steps[1], right + i * steps[2]]);
            }
        });
    }

    /// Adds the gradient by one operand of one item.
    fn grad(&self, operand: usize, dy: &[f32], other: &[f32], dx: &mut [f32], scratch: &mut Scratch) {
        let [m, k, n] = self.sizes;
        self.each(|[to, left, right]| {
            let dy = &dy[to..to + m * n];
            if operand == 0 {
                let other = &other[right..right + k * n];
                scratch.packed.fill_columns(n, k, other, n);
                let rows = Rows { count: m, from: dy, grid: Grid::row(n), taps: &[0], run: n, to: Grid::row(k) };
                gather(rows, &scratch.packed, &[], &mut dx[left..left + m * k], Store::Add);
            } else {
                let line = |step| Grid { width: m, step, line: 0 };
                let product = Outer {
                    lines: 1,
                    a: &other[left..left + m * k],
                    a_grid: line(k),
                    m: k,
                    b: dy,
                    b_grid: line(n),
                    n,
                    stride: n,
                };
                outer(product, &mut dx[right..right + k * n]);
            }
        });
    }
}

impl Layer for MatMul {
    fn prepare(&mut self, operand: usize, values: &[f32]) {
        self.stored[operand] = values.to_vec();
    }

    fn forward(&self, n: usize, x: Inputs<'_>, y: &mut [f32], scratch: &mut Scratch) {
        let [m, k, columns] = self.sizes;
        for item in 0..n {
            let (a, b) = (x.item(0, item, &self.stored[0]), x.item(1, item, &self.stored[1]));
            let y = &mut y[item * self.len..][..self.len];
            self.each(|[to, left, right]| {
                let b = &b[right..right + k * columns];
                scratch.packed.fill_rows(k, columns, b, columns);
                let rows = Rows {
                    count: m,
                    from: &a[left..left + m * k],
                    grid: Grid::row(k),
                    taps: &[0],
                    run: k,
                    to: Grid::row(columns),
                };
                gather(rows, &scratch.packed, &[], &mut y[to..to + m * columns], Store::Set);
            });
        }
    }

    fn input_grad(&self, operand: usize, at: Point<'_>, dx: &mut [f32], store: Store, scratch: &mut Scratch) {
        if store == Store::Set {
            dx.fill(0.0);
        }
        let len = dx.len() / at.n;
        for item in 0..at.n {
            let other = at.x.item(1 - operand, item, &self.stored[1 - operand]);
            self.grad(operand, &at.dy[item * self.len..], other, &mut dx[item * len..][..len], scratch);
        }
    }

    fn param_grad(&self, operand: usize, at: Point<'_>, dw: &mut [f32], scratch: &mut Scratch) {
        for item in 0..at.n {
            let other = at.x.item(1 - operand, item, &self.stored[1 - operand]);
            self.grad(operand, &at.dy[item * self.len..], other, dw, scratch);
        }
    }
}

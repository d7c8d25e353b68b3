//! The right operand of a product: a matrix in panels of a few vectors, as the register tiles read it.

use super::buffer::Buffer;
use pulp::{Arch, Simd, WithSimd};

/// Rows that are turned together: what is read of so many columns, and where it goes, stays in the first-level cache.
const ROWS: usize = 16;

/// Vectors in each panel of a matrix `n` wide: pairs, and one single or triple where they do not come out even.
pub(super) fn panels(n: usize, lanes: usize) -> impl Iterator<Item = usize> {
    let mut left = n.div_ceil(lanes);
    std::iter::from_fn(move || {
        let take = if left == 3 { 3 } else { left.min(2) };
        left -= take;
        (take > 0).then_some(take)
    })
}

/// The length of a vector of the CPU at hand.
pub(super) fn lanes() -> usize {
    Arch::new().dispatch(Lanes)
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// A matrix `[k, n]` in panels of a few vectors: all rows of the first columns, then all rows of the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    pub(super) data: Buffer,
    pub(super) k: usize,
    pub(super) n: usize,
}

impl Packed {
    /// Takes over the elements that `at(row, column)` gives, padding the columns with zeros.
    pub(super) fn fill(&mut self, k: usize, n: usize, at: impl Fn(usize, usize) -> f32) {
        self.each_panel(k, n, |first, columns, panel| {
            for (row, to) in panel.chunks_exact_mut(columns).enumerate() {
                for (column, to) in (first..n).zip(to) {
                    *to = at(row, column);
                }
            }
        });
    }

    /// Takes over a matrix whose rows begin `stride` apart.
    pub(super) fn fill_rows(&mut self, k: usize, n: usize, values: &[f32], stride: usize) {
        self.each_panel(k, n, |first, columns, panel| {
            let len = columns.min(n - first);
            for (row, to) in panel.chunks_exact_mut(columns).enumerate() {
                to[..len].copy_from_slice(&values[row * stride + first..][..len]);
            }
        });
    }

    /// Takes over a matrix whose columns begin `stride` apart.
    pub(super) fn fill_columns(&mut self, k: usize, n: usize, values: &[f32], stride: usize) {
        self.each_panel(k, n, |first, columns, panel| {
            for (block, panel) in panel.chunks_mut(ROWS * columns).enumerate() {
                for column in 0..columns.min(n - first) {
                    let from = &values[(first + column) * stride + block * ROWS..];
                    for (to, from) in panel[column..].iter_mut().step_by(columns).zip(from) {
                        *to = *from;
                    }
                }
            }
        });
    }

    /// Makes room for `[k, n]`, and shows the first column, the number of columns and the values of each panel, which are
    /// zeros where the matrix has ended.
    fn each_panel(&mut self, k: usize, n: usize, mut each: impl FnMut(usize, usize, &mut [f32])) {
        let lanes = lanes();
        (self.k, self.n) = (k, n);
        let mut rest = &mut self.data.grow(k * n.next_multiple_of(lanes))[..k * n.next_multiple_of(lanes)];
        let mut first = 0;
        for vectors in panels(n, lanes) {
            let columns = vectors * lanes;
            let (panel, behind) = rest.split_at_mut(k * columns);
            if first + columns > n {
                panel.fill(0.0);
            }
            if k > 0 {
                each(first, columns, panel);
            }
            (first, rest) = (first + columns, behind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns_are_put_where_elements_are() {
        for (k, n) in [(1usize, 1usize), (5, 3), (16, 16), (17, 33), (40, 48), (33, 100)] {
            let stride = k.max(n) + 2;
            let values: Vec<f32> = (0..stride * stride).map(|i| i as f32).collect();
            let [mut single, mut whole] = [Packed::default(), Packed::default()];
            single.data.grow(10_000).fill(f32::NAN);
            whole.data.grow(10_000).fill(f32::NAN);
            let len = k * n.next_multiple_of(lanes());
            single.fill(k, n, |row, column| values[row * stride + column]);
            whole.fill_rows(k, n, &values, stride);
            assert_eq!(single.data[..len], whole.data[..len], "rows of {k} x {n}");
            single.fill(k, n, |row, column| values[column * stride + row]);
            whole.fill_columns(k, n, &values, stride);
            assert_eq!(single.data[..len], whole.data[..len], "columns of {k} x {n}");
        }
    }
}

//! The two register-tile products under every convolution, linear layer and matrix product, forward and backward.
//!
//! Both keep a tile of `MR` rows by `NV` vectors of the result in registers over the whole sum. [`gather`] reads
//! its rows where they lie in an image (no im2col): a row is a few runs of consecutive values, the taps. [`outer`] sums
//! outer products, one for each pixel, which is what a weight gradient is. Every element of a result is one chain
//! of fused multiply-adds in a fixed order, so no result depends on the tile or on the vector length.

#![expect(clippy::needless_range_loop, reason = "constant ranges over arrays are unrolled into registers")]

use super::packed::{lanes, panels};
use pulp::{Arch, Simd, WithSimd};

pub(super) use super::packed::Packed;

/// Where the elements of a two-level sequence begin: `width` of them `step` apart, then the next line, `line` further.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) width: usize,
    pub(super) step: usize,
    pub(super) line: usize,
}

impl Grid {
    /// One line without end.
    pub(super) const fn row(step: usize) -> Self {
        Grid { width: usize::MAX, step, line: 0 }
    }

    /// The offsets of the elements `first`, `first + 1`, ..
    fn walk(self, first: usize) -> impl Iterator<Item = usize> {
        let mut column = first % self.width;
        let mut start = first / self.width * self.line;
        std::iter::repeat_with(move || {
            let at = start + column * self.step;
            column += 1;
            if column == self.width {
                (column, start) = (0, start + self.line);
            }
            at
        })
    }
}

/// How a result meets what is stored already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    /// Takes its place.
    Set,
    /// Is added to it.
    Add,
}

/// The left operand of [`gather`], and where its rows go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    /// Number of rows.
    pub(super) count: usize,
    /// The values that rows are taken from.
    pub(super) from: &'a [f32],
    /// Where each row begins.
    pub(super) grid: Grid,
    /// Where, from the begin of the row, each run begins.
    pub(super) taps: &'a [usize],
    /// Values in a run.
    pub(super) run: usize,
    /// Where each row of the result begins.
    pub(super) to: Grid,
}

/// `out[row][n] = bias[n] + sum over taps and runs of from[row + tap + i] * weights[tap * run + i][n]`.
///
/// `bias` is empty or has a value for each column.
pub(super) fn gather(rows: Rows<'_>, weights: &Packed, bias: &[f32], out: &mut [f32], store: Store) {
    debug_assert_eq!(weights.k, rows.taps.len() * rows.run);
    debug_assert!(bias.is_empty() || bias.len() == weights.n);
    Arch::new().dispatch(Gather { rows, weights, bias, out, store });
}

struct Gather<'a> {
    rows: Rows<'a>,
    weights: &'a Packed,
    bias: &'a [f32],
    out: &'a mut [f32],
    store: Store,
}

impl WithSimd for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let mut first = 0;
        let mut packed: &[f32] = &self.weights.data;
        for vectors in panels(self.weights.n, S::F32_LANES) {
            let (panel, rest) = packed.split_at(self.weights.k * vectors * S::F32_LANES);
            match (vectors, S::REGISTER_COUNT >= 32) {
                (1, true) => self.panel::<S, 12, 1>(simd, panel, first),
                (2, true) => self.panel::<S, 12, 2>(simd, panel, first),
                (_, true) => self.panel::<S, 8, 3>(simd, panel, first),
                (1, false) => self.panel::<S, 8, 1>(simd, panel, first),
                (2, false) => self.panel::<S, 6, 2>(simd, panel, first),
                (_, false) => self.panel::<S, 4, 3>(simd, panel, first),
            }
            first += vectors * S::F32_LANES;
            packed = rest;
        }
    }
}

impl Gather<'_> {
    /// All rows of the columns from `first` on.
    #[inline(always)]
    fn panel<S: Simd, const MR: usize, const NV: usize>(&mut self, simd: S, panel: &[f32], first: usize) {
        let mut row = 0;
        while self.rows.count - row >= MR {
            self.tile::<S, MR, NV>(simd, panel, first, row);
            row += MR;
        }
        while row < self.rows.count {
            self.tile::<S, 4, NV>(simd, panel, first, row);
            row += 4;
        }
    }

    /// Up to `MR` rows from `row` on; what the last tile lacks is computed from its last row again and not stored.
    #[inline(always)]
    fn tile<S: Simd, const MR: usize, const NV: usize>(&mut self, simd: S, panel: &[f32], first: usize, row: usize) {
        let Rows { count, from, grid, taps, run, to } = self.rows;
        let valid = MR.min(count - row);
        let mut origins = [0; MR];
        for (origin, at) in origins.iter_mut().zip(grid.walk(row)).take(valid) {
            *origin = at;
        }
        for m in valid..MR {
            origins[m] = origins[valid - 1];
        }
        let acc = settled(dot::<S, MR, NV>(simd, from, &origins, taps, run, panel));
        let columns = (NV * S::F32_LANES).min(self.weights.n - first);
        for (m, at) in (0..valid).zip(to.walk(row)) {
            let out = &mut self.out[at + first..][..columns];
            let bias = self.bias.get(first..first + columns).unwrap_or_default();
            store_row::<S, NV>(simd, &acc[m], bias, out, self.store);
        }
    }
}

/// The sums of a tile of [`gather`].
#[inline(always)]
fn dot<S: Simd, const MR: usize, const NV: usize>(
    simd: S,
    from: &[f32],
    origins: &[usize; MR],
    taps: &[usize],
    run: usize,
    panel: &[f32],
) -> [[S::f32s; NV]; MR] {
    let mut acc = [[simd.splat_f32s(0.0); NV]; MR];
    let (weights, _) = S::as_simd_f32s(panel).0.as_chunks::<NV>();
    for (&tap, weights) in taps.iter().zip(weights.chunks_exact(run)) {
        let mut rows: [&[f32]; MR] = [&[]; MR];
        for m in 0..MR {
            rows[m] = &from[origins[m] + tap..][..weights.len()];
        }
        for (i, w) in weights.iter().enumerate() {
            // Two short loops and not one long: both are short enough to be unrolled in development builds too.
            let mut x = [0.0; MR];
            for m in 0..MR {
                x[m] = rows[m][i];
            }
            for m in 0..MR {
                let x = simd.splat_f32s(x[m]);
                for v in 0..NV {
                    acc[m][v] = simd.mul_add_f32s(x, w[v], acc[m][v]);
                }
            }
        }
    }
    acc
}

/// A copy of a finished tile, to be read row by row: an array with variable indices would live in memory, while the
/// sums that it is made of stay in registers.
#[inline(always)]
fn settled<V: Copy, const MR: usize, const NV: usize>(acc: [[V; NV]; MR]) -> [[V; NV]; MR] {
    let mut copy = acc;
    for m in 0..MR {
        for v in 0..NV {
            copy[m][v] = acc[m][v];
        }
    }
    copy
}

/// Stores `NV` vectors, plus bias, in as many columns as `out` has.
#[inline(always)]
fn store_row<S: Simd, const NV: usize>(simd: S, acc: &[S::f32s; NV], bias: &[f32], out: &mut [f32], store: Store) {
    let (whole, rest) = S::as_mut_simd_f32s(out);
    let (bias_whole, bias_rest) = S::as_simd_f32s(bias);
    for v in 0..NV {
        let Some(out) = whole.get_mut(v) else { break };
        let sum = bias_whole.get(v).map_or(acc[v], |bias| simd.add_f32s(acc[v], *bias));
        *out = if store == Store::Add { simd.add_f32s(*out, sum) } else { sum };
    }
    if let (Some(&sum), false) = (acc.get(whole.len()), rest.is_empty()) {
        let sum = if bias_rest.is_empty() { sum } else { simd.add_f32s(sum, simd.partial_load_f32s(bias_rest)) };
        let sum = if store == Store::Add { simd.add_f32s(simd.partial_load_f32s(rest), sum) } else { sum };
        simd.partial_store_f32s(rest, sum);
    }
}

/// A sum of outer products `c[m][n] += sum over p of a[p][m] * b[p][n]`.
///
/// `p` runs over `lines` lines of a grid of `a` and of `b`, of one width.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outer<'a> {
    /// Lines of `p`.
    pub(super) lines: usize,
    /// Left operand.
    pub(super) a: &'a [f32],
    /// Where its vectors begin.
    pub(super) a_grid: Grid,
    /// Values in each, the rows of the result.
    pub(super) m: usize,
    /// Right operand.
    pub(super) b: &'a [f32],
    /// Where its vectors begin.
    pub(super) b_grid: Grid,
    /// Values in each, the columns of the result.
    pub(super) n: usize,
    /// Distance between rows of the result.
    pub(super) stride: usize,
}

/// Adds the sum to `c`.
pub(super) fn outer(product: Outer<'_>, c: &mut [f32]) {
    let arch = Arch::new();
    let Outer { lines, a, a_grid, b, b_grid, n, .. } = product;
    // Whole vectors are read, behind the last column too. Lines for which that would be behind the end of `b` are
    // multiplied in a copy with zeros behind it.
    let reach = (b_grid.width - 1) * b_grid.step + n.next_multiple_of(lanes());
    let safe = b.len().checked_sub(reach).map_or(0, |end| end.checked_div(b_grid.line).map_or(lines, |line| line + 1));
    let safe = safe.min(lines);
    arch.dispatch(OuterInto { product: Outer { lines: safe, ..product }, c });
    if safe < lines {
        let mut copy = b[safe * b_grid.line..].to_vec();
        copy.resize((lines - safe - 1) * b_grid.line + reach, 0.0);
        let rest = Outer { lines: lines - safe, a: &a[safe * a_grid.line..], b: &copy, ..product };
        arch.dispatch(OuterInto { product: rest, c });
    }
}

struct OuterInto<'a, 'c> {
    product: Outer<'a>,
    c: &'c mut [f32],
}

impl WithSimd for OuterInto<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let mut first = 0;
        // Triples come first here: both operands change with every step, so the fewest loads for a product count most.
        let mut left = self.product.n.div_ceil(S::F32_LANES);
        while left > 0 {
            let vectors = if left == 4 { 2 } else { left.min(3) };
            match (vectors, S::REGISTER_COUNT >= 32) {
                (1, true) => self.panel::<S, 16, 1>(simd, first),
                (2, true) => self.panel::<S, 8, 2>(simd, first),
                (_, true) => self.panel::<S, 8, 3>(simd, first),
                (1, false) => self.panel::<S, 8, 1>(simd, first),
                (2, false) => self.panel::<S, 6, 2>(simd, first),
                (_, false) => self.panel::<S, 4, 3>(simd, first),
            }
            first += vectors * S::F32_LANES;
            left -= vectors;
        }
    }
}

impl OuterInto<'_, '_> {
    #[inline(always)]
    fn panel<S: Simd, const MR: usize, const NV: usize>(&mut self, simd: S, first: usize) {
        let m = self.product.m;
        let mut row = 0;
        while m - row >= MR {
            self.tile::<S, MR, NV>(simd, first, row);
            row += MR;
        }
        while m - row >= 4 {
            self.tile::<S, 4, NV>(simd, first, row);
            row += 4;
        }
        while row < m {
            self.tile::<S, 1, NV>(simd, first, row);
            row += 1;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const MR: usize, const NV: usize>(&mut self, simd: S, first: usize, row: usize) {
        let columns = (NV * S::F32_LANES).min(self.product.n - first);
        let acc = self.product.sums::<S, MR, NV>(simd, first, row);
        for (m, acc) in settled(acc).iter().enumerate() {
            let c = &mut self.c[(row + m) * self.product.stride + first..][..columns];
            store_row::<S, NV>(simd, acc, &[], c, Store::Add);
        }
    }
}

impl Outer<'_> {
    /// The sums of a tile.
    #[inline(always)]
    fn sums<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        first: usize,
        row: usize,
    ) -> [[S::f32s; NV]; MR] {
        let Outer { lines, a, a_grid, b, b_grid, .. } = *self;
        let mut acc = [[simd.splat_f32s(0.0); NV]; MR];
        for line in 0..lines {
            let a = a[line * a_grid.line + row..].array_windows::<MR>().step_by(a_grid.step);
            let b = b[line * b_grid.line + first..].windows(NV * S::F32_LANES).step_by(b_grid.step);
            // No bound is checked in the loop: a way out of it would keep the sums in memory.
            for (x, w) in a.zip(b).take(a_grid.width) {
                let Some(w) = S::as_simd_f32s(w).0.first_chunk::<NV>() else { continue };
                for m in 0..MR {
                    let x = simd.splat_f32s(x[m]);
                    for v in 0..NV {
                        acc[m][v] = simd.mul_add_f32s(x, w[v], acc[m][v]);
                    }
                }
            }
        }
        acc
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(len: usize, seed: u32) -> Vec<f32> {
        (0..len as u32)
            .map(|i| ((i.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 20) as f32 - 2048.0) / 2048.0)
            .collect()
    }

    #[test]
    fn gather_is_a_matrix_product_for_every_tile_edge() {
        for n in [1, 3, 15, 16, 17, 32, 33, 40, 48, 64, 70, 80, 96] {
            for m in [1, 3, 4, 5, 12, 13, 25] {
                let (taps, run) = ([0, 7], 5);
                let from = values(m * 6 + 12, 1);
                let w = values(10 * n, 2);
                let bias = values(n, 3);
                let mut packed = Packed::default();
                packed.fill(10, n, |k, c| w[k * n + c]);
                let rows = Rows { count: m, from: &from, grid: Grid::row(6), taps: &taps, run, to: Grid::row(n) };
                let mut out = vec![1.0; m * n];
                gather(rows, &packed, &bias, &mut out, Store::Add);
                for row in 0..m {
                    for c in 0..n {
                        let sum: f64 = (0..10)
                            .map(|k| f64::from(from[row * 6 + taps[k / 5] + k % 5]) * f64::from(w[k * n + c]))
                            .sum::<f64>();
                        let expected = sum + f64::from(bias[c]) + 1.0;
                        assert!((expected - f64::from(out[row * n + c])).abs() < 1e-5, "n {n} m {m} at {row},{c}");
                    }
                }
            }
        }
    }

    #[test]
    fn outer_sums_products_for_every_tile_edge() {
        for n in [1, 9, 16, 17, 33, 40, 48, 64, 65] {
            for m in [1, 3, 4, 8, 10, 17, 21] {
                let (lines, width) = (2, 3);
                let a = values(lines * width * m, 1);
                let b = values((width * n + 2) * lines, 2);
                let mut c = vec![0.5; m * (n + 1)];
                let (a_grid, b_grid) =
                    (Grid { width, step: m, line: width * m }, Grid { width, step: n, line: width * n + 2 });
                outer(Outer { lines, a: &a, a_grid, m, b: &b, b_grid, n, stride: n + 1 }, &mut c);
                for row in 0..m {
                    for col in 0..n {
                        let sum: f64 = (0..lines * width)
                            .map(|p| {
                                let at = p / width * b_grid.line + p % width * n;
                                f64::from(a[p * m + row]) * f64::from(b[at + col])
                            })
                            .sum();
                        let found = f64::from(c[row * (n + 1) + col]);
                        assert!((sum + 0.5 - found).abs() < 1e-5, "n {n} m {m} at {row},{col}");
                    }
                    assert_eq!(c[row * (n + 1) + n], 0.5, "the column behind must stay");
                }
            }
        }
    }
}

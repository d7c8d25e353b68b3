//! Tables of a wider teacher for a narrower student: what is left of them in the directions in which words differ most.

use crate::data::random::{Purpose, stream};
use crate::graph::Tensor;
use rand::RngExt;

/// Rounds of the subspace iteration. The directions found span nearly all of the greatest variances; which vectors stand for
/// them is of no importance, as a network learns behind them.
const ROUNDS: usize = 40;

/// The `width` directions, of the columns of `table` (`[words, columns]`), with the greatest variance: the principal components
/// (Pearson 1901), by subspace iteration. One after another, each of length 1 and at right angles to the others.
pub(super) fn directions(table: &Tensor, width: usize) -> Vec<Vec<f64>> {
    let columns = table.shape()[1];
    let covariance = covariance(table.data(), columns);
    let mut rng = stream(1, Purpose::Weights, columns as u64, width as u64);
    let mut found: Vec<Vec<f64>> =
        (0..width).map(|_| (0..columns).map(|_| rng.random::<f64>() - 0.5).collect()).collect();
    for _ in 0..ROUNDS {
        for direction in &mut found {
            *direction = covariance.iter().map(|row| dot(row, direction)).collect();
        }
        straighten(&mut found);
    }
    found
}

/// A table (`[rows, columns]`) in terms of these directions: `[rows, directions]`.
pub(super) fn project(table: &[f32], directions: &[Vec<f64>]) -> Vec<f32> {
    let columns = directions.first().map_or(1, Vec::len).max(1);
    let along = |row: &[f32], direction: &[f64]| row.iter().zip(direction).map(|(&x, d)| f64::from(x) * d).sum::<f64>();
    let rows = table.chunks_exact(columns);
    rows.flat_map(|row| directions.iter().map(move |direction| along(row, direction) as f32)).collect()
}

/// Symmetric, row after row.
fn covariance(table: &[f32], columns: usize) -> Vec<Vec<f64>> {
    let rows = table.len() / columns.max(1);
    let mut mean = vec![0.0; columns];
    for row in table.chunks_exact(columns) {
        mean.iter_mut().zip(row).for_each(|(mean, &x)| *mean += f64::from(x) / rows as f64);
    }
    let mut sums = vec![vec![0.0; columns]; columns];
    let mut centred = vec![0.0; columns];
    for row in table.chunks_exact(columns) {
        centred.iter_mut().zip(row).zip(&mean).for_each(|((c, &x), mean)| *c = f64::from(x) - mean);
        for (sums, &x) in sums.iter_mut().zip(&centred) {
            sums.iter_mut().zip(&centred).for_each(|(sum, y)| *sum += x * y);
        }
    }
    sums
}

/// Makes vectors orthonormal (Gram and Schmidt, as modified); one that has nothing of its own becomes zeros.
fn straighten(vectors: &mut [Vec<f64>]) {
    for i in 0..vectors.len() {
        let (done, rest) = vectors.split_at_mut(i);
        let Some(own) = rest.first_mut() else { return };
        let before = dot(own, own).sqrt();
        for other in done {
            let share = dot(own, other);
            own.iter_mut().zip(other).for_each(|(own, other)| *own -= share * *other);
        }
        let length = dot(own, own).sqrt();
        let scale = if length > 1e-9 * before { 1.0 / length } else { 0.0 };
        own.iter_mut().for_each(|own| *own *= scale);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_within_a_plane_survive() {
        // Points of a plane in five dimensions, far from the origin.
        let (a, b) = ([1.0, 2.0, 0.0, -1.0, 0.5], [0.0, 1.0, 3.0, 1.0, -1.0]);
        let points: Vec<[f32; 2]> = (0..30).map(|i| [(i % 7) as f32 - 3.0, (i * i % 11) as f32 - 5.0]).collect();
        let data: Vec<f32> = points.iter().flat_map(|p| (0..5).map(move |c| 4.0 + p[0] * a[c] + p[1] * b[c])).collect();
        let table = Tensor::new([30, 5], data);
        let flat = project(table.data(), &directions(&table, 2));
        let square = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
        for (i, j) in [(0, 1), (3, 29), (11, 17)] {
            let before = square(&table.data()[5 * i..][..5], &table.data()[5 * j..][..5]);
            let after = square(&flat[2 * i..][..2], &flat[2 * j..][..2]);
            assert!((before - after).abs() < 1e-3 * before, "{before} {after}");
        }
        // A third direction has nothing to say.
        let third = project(table.data(), &directions(&table, 3)[2..]);
        assert!(third.iter().all(|x| (x - third[0]).abs() < 1e-3), "{third:?}");
    }
}

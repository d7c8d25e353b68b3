//! How good a classifier's outputs are, and how far two classifiers agree.

use serde::{Deserialize, Serialize};

/// Bins of confidence in a reliability diagram.
pub const BINS: usize = 15;

/// Judgement of one network on labelled examples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Number of examples.
    pub n: usize,
    /// Share classified right, from 0 to 1.
    pub accuracy: f64,
    /// Between these two the accuracy on all examples of this kind lies with 95 % confidence (Wilson 1927).
    #[serde(default)]
    pub interval: [f64; 2],
    /// Mean cross entropy in nats.
    pub cross_entropy: f64,
    /// Expected calibration error (Naeini et al. 2015, Guo et al. 2017): how far confidence is from accuracy, on average
    /// over [`BINS`] bins of equal width weighted by their examples.
    pub calibration_error: f64,
    /// Images by true class (row) and predicted class (column).
    pub confusion: Vec<Vec<u32>>,
    /// The bins of confidence, lowest first.
    pub reliability: Vec<Bin>,
}

/// Images whose confidence lies in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// How many.
    pub n: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them classified right.
    pub accuracy: f64,
}

/// Judges logits, `classes` in a row for each example, against their labels.
pub fn score(logits: &[f32], labels: &[u32], classes: usize) -> Scores {
    let mut confusion = vec![vec![0; classes]; classes];
    let mut bins = [Bin::default(); BINS];
    let (mut correct, mut loss) = (0, 0.0);
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        let (index, label) = (first_max(row), label as usize);
        let probabilities = softmax(row);
        let right = index == label;
        correct += usize::from(right);
        // A probability of exactly 0 would make the mean infinite; the smallest normal number keeps it readable.
        loss -= probabilities[label].max(f64::from(f32::MIN_POSITIVE)).ln();
        confusion[label][index] += 1;
        let bin = &mut bins[((probabilities[index] * BINS as f64) as usize).min(BINS - 1)];
        bin.n += 1;
        bin.confidence += probabilities[index];
        bin.accuracy += f64::from(u8::from(right));
    }
    let n = labels.len();
    let total = n.max(1) as f64;
    let calibration_error = bins.iter().map(|bin| (bin.confidence - bin.accuracy).abs()).sum::<f64>() / total;
    for bin in bins.iter_mut().filter(|bin| bin.n > 0) {
        bin.confidence /= bin.n as f64;
        bin.accuracy /= bin.n as f64;
    }
    let (accuracy, cross_entropy) = (correct as f64 / total, loss / total);
    let interval = wilson(accuracy, n);
    Scores { n, accuracy, interval, cross_entropy, calibration_error, confusion, reliability: bins.to_vec() }
}

/// The 95 % confidence interval of a share that was found among `n` examples: Wilson's score interval, which stays between 0
/// and 1 and is not empty where the share is one of them.
pub fn wilson(share: f64, n: usize) -> [f64; 2] {
    /// The normal distribution has 95 % of its weight closer to its mean than so many standard deviations.
    const Z: f64 = 1.959_963_985;
    if n == 0 {
        return [0.0, 1.0];
    }
    let (n, z2) = (n as f64, Z * Z);
    let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    [(middle - half).max(0.0), (middle + half).min(1.0)]
}

/// Half the sum of the differences of two distributions: 0 if they are the same, 1 if they have nothing in common.
pub fn total_variation(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0
}

/// The share of examples to which two networks give the same class.
pub fn agreement(a: &[f32], b: &[f32], classes: usize) -> f64 {
    let pairs = a.chunks_exact(classes).zip(b.chunks_exact(classes));
    let n = pairs.len();
    pairs.filter(|(a, b)| first_max(a) == first_max(b)).count() as f64 / n.max(1) as f64
}

/// The index of the largest value; the first of several.
pub fn first_max(row: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = index;
        }
    }
    best
}

/// Probabilities of one row of logits.
pub fn softmax(row: &[f32]) -> Vec<f64> {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = row.iter().map(|&x| f64::from(x - max).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|p| p / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_by_hand() {
        // Probabilities 0.75, 0.75, 0.25 of class 0: right, wrong, right.
        let odds = 3f32.ln();
        let scores = score(&[odds, 0.0, odds, 0.0, 0.0, odds], &[0, 1, 1], 2);
        assert_eq!(scores.confusion, [[1, 0], [1, 1]]);
        assert!((scores.accuracy - 2.0 / 3.0).abs() < 1e-12);
        assert!((scores.cross_entropy - (-(2.0 * 0.75f64.ln() + 0.25f64.ln()) / 3.0)).abs() < 1e-6);
        assert!((scores.calibration_error - (0.75 - 2.0 / 3.0)).abs() < 1e-6);
        let used: Vec<_> = scores.reliability.iter().filter(|bin| bin.n > 0).collect();
        assert_eq!((used.len(), used[0].n), (1, 3));
    }

    #[test]
    fn intervals_as_in_textbooks() {
        let rows =
            [(0.8, 10, [0.4902, 0.9433]), (0.0, 20, [0.0, 0.1611]), (1.0, 20, [0.8389, 1.0]), (0.5, 0, [0.0, 1.0])];
        for (share, n, expected) in rows {
            let found = wilson(share, n);
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-4), "{share} of {n}: {found:?}");
        }
        assert!((total_variation(&[0.7, 0.3, 0.0], &[0.2, 0.3, 0.5]) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn certain_and_wrong_stays_finite() {
        let scores = score(&[1e4, 0.0], &[1], 2);
        assert!(scores.cross_entropy.is_finite() && scores.cross_entropy > 80.0);
        assert_eq!(scores.calibration_error, 1.0);
    }

    #[test]
    fn the_first_maximum_wins() {
        assert_eq!(first_max(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(agreement(&[1.0, 1.0, 0.0, 1.0], &[5.0, 0.0, 1.0, 0.0], 2), 0.5);
    }
}

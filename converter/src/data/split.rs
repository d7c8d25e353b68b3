//! Holding out part of the training images for decisions, the same part for a seed.

use super::random::{Purpose, stream};
use super::{DataError, Dataset};
use rand::RngExt;

/// Indices into a data set, each in rising order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// To learn from.
    pub train: Vec<usize>,
    /// Held out.
    pub valid: Vec<usize>,
}

/// Holds out `valid` images, of each class in proportion to its number.
///
/// # Errors
/// If a class would be left without an image to learn from.
pub fn split(data: &Dataset, valid: usize, seed: u64) -> Result<Split, DataError> {
    split_labels(&data.labels, data.classes.len(), valid, seed)
}

/// Holds out `valid` of the examples that have these labels, of each class in proportion to its number.
///
/// # Errors
/// If a class would be left without an example to learn from.
pub fn split_labels(labels: &[u32], classes: usize, valid: usize, seed: u64) -> Result<Split, DataError> {
    let total = labels.len();
    let mut members = vec![Vec::new(); classes];
    for (index, &label) in labels.iter().enumerate() {
        members[label as usize].push(index);
    }
    let mut held = vec![false; total];
    let (mut seen, mut taken) = (0, 0);
    for (class, indices) in members.iter_mut().enumerate() {
        // Shares are differences of a running total, so that they add up to `valid` exactly.
        seen += indices.len();
        let share = (valid * seen).checked_div(total).unwrap_or(0) - taken;
        taken += share;
        if share > 0 && share >= indices.len() {
            return Err(DataError::Split { wanted: valid, images: total });
        }
        shuffle(indices, seed, Purpose::Split, class as u64);
        for &index in &indices[..share] {
            held[index] = true;
        }
    }
    let (valid, train) = (0..total).partition(|&index| held[index]);
    Ok(Split { train, valid })
}

/// Fisher and Yates's shuffle with the numbers of one stream.
pub(crate) fn shuffle<T>(items: &mut [T], seed: u64, purpose: Purpose, number: u64) {
    let mut rng = stream(seed, purpose, number, 0);
    for last in (1..items.len()).rev() {
        items.swap(last, rng.random_range(0..=last as u64) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(labels: &[u32], classes: usize) -> Dataset {
        Dataset {
            shape: [1, 1, 1],
            pixels: vec![0; labels.len()],
            labels: labels.to_vec(),
            classes: (0..classes).map(|c| c.to_string()).collect(),
        }
    }

    #[test]
    fn classes_are_held_out_in_proportion() {
        let labels: Vec<u32> = (0..300).map(|i| u32::from(i % 3 == 0)).collect();
        let data = data(&labels, 2);
        let split = super::split(&data, 30, 5).unwrap();
        assert_eq!((split.train.len(), split.valid.len()), (270, 30));
        assert_eq!(split.valid.iter().filter(|&&i| labels[i] == 1).count(), 10);
        assert_eq!(split, super::split(&data, 30, 5).unwrap());
        assert_ne!(split, super::split(&data, 30, 6).unwrap());
        let mut all = [split.train, split.valid].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..300));
    }

    #[test]
    fn nothing_may_be_held_out_but_not_everything() {
        let data = data(&[0, 1, 0, 1], 2);
        assert_eq!(super::split(&data, 0, 1).unwrap().train, [0, 1, 2, 3]);
        for wanted in [4, 5] {
            assert!(matches!(super::split(&data, wanted, 1), Err(DataError::Split { .. })));
        }
    }
}

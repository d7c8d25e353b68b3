//! Rows of a table for the tokens of texts, plus rows for their positions.

use crate::graph::Tensor;
use crate::quantize::{Lowered, QuantOp, Site, Table};

/// For each id `[n, s]` its row of `words`, plus the row of `positions` for its place; zeros for ids that are negative.
///
/// # Panics
/// If an id is not below the number of rows: ids from outside are checked before.
pub fn reference(ids: &Tensor, words: &Tensor, positions: Option<&Tensor>) -> Tensor {
    let (&[n, s], &[_, width]) = (ids.shape(), words.shape()) else { unreachable!("shapes were checked") };
    let mut y = Tensor::zeros([n, s, width]);
    for (token, (&id, y)) in ids.data().iter().zip(y.data_mut().chunks_exact_mut(width.max(1))).enumerate() {
        if id < 0.0 {
            continue;
        }
        y.copy_from_slice(&words.data()[id as usize * width..][..width]);
        if let Some(positions) = positions {
            let row = &positions.data()[token % s * width..][..width];
            y.iter_mut().zip(row).for_each(|(y, p)| *y += p);
        }
    }
    y
}

/// The number of tokens of each text in a batch of ids: those before the first negative one.
pub fn lengths(ids: &Tensor) -> Vec<usize> {
    let s = ids.shape().get(1).copied().unwrap_or(0).max(1);
    ids.data().chunks_exact(s).map(|ids| ids.iter().take_while(|&&id| id >= 0.0).count()).collect()
}

/// The int8 form: tables of rows with a scale each, of positions as many as a text can have tokens.
///
/// # Errors
/// If a table is not a parameter, or has more rows than tokens have numbers.
pub fn lower(site: &Site<'_>) -> Lowered {
    let &[_, tokens, width] = site.output_shape() else { unreachable!("shapes were checked") };
    let words = site.need_param(1, "table of words")?;
    if words.shape()[0] > usize::from(u16::MAX) {
        let problem = format!("its table of words has {} rows, and ids have 16 bits", words.shape()[0]);
        return Err(site.unsupported(problem, "trim the vocabulary to 65,535 words"));
    }
    let positions = match site.node.inputs.get(2) {
        Some(_) => site.need_param(2, "table of positions")?.data()[..tokens * width].to_vec(),
        None => vec![0.0; tokens * width],
    };
    let [words, positions] = [words.data(), &positions[..]].map(|table| Table::quantize(table, width));
    Ok(QuantOp::Embed { words, positions })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_looked_up_and_placed() {
        let ids = Tensor::new([2, 2], vec![1.0, 0.0, 2.0, -1.0]);
        let words = Tensor::new([3, 1], vec![10.0, 20.0, 30.0]);
        let positions = Tensor::new([3, 1], vec![1.0, 2.0, 3.0]);
        let y = reference(&ids, &words, Some(&positions));
        assert_eq!(y, Tensor::new([2, 2, 1], vec![21.0, 12.0, 31.0, 0.0]));
        assert_eq!(lengths(&ids), [2, 1]);
    }
}

//! Attention of each token of a text to all of them, by heads.

use super::embed::lengths;
use crate::graph::Tensor;
use crate::quantize::{Lowered, QuantOp, Site};
use limbeck_runtime::ops;

/// `softmax(q k^T / sqrt(width / heads)) v` over the tokens of each text; zeros behind its end.
pub fn reference([q, k, v]: [&Tensor; 3], ids: &Tensor, heads: usize) -> Tensor {
    let &[_, s, width] = q.shape() else { unreachable!("shapes were checked") };
    let depth = width / heads;
    let mut y = Tensor::zeros(q.shape());
    for (text, length) in lengths(ids).into_iter().enumerate() {
        let row = |x: &Tensor, token: usize, head: usize| -> Vec<f64> {
            let at = (text * s + token) * width + head * depth;
            x.data()[at..at + depth].iter().map(|&v| f64::from(v)).collect()
        };
        for head in 0..heads {
            for token in 0..length {
                let query = row(q, token, head);
                let score = |other| -> f64 { query.iter().zip(row(k, other, head)).map(|(a, b)| a * b).sum() };
                let scores: Vec<f64> = (0..length).map(|other| score(other) / (depth as f64).sqrt()).collect();
                let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let powers: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
                let sum: f64 = powers.iter().sum();
                let mut mixed = vec![0.0; depth];
                for (other, power) in powers.iter().enumerate() {
                    mixed.iter_mut().zip(row(v, other, head)).for_each(|(m, v)| *m += power / sum * v);
                }
                let at = (text * s + token) * width + head * depth;
                y.data_mut()[at..at + depth].iter_mut().zip(mixed).for_each(|(y, m)| *y = m as f32);
            }
        }
    }
    y
}

/// The int8 form.
///
/// # Errors
/// If texts can be too long, or queries, keys or values have a zero point.
pub fn lower(site: &Site<'_>, heads: usize) -> Lowered {
    let most = ops::Attention::MAX_ROWS;
    if site.output_shape()[1] > most {
        let problem = format!("it looks at texts of up to {} tokens, and {most} is the most", site.output_shape()[1]);
        return Err(site.unsupported(problem, "cut texts to fewer tokens"));
    }
    if site.inputs.len() != 3 || site.inputs.iter().any(|affine| affine.zero_point != 0) {
        let problem = "its queries, keys or values are constant, or come with a zero point from elsewhere";
        return Err(site.unsupported(problem, "make each of them with a linear layer of its own"));
    }
    Ok(QuantOp::Attention { heads })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_look_where_their_queries_say_and_not_behind_the_end() {
        let ids = Tensor::new([1, 3], vec![5.0, 6.0, -1.0]);
        // The first head is indifferent; the second's first token looks at the second, by a factor of three.
        let q = Tensor::new([1, 3, 2], vec![0.0, 3.0_f32.ln(), 0.0, 0.0, 0.0, 0.0]);
        let k = Tensor::new([1, 3, 2], vec![1.0, 0.0, -1.0, 1.0, 9.0, 9.0]);
        let v = Tensor::new([1, 3, 2], vec![2.0, 4.0, 4.0, 8.0, 100.0, 100.0]);
        let y = reference([&q, &k, &v], &ids, 2);
        assert_eq!(y, Tensor::new([1, 3, 2], vec![3.0, 7.0, 3.0, 6.0, 0.0, 0.0]));
    }
}

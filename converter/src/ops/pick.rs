//! One vector for a whole text: that of its first token, or the mean.

use super::embed::lengths;
use crate::graph::{Pick, Tensor};
use crate::quantize::QuantOp;

/// `[n, s, width]` to `[n, width]`; zeros for a text without tokens.
pub fn reference(x: &Tensor, ids: &Tensor, pick: Pick) -> Tensor {
    let &[n, s, width] = x.shape() else { unreachable!("shapes were checked") };
    let mut y = Tensor::zeros([n, width]);
    for (text, length) in lengths(ids).into_iter().enumerate() {
        let count = if pick == Pick::First { length.min(1) } else { length };
        for channel in 0..width {
            let value = |token: usize| f64::from(x.data()[(text * s + token) * width + channel]);
            let sum: f64 = (0..count).map(value).sum();
            y.data_mut()[text * width + channel] = (sum / count.max(1) as f64) as f32;
        }
    }
    y
}

/// The int8 form.
pub fn lower(pick: Pick) -> QuantOp {
    QuantOp::Pick { pick }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_tokens_and_means_leave_padding_out() {
        let x = Tensor::new([2, 2, 1], vec![1.0, 3.0, 5.0, 100.0]);
        let ids = Tensor::new([2, 2], vec![7.0, 8.0, 9.0, -1.0]);
        assert_eq!(reference(&x, &ids, Pick::First), Tensor::new([2, 1], vec![1.0, 5.0]));
        assert_eq!(reference(&x, &ids, Pick::Mean), Tensor::new([2, 1], vec![2.0, 5.0]));
    }
}

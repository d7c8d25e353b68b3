//! The proof that no accumulator of a layer leaves 32 bits, whatever the input and the order of its sums.

use super::error::QuantizeError;
use super::scheme::Weights;
use limbeck_runtime::quant::MAX_LEFT;

/// Least and greatest value that any partial sum of an output channel can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Never positive.
    pub least: i64,
    /// Never negative.
    pub greatest: i64,
}

impl Bounds {
    /// The bounds for weights `row`, a bias with all offsets folded in, and inputs of int8 plus `offset`.
    ///
    /// A kernel may start from 0 or from the bias, and may add any of the products first: so each bound takes every
    /// term that moves towards it and none that moves away.
    pub fn of(row: &[i8], bias: i64, offset: i32) -> Bounds {
        let (low, high) = (i64::from(offset) - 128, i64::from(offset) + 127);
        let mut bounds = Bounds { least: bias.min(0), greatest: bias.max(0) };
        for &w in row {
            let (a, b) = (low * i64::from(w), high * i64::from(w));
            bounds.least += a.min(b).min(0);
            bounds.greatest += a.max(b).max(0);
        }
        bounds
    }

    /// How far to the left both bounds can be shifted within 32 bits, 7 at most.
    pub fn room(self) -> u8 {
        (0..=MAX_LEFT).rev().find(|&left| self.escapes(left).is_none()).unwrap_or(0)
    }

    /// The value that leaves the signed 32 bits after a shift to the left, if there is one.
    pub fn escapes(self, left: u8) -> Option<i64> {
        let [least, greatest] = [self.least, self.greatest].map(|b| b.saturating_mul(1 << left.min(62)));
        if greatest > i64::from(i32::MAX) {
            Some(greatest)
        } else if least < i64::from(i32::MIN) {
            Some(least)
        } else {
            None
        }
    }
}

/// The bias of each output channel with the zero point of the input and a layout's offset folded in, proved to fit and
/// to keep every partial sum within 32 bits. `left` gives the left shift of each channel's accumulator.
///
/// # Errors
/// Names the layer, the channel and the value that could be reached.
pub fn fold_bias(
    layer: &str,
    weights: &Weights,
    zero_point: i8,
    offset: i32,
    left: &[u8],
) -> Result<Vec<i32>, QuantizeError> {
    let rows = weights.rows().zip(&weights.bias).zip(left).enumerate();
    rows.map(|(channel, ((row, &bias), &left))| {
        let sum: i64 = row.iter().map(|&w| i64::from(w)).sum();
        let folded = i64::from(bias) - (i64::from(zero_point) + i64::from(offset)) * sum;
        match Bounds::of(row, folded, offset).escapes(left) {
            None => Ok(folded as i32),
            Some(bound) => {
                Err(QuantizeError::Overflow { layer: layer.to_owned(), channel, bound, depth: weights.depth() })
            }
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_for_every_input_and_order() {
        let row = [3i8, -127, 40];
        for offset in [0, 128] {
            let bounds = Bounds::of(&row, -500, offset);
            let ends = [offset - 128, offset + 127].map(i64::from);
            let mut seen = (0i64, 0i64);
            for mask in 0..1 << row.len() {
                for choice in 0..1 << row.len() {
                    for start in [0, -500] {
                        let terms = row.iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1);
                        let sum: i64 = start + terms.map(|(i, &w)| i64::from(w) * ends[choice >> i & 1]).sum::<i64>();
                        seen = (seen.0.min(sum), seen.1.max(sum));
                    }
                }
            }
            assert_eq!((bounds.least, bounds.greatest), seen, "offset {offset}");
        }
    }

    #[test]
    fn overflow_names_layer_and_channel() {
        let depth = 1 << 18;
        let mut data = vec![0i8; depth];
        data.extend(vec![127; depth]);
        let weights = Weights { data, scales: vec![1.0; 2], bias: vec![7, 0] };
        let text = fold_bias("stem", &weights, 0, 0, &[0, 0]).unwrap_err().to_string();
        assert!(text.contains("`stem`, output channel 1") && text.contains("4228120576"), "{text}");
        let half = Weights { data: vec![127; 1 << 16], scales: vec![1.0], bias: vec![0] };
        assert_eq!(fold_bias("stem", &half, -128, 0, &[0]).unwrap(), [(128 * 127) << 16]);
        assert!(fold_bias("stem", &half, -128, 0, &[1]).is_err(), "the left shift counts");
    }
}

//! A running mean of weights and statistics, which generalizes better than the last weights.

/// Running means of some tensors, in the tensors' order.
pub(super) struct Ema {
    decay: f32,
    /// The means; empty if the decay is 0.
    pub(super) values: Vec<Vec<f32>>,
}

impl Ema {
    /// Starts at the present values.
    pub(super) fn new<'a>(decay: f32, tensors: impl Iterator<Item = &'a [f32]>) -> Self {
        let values = if decay > 0.0 { tensors.map(<[f32]>::to_vec).collect() } else { Vec::new() };
        Ema { decay, values }
    }

    /// Takes in the values after step `step` (counted from 0). Early steps count for more, so that the first, untrained
    /// values are soon forgotten.
    pub(super) fn update<'a>(&mut self, step: usize, tensors: impl Iterator<Item = &'a [f32]>) {
        let decay = self.decay.min((1.0 + step as f32) / (10.0 + step as f32));
        for (means, values) in self.values.iter_mut().zip(tensors) {
            for (mean, value) in means.iter_mut().zip(values) {
                *mean += (1.0 - decay) * (value - *mean);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_follow_and_settle() {
        let mut ema = Ema::new(0.9, [&[0.0f32, 4.0][..]].into_iter());
        for step in 0..200 {
            ema.update(step, [&[1.0f32, 2.0][..]].into_iter());
        }
        assert!((ema.values[0][0] - 1.0).abs() < 1e-5 && (ema.values[0][1] - 2.0).abs() < 1e-5, "{:?}", ema.values);
        let mut one = Ema::new(0.5, [&[0.0f32][..]].into_iter());
        one.update(1000, [&[1.0f32][..]].into_iter());
        assert_eq!(one.values, [[0.5]]);
    }
}

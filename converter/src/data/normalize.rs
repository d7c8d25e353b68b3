//! How bytes of an image become numbers of a network's input.

/// `(pixel - mean) / deviation` for each channel, with pixels counted from 0 to 255.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    /// Subtracted, one for each channel; a single one serves all channels.
    pub mean: Vec<f32>,
    /// Divided by, as many.
    pub deviation: Vec<f32>,
}

impl Normalize {
    /// What students are trained with. The quantized input is then exactly `pixel - 128` at a scale of 1/64 with zero
    /// point 0, so that nothing is rounded and zero padding is exact.
    pub fn student() -> Self {
        Normalize { mean: vec![128.0], deviation: vec![64.0] }
    }

    /// The channel statistics of ImageNet, which most public networks were trained with.
    pub fn imagenet() -> Self {
        Self::of_unit([0.485, 0.456, 0.406].to_vec(), [0.229, 0.224, 0.225].to_vec())
    }

    /// From statistics of pixels counted from 0 to 1, as PyTorch writes them.
    pub fn of_unit(mean: Vec<f32>, deviation: Vec<f32>) -> Self {
        let scale = |v: Vec<f32>| v.into_iter().map(|x| x * 255.0).collect();
        Normalize { mean: scale(mean), deviation: scale(deviation) }
    }

    /// Whether there is one statistic, or one for each of `channels`, and none divides by zero.
    pub fn fits(&self, channels: usize) -> bool {
        [&self.mean, &self.deviation].iter().all(|v| v.len() == 1 || v.len() == channels)
            && self.mean.iter().all(|x| x.is_finite())
            && self.deviation.iter().all(|x| x.is_finite() && *x > 0.0)
    }

    /// The input value of each byte, channel by channel.
    ///
    /// # Panics
    /// If it does not [fit](Self::fits) so many channels.
    pub fn table(&self, channels: usize) -> Table {
        assert!(self.fits(channels), "{self:?} does not fit {channels} channels");
        let of = |v: &[f32], channel: usize| v[channel % v.len()];
        let value = |channel, byte: u8| (f32::from(byte) - of(&self.mean, channel)) / of(&self.deviation, channel);
        Table((0..channels).map(|channel| std::array::from_fn(|byte| value(channel, byte as u8))).collect())
    }
}

/// The input value of each byte, channel by channel.
#[derive(Clone, Debug)]
pub struct Table(Vec<[f32; 256]>);

impl Table {
    /// Turns an image (channels together) into numbers.
    pub fn apply(&self, image: &[u8], out: &mut [f32]) {
        let channels = self.0.len();
        for (pixel, values) in image.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
            for ((value, &byte), table) in values.iter_mut().zip(pixel).zip(&self.0) {
                *value = table[usize::from(byte)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn students_see_exact_numbers() {
        let mut out = [0.0; 4];
        Normalize::student().table(2).apply(&[0, 255, 128, 129], &mut out);
        assert_eq!(out, [-2.0, 127.0 / 64.0, 0.0, 1.0 / 64.0]);
    }

    #[test]
    fn channels_have_their_own_statistics() {
        let mut out = [0.0; 3];
        Normalize::imagenet().table(3).apply(&[255, 255, 255], &mut out);
        for (got, expected) in out.iter().zip([2.2489083, 2.4285715, 2.64]) {
            assert!((got - expected).abs() < 1e-5, "{out:?}");
        }
        assert!(!Normalize::imagenet().fits(1) && Normalize::student().fits(1));
        assert!(!Normalize { mean: vec![0.0], deviation: vec![0.0] }.fits(3));
    }
}

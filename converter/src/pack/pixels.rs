//! How pixels of 8 bits become the int8 input of a model.

use super::error::PackError;
use crate::quantize::{Affine, QuantTensor};

/// What the float network expects of pixels.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// `(pixel - 128) / 64`, as all students.
    Centered,
    /// `(pixel / 255 - mean) / std`, channel by channel.
    Normalized {
        /// Mean of each channel.
        mean: Vec<f32>,
        /// Standard deviation of each channel.
        std: Vec<f32>,
    },
}

impl Pixels {
    /// The mapping of an int8 input whose bytes are `pixel - 128`.
    pub const CENTERED: Affine = Affine { scale: 1.0 / 64.0, zero_point: 0 };

    /// The float that a pixel becomes.
    pub fn real(&self, channel: usize, pixel: u8) -> f32 {
        match self {
            Pixels::Centered => (f32::from(pixel) - 128.0) / 64.0,
            Pixels::Normalized { mean, std } => (f32::from(pixel) / 255.0 - mean[channel]) / std[channel],
        }
    }

    /// 256 bytes for each channel, from pixel to int8; `None` where each byte is `pixel - 128`.
    pub(super) fn table(&self, input: &QuantTensor) -> Result<Option<Vec<i8>>, PackError> {
        let channels = input.shape[2];
        if let Pixels::Normalized { mean, std } = self
            && (mean.len() != channels || std.len() != channels)
        {
            return Err(PackError::Channels { input: input.name.clone(), channels, given: [mean.len(), std.len()] });
        }
        let byte = |i: usize| input.affine.quantize(self.real(i / 256, (i % 256) as u8));
        let table: Vec<i8> = (0..channels * 256).map(byte).collect();
        let plain = table.iter().enumerate().all(|(i, &q)| i32::from(q) == (i % 256) as i32 - 128);
        Ok((!plain).then_some(table))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn students_need_no_table() {
        let input = QuantTensor { name: "image".into(), shape: [2, 2, 3], affine: Pixels::CENTERED };
        assert_eq!(Pixels::Centered.table(&input).unwrap(), None);
        let pixels = Pixels::Normalized { mean: vec![0.5; 3], std: vec![0.25, 0.25, 1.0] };
        let table = pixels.table(&input).unwrap().unwrap();
        assert_eq!(table.len(), 3 * 256);
        // (255 / 255 - 0.5) / 0.25 = 2 is 128 steps of 1/64, one too many for int8.
        assert_eq!([table[0], table[255], table[512], table[767]], [-128, 127, -32, 32]);
        let error = Pixels::Normalized { mean: vec![0.5], std: vec![1.0] }.table(&input).unwrap_err().to_string();
        assert!(error.contains("`image` has 3 channels"), "{error}");
    }
}

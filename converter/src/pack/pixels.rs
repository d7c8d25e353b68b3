//! The tables by which a device turns pixels of 8 bits into the int8 input of a model.

use super::error::PackError;
use crate::data::Normalize;
use crate::quantize::QuantTensor;

/// 256 bytes for each channel, from pixel to int8; `None` where each byte is `pixel - 128`, as for all students.
pub(super) fn table(normalize: &Normalize, input: &QuantTensor) -> Result<Option<Vec<i8>>, PackError> {
    let channels = input.shape[2];
    if !normalize.fits(channels) {
        let given = [normalize.mean.len(), normalize.deviation.len()];
        return Err(PackError::Channels { input: input.name.clone(), channels, given });
    }
    let images: Vec<u8> = (0..=255u8).flat_map(|pixel| vec![pixel; channels]).collect();
    let mut reals = vec![0.0; images.len()];
    normalize.table(channels).apply(&images, &mut reals);
    let byte = |i: usize| input.affine.quantize(reals[i % 256 * channels + i / 256]);
    let table: Vec<i8> = (0..channels * 256).map(byte).collect();
    let plain = table.iter().enumerate().all(|(i, &q)| i32::from(q) == (i % 256) as i32 - 128);
    Ok((!plain).then_some(table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::Affine;

    #[test]
    fn students_need_no_table() {
        let affine = Affine::of_pixels(&Normalize::student(), 3).unwrap();
        assert_eq!(affine, Affine { scale: 1.0 / 64.0, zero_point: 0 });
        let input = QuantTensor::new("image", [2, 2, 3], affine);
        assert_eq!(table(&Normalize::student(), &input).unwrap(), None);
        let pixels = Normalize::of_unit(vec![0.5; 3], vec![0.25, 0.25, 1.0]);
        let bytes = table(&pixels, &input).unwrap().unwrap();
        assert_eq!(bytes.len(), 3 * 256);
        // (255 / 255 - 0.5) / 0.25 = 2 is 128 steps of 1/64, one too many for int8.
        assert_eq!([bytes[0], bytes[255], bytes[512], bytes[767]], [-128, 127, -32, 32]);
        let two = Normalize { mean: vec![0.5; 2], deviation: vec![1.0; 2] };
        let error = table(&two, &input).unwrap_err().to_string();
        assert!(error.contains("`image` has 3 channels"), "{error}");
    }
}

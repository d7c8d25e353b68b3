//! Images in other sizes: any rectangle of one, each new pixel a mean weighted by a triangle (as [`load_image`](super::load_image)
//! scales whole files).

/// A rectangle of an image, in pixels; its edges may lie within some.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// Where it begins: row and column.
    pub start: [f32; 2],
    /// Rows and columns.
    pub size: [f32; 2],
}

impl Area {
    /// All of an image of so many rows and columns.
    pub fn whole([rows, columns]: [usize; 2]) -> Self {
        Area { start: [0.0; 2], size: [rows as f32, columns as f32] }
    }
}

/// What `area` holds of an image of `shape` (height, width, channels), with `size` rows and columns.
pub fn scale(image: &[u8], shape: [usize; 3], area: Area, size: [usize; 2]) -> Vec<u8> {
    let [height, width, channels] = shape;
    let axis = |axis: usize, of: usize| taps(area.start[axis], area.size[axis], of, size[axis]);
    let (rows, columns) = (axis(0, height), axis(1, width));
    let mut line = vec![0.0f32; width * channels];
    let mut out = Vec::with_capacity(size[0] * size[1] * channels);
    for Taps { first, weights } in &rows {
        line.fill(0.0);
        for (row, weight) in image[first * width * channels..].chunks_exact(width * channels).zip(weights) {
            line.iter_mut().zip(row).for_each(|(sum, &value)| *sum += weight * f32::from(value));
        }
        for Taps { first, weights } in &columns {
            for channel in 0..channels {
                let values = line[first * channels + channel..].iter().step_by(channels);
                let sum: f32 = values.zip(weights).map(|(value, weight)| value * weight).sum();
                // A cast saturates.
                out.push((sum + 0.5) as u8);
            }
        }
    }
    out
}

/// What a new pixel is made of along one axis.
struct Taps {
    first: usize,
    /// Add up to one.
    weights: Vec<f32>,
}

/// The taps of `count` new pixels that share `len` of `of` old ones from `start` on.
fn taps(start: f32, len: f32, of: usize, count: usize) -> Vec<Taps> {
    let step = len / count as f32;
    // Shrinking must see all old pixels; growing goes from the centre of one to that of the next.
    let reach = step.max(1.0);
    let tap = |index: usize| {
        let center = start + (index as f32 + 0.5) * step;
        let first = ((center - reach).floor().max(0.0) as usize).min(of - 1);
        let end = ((center + reach).ceil().max(0.0) as usize).clamp(first + 1, of);
        let weight = |pixel: usize| (1.0 - ((pixel as f32 + 0.5 - center) / reach).abs()).max(0.0);
        let weights: Vec<f32> = (first..end).map(weight).collect();
        let sum: f32 = weights.iter().sum();
        Taps { first, weights: weights.into_iter().map(|weight| weight / sum).collect() }
    };
    (0..count).map(tap).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, RgbImage, imageops::FilterType};

    fn noise(len: usize) -> Vec<u8> {
        (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    #[test]
    fn whole_images_are_scaled_as_files_are() {
        let (height, width) = (12, 17);
        let pixels = noise(height * width * 3);
        let image = RgbImage::from_raw(width as u32, height as u32, pixels.clone()).unwrap();
        for size in [[12, 17], [5, 6], [24, 40], [7, 30]] {
            let found = scale(&pixels, [height, width, 3], Area::whole([height, width]), size);
            let expected = DynamicImage::ImageRgb8(image.clone())
                .resize_exact(size[1] as u32, size[0] as u32, FilterType::Triangle)
                .into_rgb8()
                .into_raw();
            let worst = found.iter().zip(&expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(found.len() == expected.len() && worst <= 1, "{size:?}: {worst}");
        }
    }

    #[test]
    fn an_area_of_whole_pixels_is_cut_out() {
        let pixels = noise(6 * 5 * 2);
        let area = Area { start: [2.0, 1.0], size: [3.0, 2.0] };
        let found = scale(&pixels, [6, 5, 2], area, [3, 2]);
        let expected: Vec<u8> = (2..5).flat_map(|row| pixels[(row * 5 + 1) * 2..(row * 5 + 3) * 2].to_vec()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn edges_stand_for_what_is_beyond_them() {
        let found = scale(&[10, 20], [1, 2, 1], Area::whole([1, 2]), [2, 4]);
        assert_eq!(found, [10, 13, 18, 20, 10, 13, 18, 20]);
    }
}

//! How a network sees the images of a data set: each in some view, at the network's own size, as numbers.

use super::augment::{Augment, Mix, View};
use super::scale::{Area, scale};
use super::{Dataset, Normalize, Table};
use std::borrow::Cow;

/// The images of a data set as one network sees them. Two networks see the same of a view, each at its own size.
pub struct Look<'a> {
    data: &'a Dataset,
    augment: Augment,
    table: Table,
    size: [usize; 2],
}

impl<'a> Look<'a> {
    /// Images in views of `augment`, at `size` (height, width) or else as large as they are.
    ///
    /// # Panics
    /// If `normalize` does not [fit](Normalize::fits) the images.
    pub fn new(data: &'a Dataset, normalize: &Normalize, augment: Augment, size: Option<[usize; 2]>) -> Self {
        let [height, width, channels] = data.shape;
        Look { data, augment, table: normalize.table(channels), size: size.unwrap_or([height, width]) }
    }

    /// Height, width and channels of what is seen.
    pub fn shape(&self) -> [usize; 3] {
        [self.size[0], self.size[1], self.data.shape[2]]
    }

    /// What is seen of image `index`.
    pub fn pixels(&self, index: usize, view: &View) -> Vec<u8> {
        let [height, width, channels] = self.data.shape;
        let mut seen = Cow::Borrowed(self.data.image(index));
        if let Some(Mix { with, share }) = view.mix {
            seen = Cow::Owned(blend(&seen, self.data.image(with), share));
        }
        if view.moves() {
            let mut moved = vec![0; seen.len()];
            view.apply(&seen, &mut moved, self.data.shape, self.augment.fill);
            seen = Cow::Owned(moved);
        }
        if view.crop.is_some() || self.size != [height, width] {
            let [rows, columns] = [height as f32, width as f32];
            let area = view.crop.map_or(Area::whole([height, width]), |crop| Area {
                start: [crop.start[0] * rows, crop.start[1] * columns],
                size: [crop.size[0] * rows, crop.size[1] * columns],
            });
            seen = Cow::Owned(scale(&seen, self.data.shape, area, self.size));
        }
        let mut seen = seen.into_owned();
        if let Some(color) = view.color {
            color.apply(&mut seen, channels);
        }
        seen
    }

    /// What a network is given of what is seen.
    pub fn input(&self, pixels: &[u8], input: &mut [f32]) {
        self.table.apply(pixels, input);
    }
}

/// The mean of two images, of which the second has this share.
fn blend(one: &[u8], other: &[u8], share: f32) -> Vec<u8> {
    let mean = |(&a, &b): (&u8, &u8)| (f32::from(a) + share * (f32::from(b) - f32::from(a)) + 0.5) as u8;
    one.iter().zip(other).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Crop, Fill};

    fn data() -> Dataset {
        let pixels = (0..2 * 4 * 4 * 3).map(|i| (i * 2) as u8).collect();
        Dataset { shape: [4, 4, 3], pixels, labels: vec![0, 1], classes: vec!["a".into(), "b".into()] }
    }

    #[test]
    fn networks_of_different_size_see_the_same_part() {
        let data = data();
        let crop = Crop { start: [0.5, 0.0], size: [0.5, 0.5] };
        let view = View { crop: Some(crop), ..View::PLAIN };
        let seen = |size| Look::new(&data, &Normalize::student(), Augment::NONE, Some(size)).pixels(0, &view);
        let part: Vec<u8> = (2..4).flat_map(|row| data.image(0)[row * 12..row * 12 + 6].to_vec()).collect();
        assert_eq!(seen([2, 2]), part);
        let mean = |pixels: &[u8]| pixels.iter().map(|&value| f32::from(value)).sum::<f32>() / pixels.len() as f32;
        let larger = seen([12, 10]);
        assert!(
            larger.len() == 12 * 10 * 3 && (mean(&larger) - mean(&part)).abs() < 3.0,
            "{} {}",
            mean(&larger),
            mean(&part)
        );
    }

    #[test]
    fn a_blend_is_moved_like_a_single_image() {
        let data = data();
        let look = Look::new(&data, &Normalize::student(), Augment { fill: Fill::Grey, ..Augment::NONE }, None);
        let mix = Some(Mix { with: 1, share: 0.25 });
        let blended = look.pixels(0, &View { mix, ..View::PLAIN });
        assert_eq!(blended[0], 24, "a quarter of 96");
        let moved = look.pixels(0, &View { mix, down: 1, ..View::PLAIN });
        assert_eq!((&moved[..3], &moved[12..]), (&[128; 3][..], &blended[..36]));
    }
}

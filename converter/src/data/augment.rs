//! Random changes that keep the class of an image: mirrored, shifted, cut out, recoloured, mixed, partly covered.

use super::random::{Purpose, stream};
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// What stands where an image gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fill {
    /// Black.
    #[default]
    Zero,
    /// Middle grey (128), which students see as zero.
    Grey,
}

impl Fill {
    fn byte(self) -> u8 {
        match self {
            Fill::Zero => 0,
            Fill::Grey => 128,
        }
    }
}

/// Which changes an image may undergo.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Mirror half of the images left to right.
    pub flip: bool,
    /// Shift by up to so many pixels each way (the padded, shifted crop of the ResNet paper).
    pub shift: usize,
    /// Cover a square of this side at a random place (DeVries and Taylor 2017); 0 covers nothing.
    pub cutout: usize,
    /// What comes in from outside.
    pub fill: Fill,
    /// Show a rectangle of at least this share of the image, at a random place, in the size of the whole; 1 shows all of it.
    // What is as usual is not written: results of former recipes keep their keys.
    #[serde(skip_serializing_if = "is_one")]
    pub crop: f32,
    /// Change brightness, contrast and saturation by up to this share each; 0 leaves colours alone.
    #[serde(skip_serializing_if = "is_zero")]
    pub color: f32,
    /// Share of the images that are blended with another one, which has up to half of the sum (Zhang et al. 2018).
    #[serde(skip_serializing_if = "is_zero")]
    pub mix: f32,
}

fn is_zero(value: &f32) -> bool {
    *value == 0.0
}

fn is_one(value: &f32) -> bool {
    *value == 1.0
}

/// How much wider than high a part may be, in relation to the whole, or how much higher.
const STRETCH: f32 = 4.0 / 3.0;

impl Default for Augment {
    /// What suits small photographs.
    fn default() -> Self {
        Augment { flip: true, shift: 4, ..Augment::NONE }
    }
}

impl Augment {
    /// No change at all.
    pub const NONE: Augment =
        Augment { flip: false, shift: 0, cutout: 0, fill: Fill::Zero, crop: 1.0, color: 0.0, mix: 0.0 };

    /// What makes no sense, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        let Augment { crop, color, mix, .. } = *self;
        if !(crop > 0.0 && crop <= 1.0) {
            return Some(format!("`augment.crop` is {crop}, but must be above 0 and at most 1"));
        }
        let share = |(name, value): (&str, f32)| {
            (!(0.0..=1.0).contains(&value)).then(|| format!("`augment.{name}` is {value}, but must be from 0 to 1"))
        };
        [("color", color), ("mix", mix)].into_iter().find_map(share)
    }

    /// How image `index` looks in `epoch`; it is mixed with one of `others` images, if with any.
    pub fn draw(&self, seed: u64, epoch: usize, index: usize, others: usize) -> View {
        let rng = |purpose| stream(seed, purpose, epoch as u64, index as u64);
        self.shape(&mut rng(Purpose::Augment), &mut rng(Purpose::Look), others)
    }

    /// The fixed view `view` of image `index` of `others`: the image itself, then (where they are allowed) mirrored, then changed
    /// at random.
    pub fn view(&self, view: usize, index: usize, others: usize) -> View {
        let rng = |purpose| stream(0, purpose, view as u64, index as u64);
        match view {
            0 => View::PLAIN,
            1 if self.flip => View { flip: true, ..View::PLAIN },
            _ => self.shape(&mut rng(Purpose::Shift), &mut rng(Purpose::LookOfView), others),
        }
    }

    /// What a view depends on, in a few words: names what was cached of it.
    pub(crate) fn describe(&self) -> String {
        let Augment { flip, shift, fill, crop, color, mix, .. } = self;
        let looks = Augment { cutout: 0, fill: Fill::Zero, flip: false, shift: 0, ..*self } != Augment::NONE;
        let more = if looks { format!(" {crop} {color} {mix}") } else { String::new() };
        format!("{flip} {shift} {fill:?}{more}")
    }

    /// `rng` has what moves the image, `look` the rest, so that neither depends on whether there is the other.
    fn shape(&self, rng: &mut impl RngExt, look: &mut impl RngExt, others: usize) -> View {
        let reach = self.shift as i64;
        View {
            flip: self.flip && rng.random_bool(0.5),
            down: rng.random_range(-reach..=reach) as isize,
            right: rng.random_range(-reach..=reach) as isize,
            crop: (self.crop < 1.0).then(|| Crop::draw(self.crop, look)),
            color: (self.color > 0.0).then(|| Color::draw(self.color, look)),
            mix: Mix::draw(self.mix, others, look),
        }
    }

    /// Covers a square of the image, if that is asked for.
    pub fn cover(&self, image: &mut [u8], shape: [usize; 3], seed: u64, epoch: usize, index: usize) {
        if self.cutout == 0 {
            return;
        }
        let [height, width, channels] = shape;
        // Its centre may be anywhere, so that it may stick out. A stream of its own: what is drawn for the shape does not
        // depend on whether something is covered.
        let mut rng = stream(seed, Purpose::Augment, !(epoch as u64), index as u64);
        let span = |center: usize, size: usize| {
            let start = center.saturating_sub(self.cutout / 2);
            start..(center + self.cutout.div_ceil(2)).min(size)
        };
        let rows = span(rng.random_range(0..height as u64) as usize, height);
        let columns = span(rng.random_range(0..width as u64) as usize, width);
        for row in rows {
            let line = row * width;
            image[(line + columns.start) * channels..(line + columns.end) * channels].fill(self.fill.byte());
        }
    }
}

/// A number from `low` to `high`.
fn between(rng: &mut impl RngExt, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

/// A part of an image, in shares of its height and width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Crop {
    /// Where it begins: rows, columns.
    pub start: [f32; 2],
    /// How large it is: rows, columns.
    pub size: [f32; 2],
}

impl Crop {
    fn draw(least: f32, rng: &mut impl RngExt) -> Self {
        let side = between(rng, least, 1.0).sqrt();
        let stretch = between(rng, 1.0, STRETCH).sqrt();
        let [longer, shorter] = [(side * stretch).min(1.0), side / stretch];
        let size = if rng.random_bool(0.5) { [longer, shorter] } else { [shorter, longer] };
        Crop { start: size.map(|size| between(rng, 0.0, 1.0 - size)), size }
    }
}

/// Other colours: factors of what there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Color {
    /// Of all values.
    pub brightness: f32,
    /// Of the distances from the mean of the image.
    pub contrast: f32,
    /// Of the distances from the grey of each pixel.
    pub saturation: f32,
}

/// How bright red, green and blue are (ITU-R BT.601).
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

impl Color {
    fn draw(most: f32, rng: &mut impl RngExt) -> Self {
        let [brightness, contrast, saturation] = [0; 3].map(|_| between(rng, 1.0 - most, 1.0 + most));
        Color { brightness, contrast, saturation }
    }

    /// Changes the colours of an image; what has not three channels has no saturation.
    pub(super) fn apply(&self, image: &mut [u8], channels: usize) {
        let Color { brightness, contrast, saturation } = *self;
        let sum: u64 = image.iter().map(|&value| u64::from(value)).sum();
        let mean = brightness * sum as f32 / image.len().max(1) as f32;
        // Brightness and contrast together.
        let changed = |value: u8| mean + contrast * (brightness * f32::from(value) - mean);
        for pixel in image.chunks_exact_mut(channels.max(1)) {
            if let [red, green, blue] = pixel {
                let values = [*red, *green, *blue].map(changed);
                let grey: f32 = values.iter().zip(LUMA).map(|(value, luma)| value * luma).sum();
                // A cast saturates.
                [*red, *green, *blue] = values.map(|value| (grey + saturation * (value - grey) + 0.5) as u8);
            } else {
                pixel.iter_mut().for_each(|value| *value = (changed(*value) + 0.5) as u8);
            }
        }
    }
}

/// Another image, seen through the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mix {
    /// Which one.
    pub with: usize,
    /// Its share, at most a half.
    pub share: f32,
}

impl Mix {
    fn draw(often: f32, others: usize, rng: &mut impl RngExt) -> Option<Self> {
        let mixes = others > 0 && often > 0.0 && rng.random::<f32>() < often;
        mixes.then(|| Mix { with: rng.random_range(0..others as u64) as usize, share: between(rng, 0.0, 0.5) })
    }
}

/// One way to look at an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// Mirrored left to right, before the shift.
    pub flip: bool,
    /// Pixels that the content moves down.
    pub down: isize,
    /// Pixels that the content moves to the right.
    pub right: isize,
    /// The part that is shown.
    pub crop: Option<Crop>,
    /// Other colours.
    pub color: Option<Color>,
    /// An image that is blended in before all that.
    pub mix: Option<Mix>,
}

impl View {
    /// The image as it is.
    pub const PLAIN: View = View { flip: false, down: 0, right: 0, crop: None, color: None, mix: None };

    /// Whether it mirrors or shifts.
    pub(super) fn moves(&self) -> bool {
        self.flip || self.down != 0 || self.right != 0
    }

    /// Mirrors and shifts `image` into `out`, both of `shape` (height, width, channels).
    pub fn apply(&self, image: &[u8], out: &mut [u8], shape: [usize; 3], fill: Fill) {
        if !self.moves() {
            out.copy_from_slice(image);
            return;
        }
        let [height, width, channels] = shape;
        out.fill(fill.byte());
        for row in 0..height {
            let Some(from_row) = row.checked_add_signed(-self.down).filter(|&r| r < height) else { continue };
            for column in 0..width {
                let Some(from) = column.checked_add_signed(-self.right).filter(|&c| c < width) else { continue };
                let from = if self.flip { width - 1 - from } else { from };
                let (to, from) = ((row * width + column) * channels, (from_row * width + from) * channels);
                out[to..to + channels].copy_from_slice(&image[from..from + channels]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A 2x3 image of one channel.
    const IMAGE: [u8; 6] = [1, 2, 3, 4, 5, 6];
    const SHAPE: [usize; 3] = [2, 3, 1];

    #[test]
    fn views_move_and_mirror() {
        let rows: &[(View, [u8; 6])] = &[
            (View::PLAIN, [1, 2, 3, 4, 5, 6]),
            (View { flip: true, ..View::PLAIN }, [3, 2, 1, 6, 5, 4]),
            (View { down: 1, right: -1, ..View::PLAIN }, [0, 0, 0, 2, 3, 0]),
            (View { flip: true, down: -1, right: 2, ..View::PLAIN }, [0, 0, 6, 0, 0, 0]),
        ];
        for (view, expected) in rows {
            let mut out = [9; 6];
            view.apply(&IMAGE, &mut out, SHAPE, Fill::Zero);
            assert_eq!(out, *expected, "{view:?}");
        }
    }

    #[test]
    fn a_drawn_view_depends_on_seed_epoch_and_index_alone() {
        let augment = Augment { flip: true, shift: 4, ..Augment::NONE };
        let views = |seed, epoch| (0..64).map(|i| augment.draw(seed, epoch, i, 9)).collect::<Vec<_>>();
        assert_eq!(views(1, 2), views(1, 2));
        assert_ne!(views(1, 2), views(1, 3));
        assert_ne!(views(1, 2), views(2, 2));
        let all = views(1, 2);
        assert!(all.iter().any(|v| v.flip) && all.iter().any(|v| !v.flip));
        assert!(all.iter().all(|v| v.down.abs() <= 4 && v.right.abs() <= 4));
        assert!(all.iter().any(|v| v.down == 4) && all.iter().any(|v| v.right == -4));
        let more = Augment { crop: 0.3, color: 0.4, mix: 0.5, ..augment };
        for (index, plain) in all.into_iter().enumerate() {
            let view = more.draw(1, 2, index, 9);
            assert_eq!(View { crop: None, color: None, mix: None, ..view }, plain, "what moves it is not drawn anew");
            let Crop { start, size } = view.crop.unwrap();
            assert!((0.29..=1.0).contains(&(size[0] * size[1])) || size.contains(&1.0), "{size:?}");
            assert!(
                (0..2).all(|axis| start[axis] >= 0.0 && start[axis] + size[axis] <= 1.0 + 1e-6),
                "{start:?} {size:?}"
            );
            assert!(view.mix.is_none_or(|mix| mix.with < 9 && mix.share <= 0.5));
        }
        let mixed = (0..64).filter(|&index| more.draw(1, 2, index, 9).mix.is_some()).count();
        assert!((16..48).contains(&mixed), "{mixed}");
    }

    #[test]
    fn colors_change_round_the_mean_and_the_grey() {
        let mut image = [100, 100, 100, 20, 60, 100];
        Color { brightness: 1.0, contrast: 0.5, saturation: 1.0 }.apply(&mut image, 3);
        assert_eq!(image, [90, 90, 90, 50, 70, 90], "the mean is 80");
        let mut image = [0, 100, 200, 50, 50, 50];
        Color { brightness: 1.0, contrast: 1.0, saturation: 0.0 }.apply(&mut image, 3);
        assert_eq!(image, [82, 82, 82, 50, 50, 50]);
        let mut image = [200, 100];
        Color { brightness: 2.0, contrast: 1.0, saturation: 0.3 }.apply(&mut image, 1);
        assert_eq!(image, [255, 200]);
    }

    #[test]
    fn shares_are_checked_and_usual_ones_not_written() {
        let problem = |text: &str| toml::from_str::<Augment>(text).unwrap().problem();
        assert!(problem("crop = 0.0").unwrap().contains("`augment.crop` is 0"));
        assert!(problem("mix = 1.5").unwrap().contains("`augment.mix` is 1.5"));
        assert_eq!(problem("crop = 0.3\ncolor = 0.4\nmix = 1.0"), None);
        let written = serde_json::to_string(&Augment::default()).unwrap();
        assert_eq!(written, r#"{"flip":true,"shift":4,"cutout":0,"fill":"zero"}"#);
        assert_eq!(Augment::default().describe(), "true 4 Zero");
    }

    #[test]
    fn the_first_views_are_plain_and_mirrored() {
        let augment = Augment { flip: true, shift: 4, cutout: 8, ..Augment::NONE };
        assert_eq!(augment.view(0, 5, 9), View::PLAIN);
        assert_eq!(augment.view(1, 5, 9), View { flip: true, ..View::PLAIN });
        assert_eq!(Augment::NONE.view(1, 5, 9), View::PLAIN);
        assert!((2..12).any(|v| augment.view(v, 5, 9) != augment.view(v, 6, 9)));
    }

    #[test]
    fn a_square_is_covered() {
        let augment = Augment { cutout: 4, fill: Fill::Grey, ..Augment::NONE };
        let covered = |index| {
            let mut image = vec![7u8; 16 * 16 * 3];
            augment.cover(&mut image, [16, 16, 3], 1, 0, index);
            image.iter().filter(|&&byte| byte == 128).count()
        };
        let counts: Vec<usize> = (0..200).map(covered).collect();
        assert_eq!(counts.iter().max(), Some(&(4 * 4 * 3)));
        assert!(counts.iter().all(|count| count % 3 == 0 && *count >= 2 * 2 * 3), "{counts:?}");
    }
}

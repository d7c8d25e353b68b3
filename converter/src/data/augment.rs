//! Random changes that keep the class of an image: mirrored, shifted, partly covered.

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
}

impl Default for Augment {
    /// What suits small photographs.
    fn default() -> Self {
        Augment { flip: true, shift: 4, cutout: 0, fill: Fill::Zero }
    }
}

impl Augment {
    /// No change at all.
    pub const NONE: Augment = Augment { flip: false, shift: 0, cutout: 0, fill: Fill::Zero };

    /// How image `index` looks in `epoch`.
    pub fn draw(&self, seed: u64, epoch: usize, index: usize) -> View {
        self.shape(&mut stream(seed, Purpose::Augment, epoch as u64, index as u64))
    }

    /// The fixed view `view` of image `index`: the image itself, then (where they are allowed) mirrored, then mirrored at
    /// random and shifted.
    pub fn view(&self, view: usize, index: usize) -> View {
        match view {
            0 => View::PLAIN,
            1 if self.flip => View { flip: true, ..View::PLAIN },
            _ => self.shape(&mut stream(0, Purpose::Shift, view as u64, index as u64)),
        }
    }

    fn shape(&self, rng: &mut impl RngExt) -> View {
        let reach = self.shift as i64;
        View {
            flip: self.flip && rng.random_bool(0.5),
            down: rng.random_range(-reach..=reach) as isize,
            right: rng.random_range(-reach..=reach) as isize,
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

/// One way to look at an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// Mirrored left to right, before the shift.
    pub flip: bool,
    /// Pixels that the content moves down.
    pub down: isize,
    /// Pixels that the content moves to the right.
    pub right: isize,
}

impl View {
    /// The image as it is.
    pub const PLAIN: View = View { flip: false, down: 0, right: 0 };

    /// Writes what is seen of `image` to `out`, both of `shape` (height, width, channels).
    pub fn apply(&self, image: &[u8], out: &mut [u8], shape: [usize; 3], fill: Fill) {
        if *self == View::PLAIN {
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
            (View { flip: true, down: 0, right: 0 }, [3, 2, 1, 6, 5, 4]),
            (View { flip: false, down: 1, right: -1 }, [0, 0, 0, 2, 3, 0]),
            (View { flip: true, down: -1, right: 2 }, [0, 0, 6, 0, 0, 0]),
        ];
        for (view, expected) in rows {
            let mut out = [9; 6];
            view.apply(&IMAGE, &mut out, SHAPE, Fill::Zero);
            assert_eq!(out, *expected, "{view:?}");
        }
    }

    #[test]
    fn a_drawn_view_depends_on_seed_epoch_and_index_alone() {
        let augment = Augment { flip: true, shift: 4, cutout: 0, fill: Fill::Zero };
        let views = |seed, epoch| (0..64).map(|i| augment.draw(seed, epoch, i)).collect::<Vec<_>>();
        assert_eq!(views(1, 2), views(1, 2));
        assert_ne!(views(1, 2), views(1, 3));
        assert_ne!(views(1, 2), views(2, 2));
        let all = views(1, 2);
        assert!(all.iter().any(|v| v.flip) && all.iter().any(|v| !v.flip));
        assert!(all.iter().all(|v| v.down.abs() <= 4 && v.right.abs() <= 4));
        assert!(all.iter().any(|v| v.down == 4) && all.iter().any(|v| v.right == -4));
    }

    #[test]
    fn the_first_views_are_plain_and_mirrored() {
        let augment = Augment { flip: true, shift: 4, cutout: 8, fill: Fill::Zero };
        assert_eq!(augment.view(0, 5), View::PLAIN);
        assert_eq!(augment.view(1, 5), View { flip: true, ..View::PLAIN });
        assert_eq!(Augment::NONE.view(1, 5), View::PLAIN);
        assert!((2..12).any(|v| augment.view(v, 5) != augment.view(v, 6)));
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

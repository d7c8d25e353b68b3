//! The built-in task: generated pictures of figures to be named, for the demo and for tests.
//!
//! A picture shows one figure of random place, size, turn and colour on a shaded ground, among lines and dots and under
//! noise. What counts is the outline alone, so that no weighing of single pixels can tell the figures apart. Only
//! additions, multiplications, divisions and square roots are used: every machine draws the same pictures.

use super::random::{Purpose, stream};
use super::{Dataset, Part};
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

/// Rows and columns of a picture.
const SIDE: usize = 32;
/// Largest change of a byte by noise.
const NOISE: f32 = 20.0;
/// Lightness of the channels of grounds, of what lies about, and of figures.
const GROUND: [f32; 2] = [10.0, 120.0];
const CLUTTER: [f32; 2] = [50.0, 190.0];
const FIGURE: [f32; 2] = [110.0, 245.0];
/// Cosine and sine of a fifth of a turn.
const FIFTH: [f32; 2] = [0.309_017, 0.951_056_5];

/// Whether a point is within a figure whose outermost points are about 1 from the origin.
type Inside = fn(f32, f32) -> bool;
/// Red, green, blue.
type Color = [f32; 3];

/// The figures, in label order.
const FIGURES: [(&str, Inside); 8] = [
    ("disc", |x, y| x * x + y * y < 0.7),
    ("ring", |x, y| (0.3..0.9).contains(&(x * x + y * y))),
    ("square", |x, y| x.abs().max(y.abs()) < 0.72),
    ("triangle", |x, y| y > -0.5 && 1.732 * x.abs() + y < 1.0),
    ("cross", |x, y| x.abs().min(y.abs()) < 0.27 && x.abs().max(y.abs()) < 0.95),
    ("star", star),
    ("crescent", |x, y| x * x + y * y < 0.9 && (x - 0.5) * (x - 0.5) + y * y > 0.55),
    ("bars", |x, y| (0.22..0.72).contains(&y.abs()) && x.abs() < 0.8),
];

/// The five-pointed star: within at least four of the five lines through its points.
fn star(mut x: f32, mut y: f32) -> bool {
    let mut within = 0;
    for _ in 0..5 {
        within += usize::from(y < FIFTH[0]);
        (x, y) = (FIFTH[0] * x - FIFTH[1] * y, FIFTH[1] * x + FIFTH[0] * y);
    }
    within >= 4
}

/// `images` pictures, as many of each figure as of the others, the same for a seed. The parts share no picture.
pub fn generate(images: usize, part: Part, seed: u64) -> Dataset {
    let mut pixels = Vec::with_capacity(images * SIDE * SIDE * 3);
    let labels: Vec<u32> = (0..images).map(|index| (index % FIGURES.len()) as u32).collect();
    for (index, &label) in labels.iter().enumerate() {
        let rng = &mut stream(seed, Purpose::Scene, u64::from(part == Part::Test), index as u64);
        let mut picture = Picture::ground(rng);
        picture.clutter(rng, 4);
        picture.figure(rng, FIGURES[label as usize].1);
        picture.clutter(rng, 1);
        pixels.extend(picture.finish(rng));
    }
    let classes = FIGURES.map(|(name, _)| name.to_owned()).to_vec();
    Dataset { shape: [SIDE, SIDE, 3], pixels, labels, classes }
}

/// A picture being drawn.
struct Picture(Vec<Color>);

impl Picture {
    /// A ground that changes evenly from one side to the other.
    fn ground(rng: &mut Pcg64Mcg) -> Self {
        let (from, change) = (color(rng, GROUND), [0; 3].map(|_| between(rng, -40.0, 40.0)));
        let [across, down] = direction(rng);
        let half = SIDE as f32 / 2.0;
        let at = |pixel: usize| {
            let (x, y) = ((pixel % SIDE) as f32 / half - 1.0, (pixel / SIDE) as f32 / half - 1.0);
            let share = across * x + down * y;
            std::array::from_fn(|c| from[c] + share * change[c])
        };
        Picture((0..SIDE * SIDE).map(at).collect())
    }

    /// Some lines and dots.
    fn clutter(&mut self, rng: &mut Pcg64Mcg, count: usize) {
        for _ in 0..count {
            let (color, [across, down]) = (color(rng, CLUTTER), direction(rng));
            let center = [between(rng, 0.0, SIDE as f32), between(rng, 0.0, SIDE as f32)];
            let (length, width) =
                if rng.random_bool(0.5) { (between(rng, 3.0, 9.0), 0.7) } else { (1.5, between(rng, 0.8, 1.8)) };
            self.paint(color, center, |x, y| {
                (across * x + down * y).abs() < length && (across * y - down * x).abs() < width
            });
        }
    }

    /// A figure of random place, size, turn and colour.
    fn figure(&mut self, rng: &mut Pcg64Mcg, inside: Inside) {
        let size = between(rng, 8.0, 13.0);
        let center = [0; 2].map(|_| between(rng, 0.75 * size, SIDE as f32 - 0.75 * size));
        let [cos, sin] = direction(rng);
        let own = color(rng, FIGURE);
        self.paint(own, center, |x, y| inside((cos * x + sin * y) / size, (cos * y - sin * x) / size));
    }

    /// Colours what is inside, with even transitions at the edge (four samples for each pixel).
    fn paint(&mut self, color: Color, center: [f32; 2], inside: impl Fn(f32, f32) -> bool) {
        for (pixel, present) in self.0.iter_mut().enumerate() {
            let (x, y) = ((pixel % SIDE) as f32 - center[0], (pixel / SIDE) as f32 - center[1]);
            let samples = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)];
            let share = samples.iter().filter(|(dx, dy)| inside(x + dx, y + dy)).count() as f32 / 4.0;
            for (present, own) in present.iter_mut().zip(color) {
                *present += share * (own - *present);
            }
        }
    }

    /// The bytes, with noise.
    fn finish(self, rng: &mut Pcg64Mcg) -> impl Iterator<Item = u8> {
        self.0.into_iter().flatten().map(move |value| (value + between(rng, -NOISE, NOISE)).clamp(0.0, 255.0) as u8)
    }
}

fn between(rng: &mut Pcg64Mcg, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

fn color(rng: &mut Pcg64Mcg, [low, high]: [f32; 2]) -> Color {
    [0; 3].map(|_| between(rng, low, high))
}

/// A vector of length 1 in any direction.
fn direction(rng: &mut Pcg64Mcg) -> [f32; 2] {
    loop {
        let [x, y] = [0; 2].map(|_| between(rng, -1.0, 1.0));
        let square = x * x + y * y;
        if (0.01..1.0).contains(&square) {
            return [x / square.sqrt(), y / square.sqrt()];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_repeat_for_a_seed_and_differ_between_parts() {
        let train = generate(40, Part::Train, 1);
        assert_eq!(train, generate(40, Part::Train, 1));
        assert_eq!(train.subset(&[0, 1, 2]), generate(3, Part::Train, 1));
        for other in [generate(40, Part::Test, 1), generate(40, Part::Train, 2)] {
            assert!((0..40).all(|i| other.image(i) != train.image(i)));
        }
    }

    #[test]
    fn every_figure_covers_a_good_part_of_its_circle_and_none_is_another() {
        let grid = || (0..81 * 81).map(|i| ((i % 81) as f32 / 40.0 - 1.0, (i / 81) as f32 / 40.0 - 1.0));
        for (i, (name, inside)) in FIGURES.iter().enumerate() {
            let covered = grid().filter(|&(x, y)| inside(x, y)).count() as f32 / (81.0 * 81.0);
            assert!((0.2..0.65).contains(&covered), "{name} covers {covered}");
            for (other, within) in &FIGURES[..i] {
                let differ = grid().filter(|&(x, y)| inside(x, y) != within(x, y)).count() as f32 / (81.0 * 81.0);
                assert!(differ > 0.05, "{name} and {other} differ in {differ}");
            }
        }
    }
}

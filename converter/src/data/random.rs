//! Random numbers that depend only on what they are for, so that resuming, reordering or threading never changes them.

use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

/// What a stream of random numbers is for: different purposes never share numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// First values of weights.
    Weights = 1,
    /// Which images are held out.
    Split = 2,
    /// The order of an epoch.
    Order = 3,
    /// Flips, shifts and cut-outs.
    Augment = 4,
    /// Which view of a labelled image an epoch takes.
    View = 5,
    /// How the views of an image look.
    Shift = 6,
    /// Generated pictures and texts.
    Scene = 7,
    /// Values that a step of a training drops.
    Dropout = 8,
    /// How the views of a text look.
    Words = 9,
    /// What of an image is seen in which colours, and what it is mixed with.
    Look = 10,
    /// The same, in views that teachers are asked about.
    LookOfView = 11,
}

/// The generator for one thing, told by two numbers (such as epoch and index), under a seed.
pub fn stream(seed: u64, purpose: Purpose, a: u64, b: u64) -> Pcg64Mcg {
    let mut state = seed;
    for word in [purpose as u64, a, b] {
        state = mix(state ^ mix(word));
    }
    Pcg64Mcg::seed_from_u64(state)
}

/// The output function of SplitMix64 (Steele, Lea, Flood 2014): a bijection in which every input bit moves every output bit.
fn mix(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn streams_differ_in_every_argument_and_repeat() {
        let first = |seed, purpose, a, b| stream(seed, purpose, a, b).random::<u64>();
        let base = first(1, Purpose::Order, 2, 3);
        assert_eq!(base, first(1, Purpose::Order, 2, 3));
        for other in [
            first(2, Purpose::Order, 2, 3),
            first(1, Purpose::View, 2, 3),
            first(1, Purpose::Order, 3, 3),
            first(1, Purpose::Order, 2, 4),
            first(1, Purpose::Order, 3, 2),
        ] {
            assert_ne!(base, other);
        }
    }
}

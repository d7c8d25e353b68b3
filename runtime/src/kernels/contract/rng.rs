//! A tiny random generator, the same on every device.

/// Xorshift with 32 bits of state; seeds are mixed, so that neighbouring ones have nothing in common.
#[derive(Clone, Debug)]
pub struct Rng(u32);

impl Rng {
    /// A generator for a seed.
    pub const fn new(seed: u32) -> Self {
        // The finisher of MurmurHash3; the state must not be zero.
        let x = (seed ^ 0x9e37_79b9).wrapping_mul(0x85eb_ca6b);
        let x = (x ^ x >> 13).wrapping_mul(0xc2b2_ae35);
        Rng(if x ^ x >> 16 == 0 { 1 } else { x ^ x >> 16 })
    }

    /// 32 random bits.
    pub const fn word(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    /// A random byte.
    pub const fn byte(&mut self) -> i8 {
        (self.word() >> 11) as i8
    }

    /// A number below `n`; 0 for `n` 0.
    pub const fn below(&mut self, n: usize) -> usize {
        ((self.word() as u64 * n as u64) >> 32) as usize
    }

    /// One of `choices`.
    pub const fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// True once in `n` times.
    pub const fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

//! Checksums: CRC-32 of a file, FNV-1a of outputs, and the generator of self-test inputs.

/// FNV-1a, 64 bits, over raw bytes: the digest of an output, the same on every device. Printed as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fnv1a64(u64);

impl Fnv1a64 {
    /// Of no bytes.
    pub const fn new() -> Self {
        Fnv1a64(0xcbf2_9ce4_8422_2325)
    }

    /// Takes more bytes.
    pub const fn update(&mut self, bytes: &[i8]) {
        let mut i = 0;
        while i < bytes.len() {
            self.0 = (self.0 ^ bytes[i] as u8 as u64).wrapping_mul(0x0000_0100_0000_01b3);
            i += 1;
        }
    }

    /// The digest of all bytes so far.
    pub const fn finish(self) -> u64 {
        self.0
    }
}

impl Default for Fnv1a64 {
    fn default() -> Self {
        Fnv1a64::new()
    }
}

/// The digest of one output.
pub const fn fnv1a64(bytes: &[i8]) -> u64 {
    let mut digest = Fnv1a64::new();
    digest.update(bytes);
    digest.finish()
}

/// CRC-32 (polynomial 0x04c11db7 reflected, as in zlib) of several pieces one after another.
///
/// With `std` a library computes it with the CPU's own instructions; its tables are too large for a chip.
#[cfg(feature = "std")]
pub(crate) fn crc32(pieces: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    pieces.iter().for_each(|piece| hasher.update(piece));
    hasher.finalize()
}

/// CRC-32 (polynomial 0x04c11db7 reflected, as in zlib) of several pieces one after another.
#[cfg(not(feature = "std"))]
pub(crate) fn crc32(pieces: &[&[u8]]) -> u32 {
    let bytes = pieces.iter().copied().flatten();
    !bytes.fold(!0, |crc: u32, &byte| CRC_TABLE[((crc ^ byte as u32) & 255) as usize] ^ crc >> 8)
}

#[cfg(not(feature = "std"))]
static CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// Xorshift with 32 bits of state: inputs of self-tests and of the contract suite, the same on every device.
#[derive(Clone, Debug)]
pub struct Rng(u32);

impl Rng {
    /// A generator for a seed; seeds are mixed, so that neighbouring ones have nothing in common.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values() {
        let bytes = |text: &str| text.bytes().map(|b| b as i8).collect::<std::vec::Vec<_>>();
        assert_eq!(fnv1a64(&[]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a64(&bytes("a")), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a64(&bytes("foobar")), 0x8594_4171_f739_67e8);
        assert_eq!(crc32(&[b"123456789"]), 0xcbf4_3926);
        assert_eq!(crc32(&[b"1234", b"", b"56789"]), 0xcbf4_3926);
    }

    #[test]
    fn a_seed_gives_the_same_bytes_for_ever() {
        let mut rng = Rng::new(1);
        let bytes: [i8; 4] = core::array::from_fn(|_| rng.byte());
        assert_eq!(bytes, SEED_1);
    }

    const SEED_1: [i8; 4] = [-36, 34, -25, -107];
}

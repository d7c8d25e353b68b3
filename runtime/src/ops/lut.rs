//! Any function of one value (GELU, sigmoid, a change of scale) as a table of 256 bytes.

/// `table[x as u8]`: first the values at 0..=127, then at -128..=-1.
#[derive(Clone, Copy, Debug)]
pub struct Lut<'a> {
    /// One entry for each bit pattern of the input.
    pub table: &'a [i8; 256],
}

impl Lut<'_> {
    /// The function's value.
    #[inline(always)]
    pub const fn apply(&self, x: i8) -> i8 {
        self.table[x as u8 as usize]
    }
}

//! Shapes and elements of activations: every tensor is an image of rows, columns and channels, channels last, batch one.

use crate::kernels::cast;

/// Size of an activation tensor, stored row by row, pixel by pixel, channel by channel.
///
/// A vector is `[1, 1, n]`, a matrix `[1, rows, n]`. The batch is always one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Values in a pixel.
    pub channels: usize,
}

impl Shape {
    /// An image of `height` rows, `width` columns, `channels` channels.
    pub const fn new(height: usize, width: usize, channels: usize) -> Self {
        Shape { height, width, channels }
    }

    /// Number of elements; `usize::MAX`, which no slice has, if that does not fit.
    pub const fn len(self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(self.channels)
    }

    /// Whether there are no elements.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Rows, columns, channels.
    pub const fn sizes(self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }

    /// Number of pixels.
    pub const fn pixels(self) -> usize {
        self.height.saturating_mul(self.width)
    }
}

/// What a tensor holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u8)]
pub enum Element {
    /// Integers of 8 bits, with a zero point.
    #[default]
    Int8 = 0,
    /// Integers of 16 bits, -32767..=32767, zero point 0: residual streams, which must not round at every layer.
    Int16 = 1,
    /// Numbers of words in a vocabulary, 16 bits without sign.
    Token = 2,
}

impl Element {
    /// Size in memory.
    pub const fn bytes(self) -> usize {
        match self {
            Element::Int8 => 1,
            Element::Int16 | Element::Token => 2,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Option<Element> {
        match number {
            0 => Some(Element::Int8),
            1 => Some(Element::Int16),
            2 => Some(Element::Token),
            _ => None,
        }
    }
}

/// The numbers of a tensor that may have 8 or 16 bits.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// Of 8 bits.
    Int8(&'a [i8]),
    /// Of 16 bits.
    Int16(&'a [i16]),
}

/// The numbers of an output that may have 8 or 16 bits.
#[derive(Debug)]
pub enum ValuesMut<'a> {
    /// Of 8 bits.
    Int8(&'a mut [i8]),
    /// Of 16 bits.
    Int16(&'a mut [i16]),
}

impl<'a> Values<'a> {
    /// The bytes of a tensor as its elements; no numbers if it holds tokens.
    pub(crate) fn new(element: Element, bytes: &'a [i8]) -> Self {
        match element {
            Element::Int8 => Values::Int8(bytes),
            Element::Int16 => Values::Int16(cast::i16s(bytes)),
            Element::Token => Values::Int8(&[]),
        }
    }

    /// How many.
    pub const fn len(&self) -> usize {
        match self {
            Values::Int8(values) => values.len(),
            Values::Int16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> ValuesMut<'a> {
    /// The bytes of a tensor as its elements; no numbers if it holds tokens.
    pub(crate) fn new(element: Element, bytes: &'a mut [i8]) -> Self {
        match element {
            Element::Int8 => ValuesMut::Int8(bytes),
            Element::Int16 => ValuesMut::Int16(cast::i16s_mut(bytes)),
            Element::Token => ValuesMut::Int8(&mut []),
        }
    }

    /// How many.
    pub const fn len(&self) -> usize {
        match self {
            ValuesMut::Int8(values) => values.len(),
            ValuesMut::Int16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A number that a tensor can hold.
pub(crate) trait Number: Copy + Into<i32> {
    /// The nearest number that a tensor may hold.
    fn saturate(v: i32) -> Self;
}

impl Number for i8 {
    #[inline(always)]
    fn saturate(v: i32) -> i8 {
        v.clamp(i8::MIN as i32, i8::MAX as i32) as i8
    }
}

/// Symmetric: -32768 is never written.
impl Number for i16 {
    #[inline(always)]
    fn saturate(v: i32) -> i16 {
        v.clamp(-(i16::MAX as i32), i16::MAX as i32) as i16
    }
}

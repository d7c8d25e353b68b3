//! One slice of the caller's memory, cut at planned offsets into the operands of an op.

use core::ops::{Deref, DerefMut};

use crate::format::{ALIGN, OpView};
use crate::kernels::cast;
use crate::tensor::{Element, Shape};

/// Memory for a session in a static: `static ARENA: StaticArena<{ digits::ARENA_BYTES }>`, aligned as a session wants it.
#[derive(Clone, Debug)]
#[repr(C, align(16))]
pub struct StaticArena<const N: usize>([u8; N]);

const _: () = assert!(align_of::<StaticArena<0>>() == ALIGN);

impl<const N: usize> StaticArena<N> {
    /// All zeros, so that a static of it takes no flash.
    pub const fn new() -> Self {
        StaticArena([0; N])
    }
}

impl<const N: usize> Default for StaticArena<N> {
    fn default() -> Self {
        StaticArena::new()
    }
}

impl<const N: usize> Deref for StaticArena<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const N: usize> DerefMut for StaticArena<N> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Bytes on the heap that begin at a multiple of 16: an arena, or a model file that was read.
#[cfg(any(test, feature = "std"))]
#[derive(Debug)]
pub struct AlignedBytes {
    buffer: std::vec::Vec<u8>,
    range: core::ops::Range<usize>,
}

#[cfg(any(test, feature = "std"))]
impl AlignedBytes {
    /// `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        let buffer = std::vec![0; len + ALIGN - 1];
        // The buffer never grows, so its place and this offset hold as long as it lives.
        let start = (buffer.as_ptr() as usize).next_multiple_of(ALIGN) - buffer.as_ptr() as usize;
        AlignedBytes { buffer, range: start..start + len }
    }

    /// A copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut copy = AlignedBytes::zeroed(bytes.len());
        copy.copy_from_slice(bytes);
        copy
    }
}

#[cfg(any(test, feature = "std"))]
impl Clone for AlignedBytes {
    fn clone(&self) -> Self {
        AlignedBytes::copy_of(self)
    }
}

#[cfg(any(test, feature = "std"))]
impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }
}

#[cfg(any(test, feature = "std"))]
impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.range.clone()]
    }
}

/// The operands of one op in the arena. The check has found them to lie in it, and apart where they must be.
pub(crate) struct Operands<'r, 'm, 'a> {
    arena: &'r mut [i8],
    view: OpView<'m, 'a>,
}

impl<'r, 'm, 'a> Operands<'r, 'm, 'a> {
    pub(crate) fn new(arena: &'r mut [i8], view: OpView<'m, 'a>) -> Self {
        Operands { arena, view }
    }

    /// Number of inputs.
    pub(crate) fn inputs(&self) -> usize {
        self.view.inputs()
    }

    /// Shape of an input.
    pub(crate) fn input_shape(&self, i: usize) -> Shape {
        self.view.input(i).shape
    }

    /// What an input holds.
    pub(crate) fn input_element(&self, i: usize) -> Element {
        self.view.input(i).element
    }

    /// What the output holds.
    pub(crate) fn output_element(&self) -> Element {
        self.view.output().element
    }

    /// Shape of the output.
    pub(crate) fn output_shape(&self) -> Shape {
        self.view.output().shape
    }

    /// The output.
    pub(crate) fn output(&mut self) -> &mut [i8] {
        self.arena.get_mut(self.view.output().range()).unwrap_or(&mut [])
    }

    /// An input that does not lie in the output, the output, and `scratch` bytes of working memory.
    pub(crate) fn split(&mut self, input: usize, scratch: usize) -> (&[i8], &mut [i8], &mut [u8]) {
        let scratch = self.view.scratch_for(scratch);
        let ranges = [self.view.input(input).range(), self.view.output().range(), scratch];
        match self.arena.get_disjoint_mut(ranges) {
            Ok([input, output, scratch]) => (input, output, cast::u8s_mut(scratch)),
            Err(_) => (&[], &mut [], &mut []),
        }
    }

    /// The first three inputs, which lie apart, the output, and `scratch` bytes of working memory.
    pub(crate) fn split_three(&mut self, scratch: usize) -> ([&[i8]; 3], &mut [i8], &mut [u8]) {
        let scratch = self.view.scratch_for(scratch);
        let [a, b, c] = [0, 1, 2].map(|i| self.view.input(i).range());
        match self.arena.get_disjoint_mut([a, b, c, self.view.output().range(), scratch]) {
            Ok([a, b, c, output, scratch]) => ([a, b, c], output, cast::u8s_mut(scratch)),
            Err(_) => ([&[]; 3], &mut [], &mut []),
        }
    }

    /// Copies an input of the output's size to the output, unless it lies there.
    pub(crate) fn bring(&mut self, input: usize) {
        let tensor = self.view.input(input);
        if tensor.offset != self.view.output().offset {
            self.copy(input, 0, 0, tensor.bytes());
        }
    }

    /// Copies `len` bytes from an input to the output, from and to these places of theirs.
    pub(crate) fn copy(&mut self, input: usize, from: usize, to: usize, len: usize) {
        let (from, to) = (self.view.input(input).offset + from, self.view.output().offset + to);
        if from.max(to).saturating_add(len) <= self.arena.len() {
            self.arena.copy_within(from..from + len, to);
        }
    }
}

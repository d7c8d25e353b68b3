//! Float buffers that begin at a cache line, so that no vector load or store touches two.

use std::ops::{Deref, DerefMut};

/// Values in a cache line.
const LINE: usize = 16;

/// Values that begin at a cache line.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffer {
    data: Vec<f32>,
    /// Where the first cache line begins.
    start: usize,
    len: usize,
}

impl Buffer {
    /// At least `len` values; what they are is not said if the buffer grows.
    pub(super) fn grow(&mut self, len: usize) -> &mut [f32] {
        if self.len < len {
            self.data = vec![0.0; len + LINE - 1];
            // An offset that cannot be found (a debugging allocator may say so) costs speed only.
            self.start = self.data.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE - 1);
            self.len = len;
        }
        self
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.data[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_at_a_line_and_never_shrink() {
        let mut buffer = Buffer::default();
        assert!(buffer.is_empty());
        for len in [1, 100, 17, 1000] {
            buffer.grow(len);
            assert!(buffer.len() >= len);
            assert_eq!(buffer.as_ptr().align_offset(LINE * size_of::<f32>()), 0);
        }
    }
}

//! Where a convolution or a pool looks: kernel, stride, dilation and padding, as numbers of rows and columns.

use core::iter::StepBy;
use core::ops::Range;

use crate::format::bytes::Field;
use crate::tensor::Shape;

/// Geometry of a sliding window; each pair is rows, then columns.
///
/// Padding below and to the right is not stated: it is whatever the output's size makes the last windows reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Taps; at least 1.
    pub kernel: [usize; 2],
    /// Distance between neighbouring outputs; at least 1.
    pub stride: [usize; 2],
    /// Distance between neighbouring taps; 1 is dense.
    pub dilation: [usize; 2],
    /// Rows above and columns to the left of the image.
    pub pad: [usize; 2],
}

impl Window {
    /// One pixel at a time.
    pub const UNIT: Window = Window { kernel: [1; 2], stride: [1; 2], dilation: [1; 2], pad: [0; 2] };

    /// A square, dense window.
    pub const fn square(kernel: usize, stride: usize, pad: usize) -> Self {
        Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [1; 2], pad: [pad; 2] }
    }

    /// Whether the window makes this output of this input: nothing is zero or beyond 65,535, each window begins at or above
    /// and left of the image's last pixel, and the first reaches the image.
    ///
    /// Then no computation of a position can overflow, even where `usize` has 32 bits.
    pub const fn relates(&self, input: Shape, output: Shape) -> bool {
        self.relates_axis(0, input.height, output.height) && self.relates_axis(1, input.width, output.width)
    }

    const fn relates_axis(&self, axis: usize, input: usize, output: usize) -> bool {
        const LIMIT: usize = u16::MAX as usize;
        let [kernel, stride, dilation, pad] =
            [self.kernel[axis], self.stride[axis], self.dilation[axis], self.pad[axis]];
        if kernel == 0 || stride == 0 || dilation == 0 || input == 0 || output == 0 {
            return false;
        }
        // 65,535 squared still fits 32 bits.
        if kernel > LIMIT || stride > LIMIT || dilation > LIMIT || pad > LIMIT || input > LIMIT || output > LIMIT {
            return false;
        }
        let [last, reach] = [(output - 1) * stride, (kernel - 1) * dilation];
        last <= LIMIT * 2 && reach < LIMIT && pad <= reach && last < input + pad
    }

    /// Number of taps.
    pub const fn taps(&self) -> usize {
        self.kernel[0].saturating_mul(self.kernel[1])
    }

    /// Whether one output pixel is made from one input pixel at the same place, so that rows need no distinction.
    pub fn is_unit(&self) -> bool {
        *self == Window::UNIT
    }

    /// The taps of `axis` (0 rows, 1 columns) that lie inside an image of `size` for output number `out`.
    #[inline]
    pub fn inside(&self, axis: usize, out: usize, size: usize) -> Range<usize> {
        let [start, pad, step] = [out * self.stride[axis], self.pad[axis], self.dilation[axis]];
        let first = pad.saturating_sub(start).div_ceil(step);
        let end = (size + pad).saturating_sub(start).div_ceil(step).min(self.kernel[axis]);
        first.min(end)..end
    }

    /// The row or column of the image that tap `tap` of output number `out` reads; meaningful for taps that are [`inside`](Self::inside).
    #[inline]
    pub const fn read(&self, axis: usize, out: usize, tap: usize) -> usize {
        (out * self.stride[axis] + tap * self.dilation[axis]).wrapping_sub(self.pad[axis])
    }

    /// The rows or columns of the image that output number `out` reads.
    #[inline]
    pub fn under(&self, axis: usize, out: usize, size: usize) -> StepBy<Range<usize>> {
        let taps = self.inside(axis, out, size);
        let first = self.read(axis, out, taps.start);
        let step = self.dilation[axis];
        // Empty for no taps; else up to just past the last of them.
        let end = if taps.is_empty() { first } else { first + (taps.len() - 1) * step + 1 };
        (first..end).step_by(step)
    }

    /// Whether every output reads at least one pixel of the image: a dilated window can miss it with all its taps.
    pub fn never_empty(&self, input: Shape, output: Shape) -> bool {
        (0..output.height).all(|y| !self.inside(0, y, input.height).is_empty())
            && (0..output.width).all(|x| !self.inside(1, x, input.width).is_empty())
    }

    /// Shape of the output, given padding below and to the right; `None` if the window does not fit.
    pub fn output(&self, input: Shape, after: [usize; 2], channels: usize) -> Option<Shape> {
        let size = |axis: usize, input: usize| {
            let reach = self.dilation[axis].checked_mul(self.kernel[axis].checked_sub(1)?)?.checked_add(1)?;
            let room = input.checked_add(self.pad[axis])?.checked_add(after[axis])?.checked_sub(reach)?;
            Some(room.checked_div(self.stride[axis])? + 1)
        };
        Some(Shape::new(size(0, input.height)?, size(1, input.width)?, channels))
    }
}

/// Eight 16-bit numbers: kernel, stride, dilation, padding; rows before columns.
impl Field for Window {
    const BYTES: usize = <[u16; 8]>::BYTES;

    fn read(bytes: &[u8]) -> Self {
        let [kernel, stride, dilation, pad] = <[[u16; 2]; 4]>::read(bytes).map(|pair| pair.map(usize::from));
        Window { kernel, stride, dilation, pad }
    }

    fn write(&self, bytes: &mut [u8]) {
        // A number that does not fit becomes one that the check refuses; zero is the only one that might not be noticed.
        let number = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        [self.kernel, self.stride, self.dilation, self.pad].map(|pair| pair.map(number)).write(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_inside_are_those_that_read_the_image() {
        for [kernel, stride, dilation, pad, size] in
            [[3, 1, 1, 1, 5], [3, 2, 1, 1, 8], [2, 3, 4, 3, 6], [5, 1, 2, 8, 3], [1, 2, 1, 0, 7], [7, 1, 1, 6, 1]]
        {
            let window = Window { kernel: [kernel; 2], stride: [stride; 2], dilation: [dilation; 2], pad: [pad; 2] };
            for out in 0..12 {
                let position = |tap: usize| (out * stride + tap * dilation) as isize - pad as isize;
                let taps: std::vec::Vec<_> =
                    (0..kernel).filter(|&t| (0..size as isize).contains(&position(t))).collect();
                assert_eq!(window.inside(0, out, size).collect::<std::vec::Vec<_>>(), taps, "{window:?} {out}");
                let read: std::vec::Vec<_> = taps.iter().map(|&tap| position(tap) as usize).collect();
                assert_eq!(window.under(1, out, size).collect::<std::vec::Vec<_>>(), read, "{window:?} {out}");
                assert!(taps.iter().all(|&tap| window.read(0, out, tap) == position(tap) as usize));
            }
        }
    }

    #[test]
    fn numbers_that_could_overflow_are_no_window() {
        let shape = Shape::new(65535, 65535, 1);
        let window = |kernel: usize, stride: usize, dilation: usize, pad: usize| Window {
            kernel: [kernel; 2],
            stride: [stride; 2],
            dilation: [dilation; 2],
            pad: [pad; 2],
        };
        assert!(window(1, 1, 1, 0).relates(shape, shape));
        assert!(window(65535, 65535, 1, 65534).relates(shape, Shape::new(2, 2, 1)));
        assert!(!window(65535, 65535, 1, 65534).relates(shape, Shape::new(3, 3, 1)));
        assert!(!window(65535, 1, 2, 0).relates(shape, Shape::new(1, 1, 1)));
        for size in [0, 65536, usize::MAX] {
            assert!(!window(size, 1, 1, 0).relates(shape, shape), "{size}");
            assert!(!window(1, size, 1, 0).relates(shape, Shape::new(1, 1, 1)), "{size}");
            assert!(!window(1, 1, size, 0).relates(shape, Shape::new(1, 1, 1)), "{size}");
            assert!(!window(1, 1, 1, 0).relates(Shape::new(size, 1, 1), Shape::new(1, 1, 1)), "{size}");
        }
    }
}

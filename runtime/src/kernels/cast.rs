//! Bytes of a model file or an arena seen as numbers: the casts that safe code cannot do.

use core::slice;

#[cfg(target_endian = "big")]
compile_error!("a model file is little-endian and is read in place, so big-endian targets are not supported");

/// Bytes as signed bytes.
pub(crate) const fn i8s(bytes: &[u8]) -> &[i8] {
    // SAFETY: u8 and i8 have the same size and alignment, and every bit pattern is valid for both.
    unsafe { slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) }
}

/// Bytes as signed bytes.
pub(crate) const fn i8s_mut(bytes: &mut [u8]) -> &mut [i8] {
    // SAFETY: as in `i8s`; the borrow is exclusive before and after.
    unsafe { slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) }
}

/// Signed bytes as bytes.
pub(crate) const fn u8s(values: &[i8]) -> &[u8] {
    // SAFETY: as in `i8s`.
    unsafe { slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
}

/// Signed bytes as bytes.
pub(crate) const fn u8s_mut(values: &mut [i8]) -> &mut [u8] {
    // SAFETY: as in `i8s_mut`.
    unsafe { slice::from_raw_parts_mut(values.as_mut_ptr().cast(), values.len()) }
}

/// Bytes as 32-bit numbers; `None` unless they begin at a multiple of four and are a whole number of them.
pub(crate) fn i32s(bytes: &[u8]) -> Option<&[i32]> {
    // SAFETY: every bit pattern is a valid i32; `align_to` yields only aligned, whole elements in the middle.
    let (before, middle, after) = unsafe { bytes.align_to::<i32>() };
    (before.is_empty() && after.is_empty()).then_some(middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(4))]
    struct Aligned([u8; 12]);

    #[test]
    fn numbers_need_alignment_and_whole_length() {
        let bytes = Aligned([1, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 128]);
        assert_eq!(i32s(&bytes.0), Some(&[1, -1, i32::MIN][..]));
        assert_eq!(i32s(&bytes.0[1..9]), None);
        assert_eq!(i32s(&bytes.0[..7]), None);
        assert_eq!(i32s(&[]), Some(&[][..]));
    }
}

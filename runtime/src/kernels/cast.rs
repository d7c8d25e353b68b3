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

/// Bytes of a tensor as 16-bit numbers; none unless they begin at an even address and are a whole number of them.
pub(crate) fn i16s(bytes: &[i8]) -> &[i16] {
    // SAFETY: every bit pattern is a valid i16; `align_to` yields only aligned, whole elements in the middle.
    let (before, middle, after) = unsafe { bytes.align_to::<i16>() };
    if before.is_empty() && after.is_empty() { middle } else { &[] }
}

/// Bytes of a tensor as 16-bit numbers; none unless they begin at an even address and are a whole number of them.
pub(crate) fn i16s_mut(bytes: &mut [i8]) -> &mut [i16] {
    // SAFETY: as in `i16s`; the borrow is exclusive before and after.
    let (before, middle, after) = unsafe { bytes.align_to_mut::<i16>() };
    if before.is_empty() && after.is_empty() { middle } else { &mut [] }
}

/// Bytes of a tensor as tokens; none unless they begin at an even address and are a whole number of them.
pub(crate) fn u16s(bytes: &[i8]) -> &[u16] {
    // SAFETY: as in `i16s`, of u16.
    let (before, middle, after) = unsafe { bytes.align_to::<u16>() };
    if before.is_empty() && after.is_empty() { middle } else { &[] }
}

/// Scratch as 32-bit numbers; none unless it begins at a multiple of four. Bytes that are no whole number are left over.
pub(crate) fn i32s_mut(bytes: &mut [u8]) -> &mut [i32] {
    // SAFETY: every bit pattern is a valid i32; the borrow is exclusive before and after.
    let (before, middle, _) = unsafe { bytes.align_to_mut::<i32>() };
    if before.is_empty() { middle } else { &mut [] }
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
        let mut bytes = bytes;
        assert_eq!(i16s(i8s(&bytes.0[4..])), [-1, -1, 0, i16::MIN]);
        assert_eq!(u16s(i8s(&bytes.0[8..])), [0, 0x8000]);
        assert_eq!(i16s_mut(i8s_mut(&mut bytes.0[..2])), [1]);
        assert_eq!(i32s_mut(&mut bytes.0[..7]), [1]);
        assert!(i16s(i8s(&bytes.0[1..3])).is_empty() && i16s(i8s(&bytes.0[..3])).is_empty());
        assert!(u16s(i8s(&bytes.0[1..3])).is_empty() && i32s_mut(&mut bytes.0[2..]).is_empty());
    }
}

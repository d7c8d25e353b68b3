//! Numbers and records of a file: reading and writing in one place, so that they cannot differ.

/// A value of fixed length in a file, little-endian.
///
/// Reading is total: bytes that are not there read as zeros, so that a view needs no errors. The check asks for lengths first.
pub(crate) trait Field: Sized {
    /// Length in the file.
    const BYTES: usize;

    /// From the first `BYTES` bytes.
    fn read(bytes: &[u8]) -> Self;

    /// Into the first `BYTES` bytes; nothing if there are fewer.
    #[cfg_attr(not(any(test, feature = "encode")), allow(dead_code))]
    fn write(&self, bytes: &mut [u8]);
}

macro_rules! number {
    ($($number:ty)*) => {
        $(impl Field for $number {
            const BYTES: usize = size_of::<$number>();

            #[inline]
            fn read(bytes: &[u8]) -> Self {
                bytes.first_chunk().map_or(0, |bytes| <$number>::from_le_bytes(*bytes))
            }

            fn write(&self, bytes: &mut [u8]) {
                if let Some(bytes) = bytes.first_chunk_mut() {
                    *bytes = self.to_le_bytes();
                }
            }
        })*
    };
}

number!(u8 i8 u16 i16 u32 i32 u64);

impl<T: Field, const N: usize> Field for [T; N] {
    const BYTES: usize = T::BYTES * N;

    #[inline]
    fn read(bytes: &[u8]) -> Self {
        core::array::from_fn(|i| T::read(tail(bytes, i * T::BYTES)))
    }

    fn write(&self, bytes: &mut [u8]) {
        for (value, bytes) in self.iter().zip(bytes.chunks_exact_mut(T::BYTES)) {
            value.write(bytes);
        }
    }
}

/// The bytes from `at` on, none if there are not so many.
#[inline]
pub(crate) fn tail(bytes: &[u8], at: usize) -> &[u8] {
    bytes.get(at..).unwrap_or(&[])
}

/// A struct whose fields lie one after another in the file.
macro_rules! record {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        $vis struct $name { $($(#[$field_doc])* $vis $field: $type,)* }

        impl $crate::format::bytes::Field for $name {
            const BYTES: usize = 0 $(+ <$type as $crate::format::bytes::Field>::BYTES)*;

            #[inline]
            #[allow(unused_assignments)]
            fn read(bytes: &[u8]) -> Self {
                use $crate::format::bytes::{Field, tail};
                let mut at = 0;
                $(
                    let $field = <$type as Field>::read(tail(bytes, at));
                    at += <$type as Field>::BYTES;
                )*
                $name { $($field),* }
            }

            #[allow(unused_assignments)]
            fn write(&self, bytes: &mut [u8]) {
                use $crate::format::bytes::Field;
                let mut at = 0;
                $(
                    self.$field.write(bytes.get_mut(at..).unwrap_or(&mut []));
                    at += <$type as Field>::BYTES;
                )*
            }
        }
    };
}

pub(crate) use record;

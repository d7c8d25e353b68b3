//! Memory of its own pages, with forbidden ones before and after it: on Linux.

use core::ffi::{c_int, c_void};
use core::{ptr, slice};

/// A multiple of every page size.
const PAGE: usize = 64 * 1024;

const NONE: c_int = 0;
const READ_WRITE: c_int = 3;
const PRIVATE_ANONYMOUS: c_int = 0x22;

// Of the C library, which the standard library needs anyway.
unsafe extern "C" {
    fn mmap(at: *mut c_void, len: usize, access: c_int, flags: c_int, file: c_int, offset: i64) -> *mut c_void;
    fn mprotect(at: *mut c_void, len: usize, access: c_int) -> c_int;
    fn munmap(at: *mut c_void, len: usize) -> c_int;
}

/// Pages that can be read and written, between two that cannot.
pub(super) struct Pages {
    all: *mut c_void,
    len: usize,
}

impl Pages {
    /// For so many bytes or some more; none if the system refuses.
    pub(super) fn map(bytes: usize) -> Option<Pages> {
        let len = bytes.next_multiple_of(PAGE);
        // SAFETY: new memory, wherever the system likes it.
        let all = unsafe { mmap(ptr::null_mut(), len + 2 * PAGE, NONE, PRIVATE_ANONYMOUS, -1, 0) };
        if all.addr() == usize::MAX {
            return None;
        }
        let pages = Pages { all, len };
        // SAFETY: inside of what was mapped, which nobody else knows.
        (unsafe { mprotect(all.byte_add(PAGE), len, READ_WRITE) } == 0).then_some(pages)
    }

    /// All of them.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: `len` bytes of this mapping are there, zeros at first, and belong to this value alone.
        unsafe { slice::from_raw_parts_mut(self.all.byte_add(PAGE).cast(), self.len) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the mapping of `map`; no slice of it outlives this value.
        unsafe { munmap(self.all, self.len + 2 * PAGE) };
    }
}

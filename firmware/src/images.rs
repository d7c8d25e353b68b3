//! Reads images from a file on the host: a header of 16 bytes, then the images, each as the bytes of its pixels in
//! the order height, width, channel.
//!
//! ```text
//! 0  "LIMBIMG1"     8  count u32    12  bytes of one image u32    16  pixels ...        (little-endian)
//! ```

use core::ffi::CStr;
use core::fmt;

use semihosting::fs::File;
use semihosting::io::{self, Read};

/// The first bytes of a file of images.
pub const MAGIC: [u8; 8] = *b"LIMBIMG1";

/// A file of images, read one by one.
#[derive(Debug)]
pub struct Images {
    file: File,
    left: u32,
    image_bytes: usize,
}

/// Why a file of images cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImagesError {
    /// The host cannot open or read the file.
    Unreadable,
    /// The file does not begin as a file of images does.
    NotImages,
    /// The file ends inside an image.
    Truncated,
    /// The images have another size than the model's input.
    Size {
        /// Bytes of an image in the file.
        found: usize,
        /// Bytes of the model's input.
        expected: usize,
    },
}

impl Images {
    /// Opens a file on the host.
    ///
    /// # Errors
    /// When there is no such file, or it is none of images.
    pub fn open(path: &CStr) -> Result<Self, ImagesError> {
        let mut file = File::open(path).map_err(|_| ImagesError::Unreadable)?;
        let mut header = [0; 16];
        read(&mut file, &mut header)?;
        let [magic @ .., c0, c1, c2, c3, b0, b1, b2, b3] = header;
        if magic != MAGIC {
            return Err(ImagesError::NotImages);
        }
        let left = u32::from_le_bytes([c0, c1, c2, c3]);
        let image_bytes = u32::from_le_bytes([b0, b1, b2, b3]) as usize;
        Ok(Self { file, left, image_bytes })
    }

    /// Calls `each` with place and value of every byte of the next image, which must have `image_bytes`; false after the last.
    ///
    /// # Errors
    /// When the images have another size, or the file ends too early.
    pub fn next(&mut self, image_bytes: usize, mut each: impl FnMut(usize, u8)) -> Result<bool, ImagesError> {
        if self.image_bytes != image_bytes {
            return Err(ImagesError::Size { found: self.image_bytes, expected: image_bytes });
        }
        let Some(left) = self.left.checked_sub(1) else { return Ok(false) };
        self.left = left;
        let mut part = [0; 256];
        let mut done = 0;
        while done < image_bytes {
            let part = &mut part[..(image_bytes - done).min(256)];
            read(&mut self.file, part)?;
            part.iter().enumerate().for_each(|(i, &value)| each(done + i, value));
            done += part.len();
        }
        Ok(true)
    }
}

impl fmt::Display for ImagesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ImagesError::Unreadable => f.write_str("the file of images cannot be read"),
            ImagesError::NotImages => f.write_str("the file does not begin with LIMBIMG1"),
            ImagesError::Truncated => f.write_str("the file ends inside an image"),
            ImagesError::Size { found, expected } => {
                write!(f, "the images have {found} bytes, the model's input has {expected}")
            }
        }
    }
}

fn read(file: &mut File, bytes: &mut [u8]) -> Result<(), ImagesError> {
    file.read_exact(bytes).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => ImagesError::Truncated,
        _ => ImagesError::Unreadable,
    })
}

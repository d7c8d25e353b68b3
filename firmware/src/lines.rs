//! Reads lines of text from a file on the host, through a buffer of fixed size.

use core::ffi::CStr;
use core::fmt;

use heapless::VecView;
use semihosting::fs::File;
use semihosting::io::Read;

/// Bytes that are read at once.
const PART: usize = 256;

/// A file of lines, read one by one.
#[derive(Debug)]
pub struct Lines {
    file: File,
    part: [u8; PART],
    /// What of `part` is still to come.
    next: usize,
    end: usize,
    number: u32,
}

/// A line of a file.
#[derive(Debug)]
pub struct Line<'b> {
    /// Its number, from 1.
    pub number: u32,
    /// What it says, without the end of the line.
    pub text: Result<&'b str, LineError>,
}

/// The host cannot open or read the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// Why a line is not a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineError {
    /// It has nothing but blanks.
    Empty,
    /// It does not fit into the buffer.
    TooLong {
        /// Bytes of the line.
        bytes: usize,
        /// Bytes of the buffer.
        room: usize,
    },
    /// It is not UTF-8.
    NotUtf8 {
        /// Its first byte that is not, from 0.
        at: usize,
    },
}

impl Lines {
    /// Opens a file on the host.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn open(path: &CStr) -> Result<Self, Unreadable> {
        let file = File::open(path).map_err(|_| Unreadable)?;
        Ok(Self { file, part: [0; PART], next: 0, end: 0, number: 0 })
    }

    /// The next line; `None` after the last. A line that is no text does not keep those behind it from being read.
    ///
    /// # Errors
    /// When the host cannot read on.
    pub fn next<'b>(&mut self, buffer: &'b mut VecView<u8>) -> Result<Option<Line<'b>>, Unreadable> {
        buffer.clear();
        let (mut bytes, mut ended) = (0, false);
        while !ended {
            if self.next == self.end {
                (self.next, self.end) = (0, self.file.read(&mut self.part).map_err(|_| Unreadable)?);
            }
            let rest = self.part.get(self.next..self.end).unwrap_or(&[]);
            if rest.is_empty() {
                if bytes == 0 {
                    return Ok(None);
                }
                break;
            }
            let text = rest.split(|&byte| byte == b'\n').next().unwrap_or(rest);
            ended = text.len() < rest.len();
            bytes += text.len();
            self.next += text.len() + usize::from(ended);
            // What does not fit is counted all the same: the message says how long the line is.
            if bytes <= buffer.capacity() {
                buffer.extend_from_slice(text).unwrap_or_default();
            }
        }
        self.number += 1;
        Ok(Some(Line { number: self.number, text: text_of(buffer, bytes) }))
    }
}

/// The text in a buffer, of a line of so many bytes.
fn text_of(buffer: &VecView<u8>, bytes: usize) -> Result<&str, LineError> {
    if bytes > buffer.len() {
        return Err(LineError::TooLong { bytes, room: buffer.capacity() });
    }
    let text = core::str::from_utf8(buffer).map_err(|error| LineError::NotUtf8 { at: error.valid_up_to() })?;
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.trim().is_empty() { Err(LineError::Empty) } else { Ok(text) }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the file of texts cannot be read")
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineError::Empty => f.write_str("empty"),
            LineError::TooLong { bytes, room } => write!(f, "{bytes} bytes long, there is room for {room}"),
            LineError::NotUtf8 { at } => write!(f, "not UTF-8 from byte {at} on"),
        }
    }
}

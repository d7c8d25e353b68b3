//! The model file (`.lmb`): little-endian, read in place from flash or a mapped file, checked once.
//!
//! ```text
//! byte 0                          HEADER (128 bytes)
//!   0 magic "LIMBECK\0"     8 format version u16     10 contract version u16    12 layout: n, k, order, input offset (u8 each)
//!  16 length of the file u32                         20 CRC-32 of the file with these four bytes left out
//!  24 arena bytes u32      28 inputs u16             30 outputs u16
//!  32 ten sections, each: offset u32, bytes u32 (see `Section` for their order)
//! 112 certificate: digest u64, items u32            124 self-tests u16          126 zero u16
//! byte 128                        SECTIONS, in order, each at the next multiple of 16, zeros between
//!
//! Ops         records in order of execution, each a multiple of 4 bytes:
//!               0 op u8   1 inputs u8   2 length of the record u16
//!               4 scratch: offset u32, bytes u32    12 output u16    14 inputs, u16 each, then zeros to a multiple of 4
//!               then the op's own fields, drawn in its file in `ops/`
//! Tensors     12 bytes each: offset in the arena u32; rows, columns, channels u16; type u8 (0 int8, 1 int16, 2 token);
//!               sequence u8: 1 if rows are the most that it may have, and a run has as many as there are tokens
//! Ports       12 bytes each, inputs before outputs: tensor u16; zero point i8; pixel table u8 (0 or 1);
//!               scale f32; offset of the pixel table in Tables u32 (256 bytes for each channel: pixel to int8)
//! Weights     int8, each op's at a multiple of 16
//! Tables      biases, multipliers, shifts; tables of functions and of pixels
//! SelfTests   16 bytes each: digest of the outputs u64; seed u32; offset of the input in the section u32, 0 for none:
//!               then the input is what the generator gives for the seed. After them the inputs themselves.
//! Labels      UTF-8, one a line
//! Metadata    UTF-8, JSON
//! Vocabulary  words of a tokenizer, drawn in `text/vocabulary.rs`; empty if the model does not read text
//! Signature   reserved, empty
//! ```
//!
//! Offsets of weights, tables and self-test inputs count from the start of their section. Tensors begin at multiples of 16.

pub(crate) mod bytes;
mod check;
#[cfg(any(test, feature = "encode"))]
pub mod emit;
#[cfg(test)]
mod tests;
mod view;

pub use view::{Labels, Model, OpView, Port, SelfTest, Tensor};

use bytes::{Field, record};

use crate::kernels::Layout;

/// The first eight bytes of a file.
pub const MAGIC: [u8; 8] = *b"LIMBECK\0";
/// Version of the file format that this build reads and writes.
pub const FORMAT_VERSION: u16 = 1;
/// Sections, tensors, weights and the file itself begin at multiples of this.
pub const ALIGN: usize = 16;
/// Length of the header.
pub const HEADER_BYTES: usize = 128;
/// Arenas are shorter than this, so that offsets are positive numbers on every target.
pub const MAX_ARENA: u32 = 1 << 31;
/// Self-tests that a file has at most.
pub const MAX_SELF_TESTS: u16 = 3;
/// Where the CRC stands.
const CRC_AT: usize = 20;
/// Where the size of the arena stands.
const ARENA_AT: usize = 24;

const _: () = assert!(Header::BYTES == HEADER_BYTES && Section::ALL.len() == 10);
const _: () = assert!(
    TensorRecord::BYTES == 12 && PortRecord::BYTES == 12 && SelfTestRecord::BYTES == 16 && OpHeader::BYTES == 14
);

/// A part of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Section {
    /// What to compute.
    Ops,
    /// Where in the arena.
    Tensors,
    /// Inputs and outputs.
    Ports,
    /// Weights.
    Weights,
    /// Constants that are not weights.
    Tables,
    /// Inputs with known outputs.
    SelfTests,
    /// Names of classes.
    Labels,
    /// Where the model comes from.
    Metadata,
    /// Words of a tokenizer.
    Vocabulary,
    /// Signature of the maker; reserved.
    Signature,
}

impl Section {
    /// All of them, in the order in which they lie in a file.
    pub const ALL: [Section; 10] = [
        Section::Ops,
        Section::Tensors,
        Section::Ports,
        Section::Weights,
        Section::Tables,
        Section::SelfTests,
        Section::Labels,
        Section::Metadata,
        Section::Vocabulary,
        Section::Signature,
    ];

    /// The section in a word or two.
    pub const fn name(self) -> &'static str {
        match self {
            Section::Ops => "ops",
            Section::Tensors => "tensors",
            Section::Ports => "ports",
            Section::Weights => "weights",
            Section::Tables => "tables",
            Section::SelfTests => "self-tests",
            Section::Labels => "labels",
            Section::Metadata => "metadata",
            Section::Vocabulary => "vocabulary",
            Section::Signature => "signature",
        }
    }
}

record! {
    /// A range of bytes.
    pub(crate) struct Extent {
        offset: u32,
        bytes: u32,
    }
}

record! {
    /// The first 128 bytes.
    pub(crate) struct Header {
        magic: [u8; 8],
        format_version: u16,
        contract_version: u16,
        layout: [u8; 4],
        file_bytes: u32,
        crc: u32,
        arena_bytes: u32,
        inputs: u16,
        outputs: u16,
        sections: [Extent; 10],
        certificate: CertificateRecord,
        self_tests: u16,
        reserved: u16,
    }
}

record! {
    /// What the model gave on the host.
    pub(crate) struct CertificateRecord {
        digest: u64,
        items: u32,
    }
}

record! {
    /// A place in the arena.
    pub(crate) struct TensorRecord {
        offset: u32,
        shape: [u16; 3],
        kind: u8,
        sequence: u8,
    }
}

record! {
    /// An input or output.
    pub(crate) struct PortRecord {
        tensor: u16,
        zero: i8,
        pixels: u8,
        scale: u32,
        table: u32,
    }
}

record! {
    /// An input with a known output.
    pub(crate) struct SelfTestRecord {
        digest: u64,
        seed: u32,
        offset: u32,
    }
}

record! {
    /// What all ops begin with; the numbers of the inputs follow.
    pub(crate) struct OpHeader {
        kind: u8,
        inputs: u8,
        bytes: u16,
        scratch: Extent,
        output: u16,
    }
}

/// What the model gave on the host: the digest of its outputs over the verification set, one after another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// FNV-1a, 64 bits.
    pub digest: u64,
    /// Number of items in the set; 0 if the model was not verified.
    pub items: u32,
}

/// The size of the arena that a model file asks for, also in constants: `const N: usize = arena_bytes(include_bytes!(..))`.
///
/// 0 for bytes that are no model file; loading them gives the reason.
pub const fn arena_bytes(file: &[u8]) -> usize {
    if file.len() < HEADER_BYTES {
        return 0;
    }
    u32::from_le_bytes([file[ARENA_AT], file[ARENA_AT + 1], file[ARENA_AT + 2], file[ARENA_AT + 3]]) as usize
}

/// The ops that a model file uses, as the mask of an [`OpSet`](crate::ops::OpSet), also in constants.
///
/// 0 for bytes that are no model file; loading them gives the reason.
pub const fn ops_used(file: &[u8]) -> u32 {
    const SECTIONS_AT: usize = 32;
    const fn word(file: &[u8], at: usize) -> usize {
        if file.len().saturating_sub(at) < 4 {
            0
        } else {
            u32::from_le_bytes([file[at], file[at + 1], file[at + 2], file[at + 3]]) as usize
        }
    }
    let mut at = word(file, SECTIONS_AT);
    let end = at.saturating_add(word(file, SECTIONS_AT + 4));
    let mut mask = 0;
    while at < end && file.len().saturating_sub(at) >= 4 {
        mask |= 1u32.wrapping_shl(file[at] as u32);
        let bytes = word(file, at) >> 16;
        if bytes == 0 {
            return mask;
        }
        at = at.saturating_add(bytes);
    }
    mask
}

impl Header {
    fn layout(&self) -> Option<Layout> {
        let [n, k, order, input_offset] = self.layout;
        Layout::new(n, k, order, input_offset)
    }
}

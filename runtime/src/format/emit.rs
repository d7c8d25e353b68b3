//! Writes a model file: the inverse of the check and the views, from the same records. No allocation but for `to_bytes`.

use core::fmt;

use super::bytes::Field;
use super::view::fields_at;
use super::*;
use crate::digest::crc32;
use crate::error::{LoadError, OpRule};
use crate::kernels::cast;
use crate::ops::Op;
use crate::quant::{CONTRACT_VERSION, Channels};

/// All that is in a model file.
#[derive(Clone, Copy, Debug)]
pub struct File<'a> {
    /// Order of the weights of all convolutions and linear layers.
    pub layout: Layout,
    /// Bytes of arena, scratch included.
    pub arena_bytes: usize,
    /// The tensors; the other fields refer to them by number.
    pub tensors: &'a [Tensor],
    /// What to compute, in order.
    pub ops: &'a [Step<'a>],
    /// Inputs.
    pub inputs: &'a [PortSpec<'a>],
    /// Outputs.
    pub outputs: &'a [PortSpec<'a>],
    /// Names of classes, one a line.
    pub labels: &'a str,
    /// JSON.
    pub metadata: &'a str,
    /// What makes tokens of text, from [`text::emit::section`](crate::text::emit::section); empty if the model reads none.
    pub vocabulary: &'a [u8],
    /// Digest over the verification set.
    pub certificate: Certificate,
    /// Up to three inputs with known outputs.
    pub self_tests: &'a [SelfTestSpec<'a>],
}

/// An op with its operands.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// The op; its shapes are those of the operands.
    pub op: Op<'a>,
    /// Numbers of the input tensors.
    pub inputs: &'a [u16],
    /// Number of the output tensor.
    pub output: u16,
    /// Offset of its scratch in the arena; 0 if it has none.
    pub scratch_offset: usize,
    /// Bytes of its scratch.
    pub scratch_bytes: usize,
}

/// An input or output.
#[derive(Clone, Copy, Debug)]
pub struct PortSpec<'a> {
    /// Number of the tensor.
    pub tensor: u16,
    /// Size of a step.
    pub scale: f32,
    /// The byte that means zero.
    pub zero: i8,
    /// 256 bytes for each channel, from pixel to int8; `None` for `pixel - 128`.
    pub pixels: Option<&'a [i8]>,
}

/// An input with a known output.
#[derive(Clone, Copy, Debug)]
pub struct SelfTestSpec<'a> {
    /// Digest of the outputs.
    pub digest: u64,
    /// The input.
    pub input: TestInput<'a>,
}

/// The input of a self-test.
#[derive(Clone, Copy, Debug)]
pub enum TestInput<'a> {
    /// What the generator gives for a seed: takes no room.
    Seed(u32),
    /// The bytes of all inputs, one after another.
    Stored(&'a [i8]),
}

/// Why a file cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmitError {
    /// A number or a section is too large for the format.
    TooLarge,
    /// The buffer is shorter than the file.
    NoRoom,
    /// The file would not be accepted.
    Rejected(LoadError),
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EmitError::TooLarge => f.write_str("the model is too large for the file format"),
            EmitError::NoRoom => f.write_str("the buffer is shorter than the model file"),
            EmitError::Rejected(error) => write!(f, "the model would not load: {error}"),
        }
    }
}

impl core::error::Error for EmitError {}

impl From<LoadError> for EmitError {
    fn from(error: LoadError) -> Self {
        EmitError::Rejected(error)
    }
}

/// Length of the file.
pub fn file_bytes(file: &File<'_>) -> Result<usize, EmitError> {
    let mut sink = Sink::new(file.layout);
    sink.contents(file)?;
    sink.place()
}

/// Writes the file into a buffer that begins at a multiple of 16, checks it as a device would, and gives its length.
///
/// The same `file` gives the same bytes.
pub fn write(file: &File<'_>, out: &mut [u8]) -> Result<usize, EmitError> {
    let mut sink = Sink::new(file.layout);
    sink.contents(file)?;
    let bytes = sink.place()?;
    let out = out.get_mut(..bytes).ok_or(EmitError::NoRoom)?;
    out.fill(0);
    let mut sink = Sink { out, filled: [0; 10], ..sink };
    sink.contents(file)?;
    sink.header(file, bytes)?.write(out);
    seal(out);
    Model::parse(out)?;
    Ok(bytes)
}

/// Makes the checksum right again after a file was changed; nothing if it is too short to have one.
pub fn seal(file: &mut [u8]) {
    const AFTER: usize = CRC_AT + u32::BYTES;
    if let (Some(before), Some(after)) = (file.get(..CRC_AT), file.get(AFTER..)) {
        let crc = crc32(&[before, after]);
        crc.write(&mut file[CRC_AT..AFTER]);
    }
}

/// The file in a buffer of its own.
#[cfg(any(test, feature = "std"))]
pub fn to_bytes(file: &File<'_>) -> Result<crate::AlignedBytes, EmitError> {
    let mut out = crate::AlignedBytes::zeroed(file_bytes(file)?);
    write(file, &mut out)?;
    Ok(out)
}

/// Where sections fill up: first only counted, then written.
pub(crate) struct Sink<'b> {
    layout: Layout,
    out: &'b mut [u8],
    start: [usize; 10],
    filled: [usize; 10],
}

impl Sink<'_> {
    fn new(layout: Layout) -> Self {
        Sink { layout, out: &mut [], start: [0; 10], filled: [0; 10] }
    }

    /// Gives every section its place; the file's length.
    fn place(&mut self) -> Result<usize, EmitError> {
        let mut end = HEADER_BYTES;
        for (start, len) in self.start.iter_mut().zip(self.filled) {
            *start = end.next_multiple_of(ALIGN);
            end = *start + len;
        }
        if u32::try_from(end).is_ok() { Ok(end) } else { Err(EmitError::TooLarge) }
    }

    fn header(&self, file: &File<'_>, bytes: usize) -> Result<Header, EmitError> {
        let count = |n: usize| u16::try_from(n).map_err(|_| EmitError::TooLarge);
        let Layout { n, k, order, input_offset } = file.layout;
        Ok(Header {
            magic: MAGIC,
            format_version: FORMAT_VERSION,
            contract_version: CONTRACT_VERSION,
            layout: [n, k, order as u8, input_offset],
            file_bytes: bytes as u32,
            crc: 0,
            arena_bytes: number(file.arena_bytes)?,
            inputs: count(file.inputs.len())?,
            outputs: count(file.outputs.len())?,
            sections: core::array::from_fn(|i| Extent { offset: self.start[i] as u32, bytes: self.filled[i] as u32 }),
            certificate: CertificateRecord { digest: file.certificate.digest, items: file.certificate.items },
            self_tests: count(file.self_tests.len())?,
            reserved: 0,
        })
    }

    fn contents(&mut self, file: &File<'_>) -> Result<(), EmitError> {
        for (index, step) in file.ops.iter().enumerate() {
            self.op(step).map_err(|rule| LoadError::Op { index: index as u16, rule })?;
        }
        for tensor in file.tensors {
            let size = |n: usize| u16::try_from(n).map_err(|_| EmitError::TooLarge);
            let [height, width, channels] = tensor.shape.sizes();
            let shape = [size(height)?, size(width)?, size(channels)?];
            self.put(
                Section::Tensors,
                &TensorRecord {
                    offset: number(tensor.offset)?,
                    shape,
                    kind: tensor.element as u8,
                    sequence: tensor.sequence.into(),
                },
            );
        }
        for port in file.inputs.iter().chain(file.outputs) {
            let table = port.pixels.map_or(0, |table| self.append(Section::Tables, ALIGN, cast::u8s(table)));
            let PortSpec { tensor, scale, zero, pixels } = *port;
            let pixels = pixels.is_some().into();
            self.put(Section::Ports, &PortRecord { tensor, zero, pixels, scale: scale.to_bits(), table });
        }
        self.self_tests(file);
        self.append(Section::Labels, 1, file.labels.as_bytes());
        self.append(Section::Metadata, 1, file.metadata.as_bytes());
        self.append(Section::Vocabulary, 1, file.vocabulary);
        Ok(())
    }

    fn op(&mut self, step: &Step<'_>) -> Result<(), OpRule> {
        let kind = step.op.kind();
        let bytes = fields_at(step.inputs.len()) + kind.field_bytes().next_multiple_of(4);
        let header = OpHeader {
            kind: kind as u8,
            inputs: step.inputs.len().try_into().map_err(|_| OpRule::Operands)?,
            bytes: bytes.try_into().map_err(|_| OpRule::Length)?,
            scratch: Extent {
                offset: step.scratch_offset.try_into().map_err(|_| OpRule::Scratch)?,
                bytes: step.scratch_bytes.try_into().map_err(|_| OpRule::Scratch)?,
            },
            output: step.output,
        };
        self.put(Section::Ops, &header);
        for input in step.inputs {
            self.put(Section::Ops, input);
        }
        self.append(Section::Ops, 4, &[]);
        step.op.emit(self)
    }

    fn self_tests(&mut self, file: &File<'_>) {
        let mut offset = file.self_tests.len() * SelfTestRecord::BYTES;
        for test in file.self_tests {
            let (seed, at) = match test.input {
                TestInput::Seed(seed) => (seed, 0),
                TestInput::Stored(bytes) => {
                    let at = offset;
                    offset = (offset + bytes.len()).next_multiple_of(ALIGN);
                    (0, at as u32)
                }
            };
            self.put(Section::SelfTests, &SelfTestRecord { digest: test.digest, seed, offset: at });
        }
        for test in file.self_tests {
            if let TestInput::Stored(bytes) = test.input {
                self.append(Section::SelfTests, ALIGN, cast::u8s(bytes));
            }
        }
    }

    /// Appends bytes to a section at the next multiple of `align`; where they begin in it.
    fn append(&mut self, section: Section, align: usize, bytes: &[u8]) -> u32 {
        let filled = &mut self.filled[section as usize];
        let at = filled.next_multiple_of(align);
        *filled = at + bytes.len();
        // While counting there is no buffer to write to.
        if let Some(out) =
            self.out.get_mut(self.start[section as usize] + at..).and_then(|out| out.get_mut(..bytes.len()))
        {
            out.copy_from_slice(bytes);
        }
        // A section that is too long is refused when it gets its place.
        at as u32
    }

    fn put<T: Field>(&mut self, section: Section, value: &T) {
        let mut bytes = [0; 64];
        value.write(&mut bytes);
        self.append(section, 1, &bytes[..T::BYTES]);
    }

    /// The order of weights that the file has.
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// An op's own fields, padded to a multiple of four.
    pub(crate) fn fields<T: Field>(&mut self, fields: &T) {
        self.put(Section::Ops, fields);
        self.append(Section::Ops, 4, &[]);
    }

    /// Weights of an op.
    pub(crate) fn weights(&mut self, weights: &[i8]) -> u32 {
        self.append(Section::Weights, ALIGN, cast::u8s(weights))
    }

    /// The table of a function.
    pub(crate) fn table(&mut self, table: &[i8; 256]) -> u32 {
        self.append(Section::Tables, 4, cast::u8s(table))
    }

    /// Biases, multipliers and shifts of exactly `n` channels, padding included.
    pub(crate) fn channels(&mut self, channels: &Channels<'_>, n: usize) -> Result<u32, OpRule> {
        OpRule::Table.unless(channels.bias.len() == n)?;
        let at = self.numbers(channels.bias);
        OpRule::Table.unless(channels.multiplier.len() == n)?;
        self.factors(channels.multiplier, channels.shift)?;
        Ok(at)
    }

    /// Multipliers and shifts.
    pub(crate) fn factors(&mut self, multipliers: &[i32], shifts: &[u8]) -> Result<u32, OpRule> {
        OpRule::Table.unless(multipliers.len() == shifts.len())?;
        let at = self.numbers(multipliers);
        self.append(Section::Tables, 1, shifts);
        Ok(at)
    }

    /// Numbers of one size.
    pub(crate) fn numbers<'n, T: Field + 'n>(&mut self, numbers: impl IntoIterator<Item = &'n T>) -> u32 {
        let at = self.append(Section::Tables, 4, &[]);
        for number in numbers {
            self.put(Section::Tables, number);
        }
        at
    }
}

fn number(n: usize) -> Result<u32, EmitError> {
    n.try_into().map_err(|_| EmitError::TooLarge)
}

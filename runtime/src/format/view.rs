//! A checked model file: accessors that cannot fail.

use core::ops::Range;
use core::str::Lines;

use super::bytes::{Field, tail};
use super::{ALIGN, Certificate, Extent, Header, OpHeader, PortRecord, Section, SelfTestRecord, TensorRecord};
use crate::digest::Rng;
use crate::error::LoadError;
use crate::kernels::{Layout, cast};
use crate::ops::{AllOps, Embed, Op, OpKind, OpSet, Operator};
use crate::quant::Channels;
use crate::tensor::{Element, Shape};
use crate::text::Tokenizer;

/// A model file, borrowed; made by [`Model::parse`].
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    pub(super) header: Header,
    pub(super) layout: Layout,
    pub(super) ops: &'a [u8],
    pub(super) tensors: &'a [u8],
    pub(super) ports: &'a [u8],
    pub(super) weights: &'a [i8],
    pub(super) tables: &'a [u8],
    pub(super) self_tests: &'a [u8],
    pub(super) labels: &'a str,
    pub(super) metadata: &'a str,
    /// Rows of every sequence at most; 0 where there is none.
    pub(super) max_length: usize,
    pub(super) tokenizer: Option<Tokenizer<'a>>,
}

/// A tensor in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// First byte.
    pub offset: usize,
    /// Rows, columns, channels; of a sequence, the rows that it has in this run, or at most.
    pub shape: Shape,
    /// What it holds.
    pub element: Element,
    /// Whether it has as many rows as the run has tokens.
    pub sequence: bool,
}

/// An input or output: its tensor, and how bytes stand for real numbers: `real = scale * (byte - zero)`.
#[derive(Clone, Copy, Debug)]
pub struct Port<'a> {
    /// Where its bytes are.
    pub tensor: Tensor,
    /// Size of a step.
    pub scale: f32,
    /// The byte that means zero.
    pub zero: i8,
    pixels: Option<&'a [i8]>,
}

/// The names of the classes.
pub type Labels<'a> = Lines<'a>;

/// An input with the digest of the outputs that it must give.
#[derive(Clone, Copy, Debug)]
pub struct SelfTest<'a> {
    /// Digest of all outputs, one after another.
    pub digest: u64,
    seed: u32,
    stored: Option<&'a [i8]>,
}

/// One op of a model: its record and what the record names.
#[derive(Clone, Copy)]
pub struct OpView<'m, 'a> {
    model: &'m Model<'a>,
    /// Rows of sequences.
    length: usize,
    header: OpHeader,
    record: &'a [u8],
}

impl<'a> Model<'a> {
    /// Checks a file, once and for all: whatever it holds, nothing that is done with the result can fail or leave its buffers.
    pub fn parse(file: &'a [u8]) -> Result<Self, LoadError> {
        Model::parse_with::<AllOps>(file)
    }

    /// The same in a program that links the ops of `O` only, as [`Session::with_ops`](crate::Session::with_ops) does: others are unknown to it.
    pub fn parse_with<O: OpSet>(file: &'a [u8]) -> Result<Self, LoadError> {
        super::check::file::<O>(file)
    }

    /// Length of the file.
    pub const fn file_bytes(&self) -> usize {
        self.header.file_bytes as usize
    }

    /// Bytes of arena that a run needs, with the scratch that was planned for the file's target.
    pub const fn arena_bytes(&self) -> usize {
        self.header.arena_bytes as usize
    }

    /// Version of the integer contract.
    pub const fn contract_version(&self) -> u16 {
        self.header.contract_version
    }

    /// The checksum of the file: it tells two models apart.
    pub const fn crc(&self) -> u32 {
        self.header.crc
    }

    /// Order of the weights.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// Number of inputs.
    pub const fn inputs(&self) -> usize {
        self.header.inputs as usize
    }

    /// Number of outputs.
    pub const fn outputs(&self) -> usize {
        self.header.outputs as usize
    }

    /// Input number `i`, or nothing.
    pub fn input(&self, i: usize) -> Option<Port<'a>> {
        if i < self.inputs() { self.port(i) } else { None }
    }

    /// Output number `i`, or nothing.
    pub fn output(&self, i: usize) -> Option<Port<'a>> {
        if i < self.outputs() { self.port(self.inputs() + i) } else { None }
    }

    /// The names of the classes; none if the file has none.
    pub fn labels(&self) -> Labels<'a> {
        self.labels.lines()
    }

    /// Where the model comes from, as JSON; empty if the file has none.
    pub const fn metadata(&self) -> &'a str {
        self.metadata
    }

    /// What makes tokens of text, if the model reads text.
    pub const fn tokenizer(&self) -> Option<&Tokenizer<'a>> {
        self.tokenizer.as_ref()
    }

    /// What the model gave on the host that made it.
    pub const fn certificate(&self) -> Certificate {
        let certificate = self.header.certificate;
        Certificate { digest: certificate.digest, items: certificate.items }
    }

    /// Inputs with known outputs.
    pub fn self_tests(&self) -> impl Iterator<Item = SelfTest<'a>> + use<'a> {
        let model = *self;
        (0..self.header.self_tests as usize).map_while(move |i| model.self_test(i))
    }

    /// The ops in order of execution, with sequences at their greatest length.
    pub fn ops(&self) -> Ops<'_, 'a> {
        self.ops_at(self.max_length)
    }

    /// The ops in order of execution, with sequences of `length` rows.
    pub(crate) const fn ops_at(&self, length: usize) -> Ops<'_, 'a> {
        Ops { model: self, rest: self.ops, length }
    }

    /// Tokens, or other rows of a sequence, that a run can take at most; 0 if the model has no sequences.
    pub const fn max_length(&self) -> usize {
        self.max_length
    }

    /// Tokens that every table has a row for that is looked up with this input; 0 if there is none.
    pub(crate) fn vocabulary(&self, tokens: Tensor) -> usize {
        let tables = self.ops().filter(|view| view.kind() == Some(OpKind::Embed) && view.input(0) == tokens);
        tables.filter_map(|view| Embed::parse(&view).ok()).map(|op| op.vocabulary()).min().unwrap_or(0)
    }

    /// Number of tensors.
    pub const fn tensors(&self) -> usize {
        self.tensors.len() / TensorRecord::BYTES
    }

    /// Tensor number `i`, or nothing.
    pub fn tensor(&self, i: usize) -> Option<Tensor> {
        let record = self.tensor_record(i)?;
        let [height, width, channels] = record.shape.map(usize::from);
        let shape = Shape { height, width, channels };
        let (element, sequence) = (Element::from_number(record.kind)?, record.sequence != 0);
        Some(Tensor { offset: record.offset as usize, shape, element, sequence })
    }

    /// Bytes of each section, in the order in which they lie in the file.
    pub fn sections(&self) -> [(Section, usize); 10] {
        core::array::from_fn(|i| (Section::ALL[i], self.header.sections[i].bytes as usize))
    }

    /// Bytes of weights.
    pub const fn weight_bytes(&self) -> usize {
        self.weights.len()
    }

    /// Bytes of all inputs together.
    pub(crate) fn input_bytes(&self) -> usize {
        (0..self.inputs()).filter_map(|i| self.input(i)).fold(0, |sum, port| sum.saturating_add(port.tensor.bytes()))
    }

    pub(super) fn tensor_record(&self, i: usize) -> Option<TensorRecord> {
        entry(self.tensors, i)
    }

    pub(super) fn port_record(&self, i: usize) -> Option<PortRecord> {
        entry(self.ports, i)
    }

    pub(super) fn self_test(&self, i: usize) -> Option<SelfTest<'a>> {
        let record: SelfTestRecord = entry(self.self_tests, i)?;
        let stored = match record.offset {
            0 => None,
            at => Some(cast::i8s(part(self.self_tests, at, self.input_bytes())?)),
        };
        Some(SelfTest { digest: record.digest, seed: record.seed, stored })
    }

    pub(super) fn port(&self, i: usize) -> Option<Port<'a>> {
        let record = self.port_record(i)?;
        let tensor = self.tensor(record.tensor.into())?;
        let pixels = match record.pixels {
            0 => None,
            _ => Some(cast::i8s(part(self.tables, record.table, tensor.shape.channels.checked_mul(256)?)?)),
        };
        Some(Port { tensor, scale: f32::from_bits(record.scale), zero: record.zero, pixels })
    }

    /// Weights at an offset of their section; none if they are not all there.
    pub(crate) fn weights(&self, offset: u32, len: usize) -> &'a [i8] {
        if !(offset as usize).is_multiple_of(ALIGN) {
            return &[];
        }
        part(cast::u8s(self.weights), offset, len).map_or(&[], cast::i8s)
    }

    /// `n` biases, `n` multipliers, `n` shifts at an offset of the tables; none if they are not all there.
    pub(crate) fn channels(&self, offset: u32, n: usize) -> Channels<'a> {
        let after = n.checked_mul(4).and_then(|bytes| offset.checked_add(bytes.try_into().ok()?));
        let all = || {
            let bias = cast::i32s(part(self.tables, offset, n.checked_mul(4)?)?)?;
            let (multiplier, shift) = self.factors(after?, n);
            (shift.len() == n).then_some(Channels { bias, multiplier, shift })
        };
        all().unwrap_or(Channels::NONE)
    }

    /// `n` multipliers and `n` shifts at an offset of the tables; none if they are not all there.
    pub(crate) fn factors(&self, offset: u32, n: usize) -> (&'a [i32], &'a [u8]) {
        let all = || {
            let bytes = n.checked_mul(4)?;
            let multipliers = cast::i32s(part(self.tables, offset, bytes)?)?;
            Some((multipliers, part(self.tables, offset.checked_add(bytes.try_into().ok()?)?, n)?))
        };
        all().unwrap_or((&[], &[]))
    }

    /// `n` numbers of 32 bits at an offset of the tables; none if they are not all there.
    pub(crate) fn numbers(&self, offset: u32, n: usize) -> &'a [i32] {
        n.checked_mul(4).and_then(|bytes| cast::i32s(part(self.tables, offset, bytes)?)).unwrap_or(&[])
    }

    /// `n` numbers of 16 bits at an offset of the tables; none if they are not all there.
    pub(crate) fn shorts(&self, offset: u32, n: usize) -> &'a [i16] {
        n.checked_mul(2)
            .and_then(|bytes| part(self.tables, offset, bytes))
            .map_or(&[], |bytes| cast::i16s(cast::i8s(bytes)))
    }

    /// The 256 bytes of a function, if they are there.
    pub(crate) fn table(&self, offset: u32) -> Option<&'a [i8; 256]> {
        part(self.tables, offset, 256).map(cast::i8s)?.first_chunk()
    }
}

impl Port<'_> {
    /// The byte for pixel value `p` of a channel: from the model's table, or `p - 128`.
    #[inline]
    pub fn pixel(&self, channel: usize, p: u8) -> i8 {
        match self.pixels {
            Some(table) => tail_i8(table, channel * 256 + p as usize),
            None => p.wrapping_sub(128) as i8,
        }
    }

    /// Whether the model brings tables for pixels.
    pub const fn has_pixel_tables(&self) -> bool {
        self.pixels.is_some()
    }
}

fn tail_i8(table: &[i8], at: usize) -> i8 {
    table.get(at).copied().unwrap_or(0)
}

impl SelfTest<'_> {
    /// Writes the bytes from number `from` on of the test's inputs, taken one after another.
    pub(crate) fn write_input(&self, rng: &mut Option<Rng>, from: usize, input: &mut [i8]) {
        match self.stored {
            Some(bytes) => {
                for (to, &byte) in input.iter_mut().zip(bytes.get(from..).unwrap_or(&[])) {
                    *to = byte;
                }
            }
            None => {
                let rng = rng.get_or_insert(Rng::new(self.seed));
                input.fill_with(|| rng.byte());
            }
        }
    }
}

/// The ops of a model in order of execution.
#[derive(Clone)]
pub struct Ops<'m, 'a> {
    model: &'m Model<'a>,
    rest: &'a [u8],
    length: usize,
}

impl<'m, 'a> Iterator for Ops<'m, 'a> {
    type Item = OpView<'m, 'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let header = OpHeader::read(self.rest);
        // A record of no bytes is no record, and ends the list that the check has found to be whole.
        let (record, rest) =
            self.rest.split_at_checked(header.bytes as usize).filter(|(record, _)| !record.is_empty())?;
        self.rest = rest;
        Some(OpView { model: self.model, length: self.length, header, record })
    }
}

impl Ops<'_, '_> {
    /// Whether bytes are left that are no record.
    pub(super) fn is_broken(&self) -> bool {
        !self.rest.is_empty()
    }
}

impl<'m, 'a> OpView<'m, 'a> {
    /// Its model.
    pub const fn model(&self) -> &'m Model<'a> {
        self.model
    }

    /// Which operator; `None` only before the check.
    pub const fn kind(&self) -> Option<OpKind> {
        OpKind::from_number(self.header.kind)
    }

    /// The operator with its parameters; `None` only before the check.
    pub fn op(&self) -> Option<Op<'a>> {
        self.op_of::<AllOps>()
    }

    /// The same if the op is in `O`.
    pub(crate) fn op_of<O: OpSet>(&self) -> Option<Op<'a>> {
        Op::parse::<O>(self).ok()
    }

    /// Number of inputs.
    pub const fn inputs(&self) -> usize {
        self.header.inputs as usize
    }

    /// Input number `i`; an empty tensor if there is none.
    pub fn input(&self, i: usize) -> Tensor {
        self.longest_input(i).at(self.length)
    }

    /// The same at the greatest length.
    pub(crate) fn longest_input(&self, i: usize) -> Tensor {
        self.checked_input(i).unwrap_or(Tensor::NONE)
    }

    pub(super) fn checked_input(&self, i: usize) -> Option<Tensor> {
        if i >= self.inputs() {
            return None;
        }
        self.model.tensor(u16::read(tail(self.record, OpHeader::BYTES + 2 * i)).into())
    }

    /// The output.
    pub fn output(&self) -> Tensor {
        self.longest_output().at(self.length)
    }

    /// The same at the greatest length.
    pub(crate) fn longest_output(&self) -> Tensor {
        self.checked_output().unwrap_or(Tensor::NONE)
    }

    /// All inputs, then the output, at the greatest length.
    pub(crate) fn operands(&self) -> impl Iterator<Item = Tensor> {
        (0..self.inputs()).map(|i| self.longest_input(i)).chain([self.longest_output()])
    }

    pub(super) fn checked_output(&self) -> Option<Tensor> {
        self.model.tensor(self.header.output.into())
    }

    /// Working memory planned for the op.
    pub fn scratch(&self) -> Range<usize> {
        let Extent { offset, bytes } = self.header.scratch;
        offset as usize..(offset as usize).saturating_add(bytes as usize)
    }

    /// Where an op that needs so much working memory has it: as planned if that suffices, else behind everything.
    pub(crate) fn scratch_for(&self, needed: usize) -> Range<usize> {
        let planned = self.scratch();
        let start = match needed {
            0 => 0,
            _ if needed <= planned.len() => planned.start,
            _ => self.model.arena_bytes().next_multiple_of(ALIGN),
        };
        start..start.saturating_add(needed)
    }

    /// The op's own fields.
    pub(crate) fn fields(&self) -> &'a [u8] {
        tail(self.record, fields_at(self.inputs()))
    }

    /// The op's own fields as one record.
    #[inline]
    pub(crate) fn read<T: Field>(&self) -> T {
        T::read(self.fields())
    }
}

/// Where an op's own fields begin in its record.
pub(super) const fn fields_at(inputs: usize) -> usize {
    (OpHeader::BYTES + 2 * inputs).next_multiple_of(4)
}

impl Tensor {
    /// No tensor.
    const NONE: Tensor = Tensor::new(0, Shape { height: 0, width: 0, channels: 0 });

    /// A tensor of int8, no sequence.
    pub const fn new(offset: usize, shape: Shape) -> Self {
        Tensor { offset, shape, element: Element::Int8, sequence: false }
    }

    /// The same with `length` rows, fewer than now, if it is a sequence.
    #[inline]
    pub(crate) const fn at(mut self, length: usize) -> Self {
        if self.sequence {
            self.shape.height = length;
        }
        self
    }

    /// How many bytes it has.
    pub const fn bytes(&self) -> usize {
        self.shape.len().saturating_mul(self.element.bytes())
    }

    /// Its bytes in the arena.
    pub const fn range(&self) -> Range<usize> {
        self.offset..self.offset.saturating_add(self.bytes())
    }
}

/// Entry `i` of a section of equal records.
fn entry<T: Field>(section: &[u8], i: usize) -> Option<T> {
    let bytes = section.get(i.checked_mul(T::BYTES)?..)?.get(..T::BYTES)?;
    Some(T::read(bytes))
}

/// `len` bytes of a section from `offset`.
fn part(section: &[u8], offset: u32, len: usize) -> Option<&[u8]> {
    section.get(offset as usize..)?.get(..len)
}

//! The one walk over a file that makes everything after it safe.

use core::ops::Range;

use super::bytes::Field;
use super::*;
use crate::digest::crc32;
use crate::error::{LoadError, OpRule};
use crate::kernels::cast;
use crate::ops::{Op, OpSet, Sharing};
use crate::quant::CONTRACT_VERSION;
use crate::tensor::Element;
use crate::text::Tokenizer;

/// Checks all of a file, whose ops must be in `O`.
pub(super) fn file<O: OpSet>(file: &[u8]) -> Result<Model<'_>, LoadError> {
    let header = header(file)?;
    let mut model = sections(file, header)?;
    let mut sequences = (0..model.tensors()).filter_map(|i| model.tensor(i)).filter(|tensor| tensor.sequence);
    model.max_length = sequences.next().map_or(0, |tensor| tensor.shape.height);
    for i in 0..model.tensors() {
        tensor(&model, i).ok_or(LoadError::Tensor(i as u16))?;
    }
    for i in 0..model.inputs() + model.outputs() {
        port(&model, i).ok_or(LoadError::Port(i as u16))?;
    }
    for i in 0..header.self_tests {
        model.self_test(i.into()).ok_or(LoadError::SelfTest(i))?;
    }
    let mut ops = model.ops();
    let mut index = 0u16;
    for view in ops.by_ref() {
        op::<O>(&model, &view).map_err(|rule| LoadError::Op { index, rule })?;
        index = index.checked_add(1).ok_or(LoadError::Section(Section::Ops))?;
    }
    if ops.is_broken() {
        return Err(LoadError::Op { index, rule: OpRule::Length });
    }
    Ok(model)
}

fn header(file: &[u8]) -> Result<Header, LoadError> {
    if !(file.as_ptr() as usize).is_multiple_of(ALIGN) {
        return Err(LoadError::Misaligned);
    }
    let header = Header::read(file);
    if file.len() >= MAGIC.len() && header.magic != MAGIC {
        return Err(LoadError::Magic);
    }
    if file.len() < HEADER_BYTES {
        return Err(LoadError::Length);
    }
    if header.format_version != FORMAT_VERSION {
        return Err(LoadError::FormatVersion(header.format_version));
    }
    if header.file_bytes as usize != file.len() {
        return Err(LoadError::Length);
    }
    let (before, after) = (&file[..CRC_AT], &file[CRC_AT + u32::BYTES..]);
    if crc32(&[before, after]) != header.crc {
        return Err(LoadError::Crc);
    }
    if header.contract_version != CONTRACT_VERSION {
        return Err(LoadError::ContractVersion(header.contract_version));
    }
    if header.arena_bytes >= MAX_ARENA {
        return Err(LoadError::Arena);
    }
    if header.reserved != 0 {
        return Err(LoadError::Reserved);
    }
    Ok(header)
}

/// Every section begins where the one before ends, so that no offset can be wrong.
fn sections(file: &[u8], header: Header) -> Result<Model<'_>, LoadError> {
    let mut end = HEADER_BYTES;
    let mut parts: [&[u8]; 10] = [&[]; 10];
    for ((section, extent), part) in Section::ALL.into_iter().zip(header.sections).zip(&mut parts) {
        let wrong = LoadError::Section(section);
        let start =
            end.checked_next_multiple_of(ALIGN).filter(|&start| start == extent.offset as usize).ok_or(wrong)?;
        *part = file.get(start..).and_then(|rest| rest.get(..extent.bytes as usize)).ok_or(wrong)?;
        if file[end..start].iter().any(|&gap| gap != 0) {
            return Err(wrong);
        }
        end = start + extent.bytes as usize;
    }
    if end != file.len() {
        return Err(LoadError::Section(Section::Signature));
    }
    let [ops, tensors, ports, weights, tables, self_tests, labels, metadata, vocabulary, signature] = parts;
    if !signature.is_empty() {
        return Err(LoadError::Reserved);
    }
    let tokenizer = (!vocabulary.is_empty()).then(|| Tokenizer::parse(vocabulary)).transpose();
    let entries = |section, part: &[u8], bytes: usize, least: usize, most: usize| {
        let n = part.len() / bytes;
        if !part.len().is_multiple_of(bytes) || n < least || n > most {
            Err(LoadError::Section(section))
        } else {
            Ok(())
        }
    };
    let ports_expected = header.inputs as usize + header.outputs as usize;
    entries(Section::Tensors, tensors, TensorRecord::BYTES, 1, 1 << 16)?;
    entries(Section::Ports, ports, PortRecord::BYTES, ports_expected, ports_expected)?;
    if header.inputs == 0 || header.outputs == 0 || ports_expected > u16::MAX as usize {
        return Err(LoadError::Section(Section::Ports));
    }
    if header.self_tests > MAX_SELF_TESTS {
        return Err(LoadError::Section(Section::SelfTests));
    }
    let text = |section, part| core::str::from_utf8(part).map_err(|_| LoadError::Text(section));
    Ok(Model {
        header,
        layout: header.layout().ok_or(LoadError::Layout)?,
        ops,
        tensors,
        ports,
        weights: cast::i8s(weights),
        tables,
        self_tests,
        labels: text(Section::Labels, labels)?,
        metadata: text(Section::Metadata, metadata)?,
        max_length: 0,
        tokenizer: tokenizer.map_err(LoadError::Vocabulary)?,
    })
}

fn tensor(model: &Model<'_>, i: usize) -> Option<()> {
    let tensor = model.tensor(i)?;
    let record = model.tensor_record(i)?;
    // All sequences of a model grow and shrink together.
    let good = record.sequence <= 1
        && (!tensor.sequence || (tensor.shape.height == model.max_length && tensor.shape.width == 1))
        && (tensor.element != Element::Token || tensor.shape.channels == 1)
        && !tensor.shape.is_empty()
        && tensor.offset.is_multiple_of(ALIGN)
        && tensor.offset.checked_add(tensor.bytes())? <= model.arena_bytes();
    good.then_some(())
}

fn port(model: &Model<'_>, i: usize) -> Option<()> {
    let record = model.port_record(i)?;
    model.port(i)?;
    // A positive, normal number, told by its bits: a target may have no floats.
    let exponent = record.scale >> 23;
    let good = (1..255).contains(&exponent)
        && match record.pixels {
            0 => record.table == 0,
            1 => model.port(i)?.tensor.element == Element::Int8,
            _ => false,
        };
    good.then_some(())
}

fn op<O: OpSet>(model: &Model<'_>, view: &OpView<'_, '_>) -> Result<(), OpRule> {
    let kind = view.kind().ok_or(OpRule::Kind)?;
    OpRule::Operands.unless(kind.takes(view.inputs()))?;
    OpRule::Length.unless(view.fields().len() == kind.field_bytes().next_multiple_of(4))?;
    OpRule::Element.unless(kind.reads(view))?;
    OpRule::Sequence.unless(kind.rows().suit(view))?;
    let op = Op::parse::<O>(view)?;
    let output = view.checked_output().ok_or(OpRule::Operands)?;
    let scratch = view.scratch();
    OpRule::Scratch.unless(
        scratch.start.is_multiple_of(ALIGN)
            && scratch.end <= model.arena_bytes()
            && disjoint(&scratch, &output.range()),
    )?;
    for i in 0..view.inputs() {
        let input = view.checked_input(i).ok_or(OpRule::Operands)?;
        OpRule::Scratch.unless(disjoint(&scratch, &input.range()))?;
        let apart = disjoint(&input.range(), &output.range());
        let same = input.range() == output.range();
        OpRule::Aliasing.unless(match op.sharing() {
            Sharing::May(shared) if shared == i => apart || same,
            Sharing::Must(shared) if shared == i => same,
            _ => apart,
        })?;
    }
    op.check::<O>(view)
}

fn disjoint(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.is_empty() || a.end <= b.start || b.end <= a.start
}

//! What can go wrong: a file that is not accepted, a session that cannot begin. After that nothing can.

use core::fmt;

use crate::format::Section;
use crate::ops::OpKind;
use crate::text::VocabularyRule;

/// Why a file is not accepted as a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LoadError {
    /// The bytes do not begin at a multiple of 16: place them in an aligned static (`include_model!`) or buffer.
    Misaligned,
    /// Shorter than the header, or not as long as the header says.
    Length,
    /// Not a model file.
    Magic,
    /// A version of the file format that this build does not read.
    FormatVersion(u16),
    /// A version of the integer contract that this build does not compute.
    ContractVersion(u16),
    /// The checksum differs: the file was damaged.
    Crc,
    /// No layout has these numbers.
    Layout,
    /// A reserved field is not zero, or a reserved section not empty.
    Reserved,
    /// The arena is larger than a target can have.
    Arena,
    /// A section is not where it belongs, or its length is no whole number of entries.
    Section(Section),
    /// A text is not UTF-8.
    Text(Section),
    /// A vocabulary that breaks a rule.
    Vocabulary(VocabularyRule),
    /// A tensor is empty, of an unknown type, misplaced, or beyond the arena.
    Tensor(u16),
    /// An input or output (inputs first) names no tensor, or has an impossible scale or pixel table.
    Port(u16),
    /// A self-test's input is not in its section.
    SelfTest(u16),
    /// An op that breaks a rule.
    Op {
        /// Which one, in order of execution.
        index: u16,
        /// What it breaks.
        rule: OpRule,
    },
}

/// A rule for ops in a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum OpRule {
    /// Its number is that of an op that this program knows.
    Kind,
    /// Its record has the op's length.
    Length,
    /// It has as many inputs as the op takes, all of them tensors.
    Operands,
    /// Its operands hold what the op reads and writes: int8, int16 or tokens.
    Element,
    /// Its operands are sequences where the op can do with any number of rows, and all of them or none.
    Sequence,
    /// Its output shares no byte with an input, unless the op may work in place on just that input.
    Aliasing,
    /// Its scratch lies in the arena and shares no byte with its operands.
    Scratch,
    /// Shapes of inputs and output belong together.
    Shape,
    /// The window makes the output's shape of the input's.
    Window,
    /// Weights are in their section, at a multiple of 16, in [-127, 127], zero where there is padding.
    Weights,
    /// Bias, multiplier, shift, or a table of values, are in their section.
    Table,
    /// Multipliers and shifts are in the contract's ranges.
    Multiplier,
    /// The smallest value is not above the largest.
    Clamp,
    /// Another parameter is in its range.
    Parameter,
}

impl OpRule {
    /// This rule broken, unless `kept`.
    pub(crate) fn unless(self, kept: bool) -> Result<(), OpRule> {
        if kept { Ok(()) } else { Err(self) }
    }

    const fn text(self) -> &'static str {
        match self {
            OpRule::Kind => "unknown operator",
            OpRule::Length => "record of the wrong length",
            OpRule::Operands => "wrong number of inputs, or one that does not exist",
            OpRule::Element => "operand of a type that the operator does not take",
            OpRule::Sequence => "sequence where the operator takes none, or together with what is none",
            OpRule::Aliasing => "output overlaps an input",
            OpRule::Scratch => "scratch outside the arena or over an operand",
            OpRule::Shape => "shapes do not belong together",
            OpRule::Window => "window does not make this output of this input",
            OpRule::Weights => "weights outside their section, out of range, or padding that is not zero",
            OpRule::Table => "table outside its section",
            OpRule::Multiplier => "multiplier or shift out of range",
            OpRule::Clamp => "lower bound above the upper one",
            OpRule::Parameter => "parameter out of range",
        }
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Misaligned => f.write_str("model bytes do not begin at a multiple of 16"),
            LoadError::Length => f.write_str("model file cut short, or followed by other bytes"),
            LoadError::Magic => f.write_str("not a model file"),
            LoadError::FormatVersion(v) => write!(f, "model file format version {v} is not supported"),
            LoadError::ContractVersion(v) => write!(f, "integer contract version {v} is not supported"),
            LoadError::Crc => f.write_str("model file is damaged: its checksum differs"),
            LoadError::Layout => f.write_str("unknown layout of weights"),
            LoadError::Reserved => f.write_str("a reserved field or section is in use"),
            LoadError::Arena => f.write_str("arena too large"),
            LoadError::Section(section) => write!(f, "section {section:?} is not where it belongs"),
            LoadError::Text(section) => write!(f, "section {section:?} is not UTF-8"),
            LoadError::Vocabulary(rule) => rule.fmt(f),
            LoadError::Tensor(i) => write!(f, "tensor {i} is not valid"),
            LoadError::Port(i) => write!(f, "input or output {i} is not valid"),
            LoadError::SelfTest(i) => write!(f, "self-test {i} is not valid"),
            LoadError::Op { index, rule } => write!(f, "op {index}: {}", rule.text()),
        }
    }
}

impl core::error::Error for LoadError {}

/// Why a session cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SessionError {
    /// The arena does not begin at a multiple of 16: use `StaticArena`, or an aligned buffer.
    ArenaMisaligned,
    /// The arena is too short.
    ArenaTooSmall {
        /// Bytes that this model needs with this table.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// The model has an op that the program's `OpSet` leaves out.
    OpNotLinked(OpKind),
    /// The table does not read the order of weights in this file.
    Layout,
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionError::ArenaMisaligned => f.write_str("arena does not begin at a multiple of 16"),
            SessionError::ArenaTooSmall { needed, given } => {
                write!(f, "arena has {given} bytes, the model needs {needed}")
            }
            SessionError::OpNotLinked(kind) => write!(f, "operator {} is not linked into this program", kind.name()),
            SessionError::Layout => f.write_str("this table does not read the file's order of weights"),
        }
    }
}

impl core::error::Error for SessionError {}

/// Why a session does not take a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum TokenError {
    /// The model's inputs have fixed sizes: fill them with `input_mut`.
    NoTokens,
    /// Empty, or longer than the model takes: shorten the text.
    Length {
        /// Tokens given.
        given: usize,
        /// Tokens that the model takes at most.
        max: usize,
    },
    /// A token that the model's vocabulary does not have: the tokenizer is another model's.
    Unknown {
        /// Its place in the sequence.
        at: usize,
        /// The token.
        id: u16,
        /// Tokens that the model knows: `0..vocabulary`.
        vocabulary: usize,
    },
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenError::NoTokens => f.write_str("the model takes no tokens"),
            TokenError::Length { given, max } => write!(f, "{given} tokens, the model takes 1 to {max}"),
            TokenError::Unknown { at, id, vocabulary } => {
                write!(f, "token {id} at {at} is not one of the model's {vocabulary}")
            }
        }
    }
}

impl core::error::Error for TokenError {}

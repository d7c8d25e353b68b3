//! What each operator is: one file an operator, parameters first; [`for_each_op!`](crate::for_each_op) is the list.

use core::ops::RangeInclusive;

use crate::arena::Operands;
use crate::error::OpRule;
use crate::format::OpView;
use crate::format::bytes::Field;
#[cfg(any(test, feature = "encode"))]
use crate::format::emit::Sink;
use crate::kernels::{Isa, Kernels};
use crate::tensor::Element;

/// What every op file needs.
mod prelude {
    pub(super) use core::ops::RangeInclusive;

    pub(super) use super::{Operator, Rows, Sharing, Window};
    pub(super) use crate::arena::Operands;
    pub(super) use crate::error::OpRule;
    pub(super) use crate::format::OpView;
    pub(super) use crate::format::bytes::{Field, record};
    #[cfg(any(test, feature = "encode"))]
    pub(super) use crate::format::emit::Sink;
    pub(super) use crate::kernels::{Isa, Kernels, Layout, cast};
    pub(super) use crate::quant::{Channels, Output, check_factors};
    pub(super) use crate::tensor::{Element, Number, Shape, Values, ValuesMut};
}

mod add;
mod add16;
mod attention;
mod avg_pool;
mod concat;
mod conv2d;
mod depthwise;
mod embed;
mod layer_norm;
mod linear;
mod lut;
mod max_pool;
mod mul;
mod narrow;
mod pad;
mod pick;
mod slice;
mod softmax;
mod window;

pub use add::Add;
pub use add16::Add16;
pub use attention::{Attention, Qkv};
pub use avg_pool::AvgPool;
pub use concat::Concat;
pub use conv2d::Conv2d;
pub use depthwise::Depthwise;
pub use embed::Embed;
pub use layer_norm::{InverseRoot, LayerNorm};
pub use linear::Linear;
pub use lut::Lut;
pub use max_pool::MaxPool;
pub use mul::Mul;
pub use narrow::Narrow;
pub use pad::Pad;
pub use pick::{Mean, Pick};
pub use slice::Slice;
pub use softmax::Softmax;
pub use window::Window;

/// THE list of operators: type, file (the same name here and in the converter), number in a model file, parameters.
///
/// Numbers are for ever. The runtime makes its decoder and dispatcher from the list, the converter demands its half of each line.
#[macro_export]
macro_rules! for_each_op {
    ($each:ident) => {
        $each! {
            /// Convolution.
            Conv2d conv2d 1 [Conv2d<'a>];
            /// Depthwise convolution.
            Depthwise depthwise 2 [Depthwise<'a>];
            /// Fully connected.
            Linear linear 3 [Linear<'a>];
            /// Sum of two tensors.
            Add add 4 [Add];
            /// Product of two tensors.
            Mul mul 5 [Mul];
            /// Function of each element.
            Lut lut 6 [Lut<'a>];
            /// Largest value under a window.
            MaxPool max_pool 7 [MaxPool];
            /// Mean under a window.
            AvgPool avg_pool 8 [AvgPool<'a>];
            /// Probabilities.
            Softmax softmax 9 [Softmax];
            /// Tensors one after another.
            Concat concat 10 [Concat];
            /// A constant around a tensor.
            Pad pad 11 [Pad];
            /// Every so-manyth element.
            Slice slice 12 [Slice];
            /// Rows of a table for tokens.
            Embed embed 13 [Embed<'a>];
            /// Each row to mean 0 and variance 1, then scaled and shifted.
            LayerNorm layer_norm 14 [LayerNorm<'a>];
            /// Each row a mean of all, weighted by likeness.
            Attention attention 15 [Attention];
            /// One row for all.
            Pick pick 16 [Pick<'a>];
            /// Sum of two tensors, 16 bits.
            Add16 add16 17 [Add16];
            /// From 16 to 8 bits.
            Narrow narrow 18 [Narrow];
        }
    };
}

macro_rules! define_ops {
    ($($(#[$doc:meta])* $name:ident $file:ident $kind:literal [$($params:tt)*];)*) => {
        /// Which operator.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[cfg_attr(feature = "defmt", derive(defmt::Format))]
        #[repr(u8)]
        pub enum OpKind {
            $($(#[$doc])* $name = $kind,)*
        }

        impl OpKind {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [OpKind] = &[$(OpKind::$name),*];

            /// The operator with this number in a model file.
            pub const fn from_number(number: u8) -> Option<OpKind> {
                match number {
                    $($kind => Some(OpKind::$name),)*
                    _ => None,
                }
            }

            /// Its name, as in dumps and messages.
            pub const fn name(self) -> &'static str {
                match self { $(OpKind::$name => stringify!($file),)* }
            }
        }

        /// An operator with its parameters.
        #[derive(Clone, Copy, Debug)]
        pub enum Op<'a> {
            $($(#[$doc])* $name($($params)*),)*
        }

        impl OpKind {
            /// Whether the op can have this many inputs.
            pub(crate) fn takes(self, inputs: usize) -> bool {
                match self { $(OpKind::$name => <$name as Operator>::INPUTS.contains(&inputs),)* }
            }

            /// How the op treats sequences.
            pub(crate) const fn rows(self) -> Rows {
                match self { $(OpKind::$name => <$name as Operator>::ROWS,)* }
            }

            /// Whether the op takes what its operands hold.
            pub(crate) fn reads(self, view: &OpView<'_, '_>) -> bool {
                match self { $(OpKind::$name => <$name as Operator>::reads(view),)* }
            }

            /// Length of the op's own fields in a file.
            pub(crate) const fn field_bytes(self) -> usize {
                match self { $(OpKind::$name => <<$name as Operator>::Fields as Field>::BYTES,)* }
            }
        }

        impl<'a> Op<'a> {
            /// Which operator.
            pub const fn kind(&self) -> OpKind {
                match self { $(Op::$name(_) => OpKind::$name,)* }
            }

            /// Working memory that the kernels of `isa` want.
            pub fn scratch(&self, isa: Isa) -> usize {
                match self { $(Op::$name(op) => op.scratch(isa),)* }
            }

            /// Which input may lie where the output does.
            pub fn sharing(&self) -> Sharing {
                match self { $(Op::$name(op) => op.sharing(),)* }
            }

            /// From a record and what it names, if it is in `O`.
            pub(crate) fn parse<O: OpSet>(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
                match view.kind() {
                    $(Some(OpKind::$name) if O::MASK & OpKind::$name.bit() != 0 => Operator::parse(view).map(Op::$name),)*
                    _ => Err(OpRule::Kind),
                }
            }

            /// Whether the parameters keep the rules, and the op is in `O`.
            pub(crate) fn check<O: OpSet>(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
                match self {
                    $(Op::$name(op) if O::MASK & OpKind::$name.bit() != 0 => op.check(view),)*
                    _ => Err(OpRule::Kind),
                }
            }

            /// Writes the op's own fields, and elsewhere what they refer to.
            #[cfg(any(test, feature = "encode"))]
            pub(crate) fn emit(&self, sink: &mut Sink<'_>) -> Result<(), OpRule> {
                match self {
                    $(Op::$name(op) => {
                        let fields = op.emit(sink)?;
                        sink.fields(&fields);
                    })*
                }
                Ok(())
            }

            /// Computes the op if it is in `O`.
            #[inline]
            pub(crate) fn run<O: OpSet>(view: &OpView<'_, 'a>, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>) {
                match view.kind() {
                    $(Some(OpKind::$name) if O::MASK & OpKind::$name.bit() != 0 => {
                        // Parsing cannot fail here: it went well when the file was checked.
                        let Ok(op) = <$($params)* as Operator>::parse(view) else { return };
                        op.run(kernels, operands);
                    })*
                    _ => (),
                }
            }
        }
    };
}

for_each_op!(define_ops);

/// Which input of an op may lie in the very bytes of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// None.
    Never,
    /// This one may; otherwise it is copied first.
    May(usize),
    /// This one must.
    Must(usize),
}

/// How an op treats sequences: tensors with as many rows as a run has tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// No operand is one.
    Fixed,
    /// The output is one just if the inputs are, but for inputs of a single row.
    Kept,
    /// The inputs may be, the output is none.
    Reduced,
}

impl Rows {
    /// Whether the operands are sequences only as this says: then the op that fits at the greatest length fits at all.
    pub(crate) fn suit(self, view: &OpView<'_, '_>) -> bool {
        let output = view.longest_output().sequence;
        match self {
            Rows::Fixed => view.operands().all(|tensor| !tensor.sequence),
            Rows::Kept => {
                view.operands().all(|tensor| tensor.sequence == output || (output && tensor.shape.height == 1))
            }
            Rows::Reduced => !output,
        }
    }
}

/// What every operator's parameters can do.
pub(crate) trait Operator<'a>: Sized {
    /// The op's own fields in a file.
    type Fields: Field;

    /// How many inputs it takes.
    const INPUTS: RangeInclusive<usize>;

    /// How it treats sequences.
    const ROWS: Rows = Rows::Fixed;

    /// Whether it takes what its operands hold.
    fn reads(view: &OpView<'_, '_>) -> bool {
        view.operands().all(|tensor| tensor.element == Element::Int8)
    }

    /// From a record and what it names; fails only before the check.
    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule>;

    /// The inverse: puts tables and weights into their sections and gives the fields.
    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, sink: &mut Sink<'_>) -> Result<Self::Fields, OpRule>;

    /// Shapes against parameters, and every number against its range.
    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule>;

    /// Which input may lie where the output does.
    fn sharing(&self) -> Sharing {
        Sharing::Never
    }

    /// Working memory that the kernels of `isa` want.
    fn scratch(&self, _isa: Isa) -> usize {
        0
    }

    /// Computes the output.
    fn run(&self, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>);
}

impl OpKind {
    /// Its bit in [`OpSet::MASK`].
    pub const fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// Which operators a program links; a session refuses a model that needs others.
pub trait OpSet {
    /// The bits of the operators.
    const MASK: u32;
}

/// Every operator.
#[derive(Clone, Copy, Debug)]
pub enum AllOps {}

impl OpSet for AllOps {
    const MASK: u32 = u32::MAX;
}

//! What each operator is: one file an operator, parameters first; [`for_each_op!`](crate::for_each_op) is the list.

mod add;
mod avg_pool;
mod concat;
mod conv2d;
mod depthwise;
mod linear;
mod lut;
mod max_pool;
mod mul;
mod pad;
mod slice;
mod softmax;
mod window;

pub use add::Add;
pub use avg_pool::AvgPool;
pub use concat::Concat;
pub use conv2d::Conv2d;
pub use depthwise::Depthwise;
pub use linear::Linear;
pub use lut::Lut;
pub use max_pool::MaxPool;
pub use mul::Mul;
pub use pad::Pad;
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
        }
    };
}

macro_rules! define_ops {
    ($($(#[$doc:meta])* $name:ident $file:ident $kind:literal [$($params:tt)*];)*) => {
        /// Which operator.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

        impl Op<'_> {
            /// Which operator.
            pub const fn kind(&self) -> OpKind {
                match self { $(Op::$name(_) => OpKind::$name,)* }
            }
        }
    };
}

for_each_op!(define_ops);

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

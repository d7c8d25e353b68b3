//! The one suite that every kernel table must pass, on a host, in an emulator, and on the device itself: no allocation, one workspace.
//!
//! Every case is a pure function of the op and its number. A table is compared with scalar's on random, awkward and extreme
//! shapes and values; its weights are packed in its own order, scalar's in another, so that a wrong order shows too.
//!
//! Every case also shows that a kernel keeps to its slices. It runs twice: what lies before and after each slice is -128 once and 127
//! once; that must remain, and must not matter to the output. On hosts that have such pages ([`Workspace::guard`]) it runs twice more, with each
//! slice at the end and at the start of memory beside which every access is a fault.

// There is no allocator to box a failure, and one ends the suite.
#![allow(clippy::result_large_err)]

mod bench;
mod cases;
mod guard;
#[cfg_attr(
    all(any(test, feature = "std"), target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")),
    path = "pages_linux.rs"
)]
mod pages;
mod sequences;
#[cfg(all(target_arch = "wasm32", not(test)))]
mod wasm;

use core::fmt;

use guard::Guards;

use super::{Isa, Kernels};
use crate::ops::Window;
use crate::tensor::Shape;

pub use crate::digest::Rng;

/// Largest input or output of a case, bytes.
const ROOM: usize = 8192;
/// Bytes before and after a slice that are watched.
const MARGIN: usize = 64;
/// Room for an activation at an odd place.
const ACTIVATION: usize = ROOM + 2 * MARGIN + 16;
/// Largest packed weights of a case, bytes.
const WEIGHTS: usize = 16384;
/// Largest padded number of output channels of a case.
const CHANNELS: usize = 256;
/// Most scratch that a kernel may ask for in a case, bytes; hosts copy images with their padding, devices have no room to.
const SCRATCH: usize = if cfg!(target_os = "none") { 32 * 1024 } else { 256 * 1024 };

/// Memory of the suite, about 100 KiB; one static suffices.
#[repr(C, align(16))]
pub struct Workspace {
    scratch: [u8; SCRATCH + 2 * MARGIN],
    input: [i8; ACTIVATION],
    /// What the output holds on entry.
    original: [i8; ACTIVATION],
    expected: [i8; ACTIVATION],
    actual: [i8; ACTIVATION],
    arrays: Arrays,
    guards: Option<Guards>,
}

/// Weights and numbers by channel: for the table under test, then for scalar.
struct Arrays {
    weights: [[i8; WEIGHTS + MARGIN]; 2],
    bias: [[i32; CHANNELS + MARGIN]; 2],
    multiplier: [i32; CHANNELS + MARGIN],
    shift: [u8; CHANNELS + MARGIN],
    /// How much of them a case uses.
    weights_len: [usize; 2],
    channels_len: [usize; 2],
}

impl Workspace {
    /// All zeros, so that a static of it takes no flash.
    pub const fn new() -> Self {
        Workspace {
            scratch: [0; SCRATCH + 2 * MARGIN],
            input: [0; ACTIVATION],
            original: [0; ACTIVATION],
            expected: [0; ACTIVATION],
            actual: [0; ACTIVATION],
            arrays: Arrays {
                weights: [[0; WEIGHTS + MARGIN]; 2],
                bias: [[0; CHANNELS + MARGIN]; 2],
                multiplier: [0; CHANNELS + MARGIN],
                shift: [0; CHANNELS + MARGIN],
                weights_len: [0; 2],
                channels_len: [0; 2],
            },
            guards: None,
        }
    }

    /// From now on cases also run between forbidden pages, where the system has them (false if not). A kernel that goes beyond a slice
    /// then ends the process by a fault.
    pub fn guard(&mut self) -> bool {
        self.guards = Guards::new();
        self.guards.is_some()
    }
}

impl Default for Workspace {
    fn default() -> Self {
        Workspace::new()
    }
}

/// The kernels of a table, each with its cases.
pub const OPS: [&str; 15] = [
    "conv2d",
    "depthwise",
    "linear",
    "add",
    "mul",
    "lut",
    "max_pool",
    "avg_pool",
    "softmax",
    "embed",
    "layer_norm",
    "attention",
    "mean",
    "add16",
    "narrow",
];

/// A table that does not do what scalar does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whose table.
    pub isa: Isa,
    /// Which kernel: one of [`OPS`].
    pub op: &'static str,
    /// Number of the case: `check_case` repeats it.
    pub case: u32,
    /// What is wrong.
    pub what: Difference,
    /// Shapes of the case.
    pub shapes: Shapes,
}

/// How an output differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// This byte of the output.
    Byte {
        /// Index into the output.
        at: usize,
        /// By scalar.
        expected: i8,
        /// By the table under test.
        actual: i8,
    },
    /// A byte before or after the output or scratch was changed.
    Outside,
    /// This byte of the output depends on what lies before or after a slice.
    Depends {
        /// Index into the output.
        at: usize,
    },
    /// It wrote something although the buffers did not fit.
    Careless,
    /// It asks for more scratch than any case may need.
    Scratch {
        /// Bytes asked for.
        bytes: usize,
    },
}

/// Geometry of a case, as far as the op has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shapes {
    /// Input.
    pub input: Shape,
    /// Output.
    pub output: Shape,
    /// Window of a convolution or pool.
    pub window: Option<Window>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} case {}: {:?}, {:?}", self.isa.name(), self.op, self.case, self.what, self.shapes)
    }
}

/// Runs `cases` cases of every op; the first difference ends it. A few hundred cases find what there is to find, sixteen are a self-test.
pub fn check(table: &Kernels, work: &mut Workspace, cases: u32) -> Result<(), Failure> {
    for op in OPS {
        for case in 0..cases {
            check_case(table, work, op, case)?;
        }
    }
    Ok(())
}

/// Runs one case of one op (a name of [`OPS`]; other names have no cases).
pub fn check_case(table: &Kernels, work: &mut Workspace, op: &'static str, case: u32) -> Result<(), Failure> {
    let mut rng = Rng::new(case);
    let mut shapes = Shapes::default();
    let run = match op {
        "conv2d" => cases::conv2d,
        "depthwise" => cases::depthwise,
        "linear" => cases::linear,
        "add" => cases::add,
        "mul" => cases::mul,
        "lut" => cases::lut,
        "max_pool" => cases::max_pool,
        "avg_pool" => cases::avg_pool,
        "softmax" => cases::softmax,
        "embed" => sequences::embed,
        "layer_norm" => sequences::layer_norm,
        "attention" => sequences::attention,
        "mean" => sequences::mean,
        "add16" => sequences::add16,
        "narrow" => sequences::narrow,
        _ => return Ok(()),
    };
    run(table, work, &mut rng, &mut shapes).map_err(|what| Failure { isa: table.isa, op, case, what, shapes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::scalar;
    use crate::ops::{Add, Attention, Conv2d, Embed, LayerNorm, Lut, Softmax};

    #[test]
    fn every_table_of_this_cpu_equals_scalar() {
        let mut work = std::boxed::Box::new(Workspace::new());
        assert_eq!(work.guard(), cfg!(target_os = "linux"));
        for table in Kernels::all() {
            check(table, &mut work, 400).unwrap_or_else(|failure| panic!("{failure}"));
        }
    }

    /// A table whose convolution does something else than it is told.
    macro_rules! wrong_conv2d {
        ($op:ident => $change:expr) => {
            Kernels {
                conv2d: |op, input, output, scratch| {
                    let mut $op = *op;
                    $change;
                    (scalar::KERNELS.conv2d)(&$op, input, output, scratch);
                },
                ..scalar::KERNELS
            }
        };
    }

    #[test]
    fn wrong_tables_are_found() {
        fn add(op: &Add, a: &[i8], output: &mut [i8]) {
            (scalar::KERNELS.add)(op, a, output);
            if let Some(v) = output.get_mut(37) {
                *v = v.wrapping_add(1);
            }
        }
        fn lut(op: &Lut<'_>, output: &mut [i8]) {
            for v in output {
                *v = op.table[(*v as u8 & 127) as usize];
            }
        }
        let tables = [
            (Kernels { add, ..scalar::KERNELS }, "add"),
            (Kernels { lut, ..scalar::KERNELS }, "lut"),
            (Kernels { mul: |_, _, _| (), ..scalar::KERNELS }, "mul"),
            (
                Kernels {
                    softmax: |op, y| (scalar::KERNELS.softmax)(&Softmax { step: op.step + 1, ..*op }, y),
                    ..scalar::KERNELS
                },
                "softmax",
            ),
            (
                Kernels {
                    embed: |op, tokens, y| (scalar::KERNELS.embed)(&Embed { shift: op.shift + 1, ..*op }, tokens, y),
                    ..scalar::KERNELS
                },
                "embed",
            ),
            (
                Kernels {
                    layer_norm: |op, x, y| (scalar::KERNELS.layer_norm)(&LayerNorm { eps: 2 * op.eps, ..*op }, x, y),
                    ..scalar::KERNELS
                },
                "layer_norm",
            ),
            (
                Kernels {
                    attention: |op, x, y, scratch| {
                        let score = (op.score.0 ^ 1 << 18, op.score.1);
                        (scalar::KERNELS.attention)(&Attention { score, ..*op }, x, y, scratch);
                    },
                    ..scalar::KERNELS
                },
                "attention",
            ),
            (Kernels { mean: |_, _, _| (), ..scalar::KERNELS }, "mean"),
            (Kernels { add16: |_, _, _| (), ..scalar::KERNELS }, "add16"),
            (Kernels { narrow: |_, _, _| (), ..scalar::KERNELS }, "narrow"),
            (wrong_conv2d!(op => op.residual = None), "conv2d"),
            (wrong_conv2d!(op => op.input_zero = 0), "conv2d"),
            (wrong_conv2d!(op => op.window.dilation = [1; 2]), "conv2d"),
            (wrong_conv2d!(op => op.range.hi = 127), "conv2d"),
            (wrong_conv2d!(op => op.range.lo = -128), "conv2d"),
            (wrong_conv2d!(op => op.channels.shift = &[9; 256]), "conv2d"),
        ];
        let mut work = std::boxed::Box::new(Workspace::new());
        for (i, (table, op)) in tables.iter().enumerate() {
            assert_eq!(check(table, &mut work, 60).unwrap_err().op, *op, "{i}");
        }
    }
    /// What the first cases of `table` come to.
    fn found(table: &Kernels) -> Difference {
        check(table, &mut std::boxed::Box::new(Workspace::new()), 20).unwrap_err().what
    }

    // Each kernel reaches for a byte that lies in the workspace, as a wrong one would.
    #[test]
    fn writes_outside_of_slices_are_found() {
        fn behind(op: &Add, a: &[i8], output: &mut [i8]) {
            (scalar::KERNELS.add)(op, a, output);
            // SAFETY: behind the output lies the rest of its buffer.
            unsafe { output.as_mut_ptr().wrapping_add(output.len()).write(3) };
        }
        fn before(op: &Add, a: &[i8], output: &mut [i8]) {
            (scalar::KERNELS.add)(op, a, output);
            // SAFETY: before the output lies a margin.
            unsafe { output.as_mut_ptr().wrapping_sub(MARGIN).write(3) };
        }
        fn scratch(op: &Conv2d<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
            (scalar::KERNELS.conv2d)(op, input, output, scratch);
            // SAFETY: behind scratch lies the rest of its buffer.
            unsafe { scratch.as_mut_ptr().wrapping_add(scratch.len()).write(3) };
        }
        assert_eq!(found(&Kernels { add: behind, ..scalar::KERNELS }), Difference::Outside);
        assert_eq!(found(&Kernels { add: before, ..scalar::KERNELS }), Difference::Outside);
        assert_eq!(found(&Kernels { conv2d: scratch, ..scalar::KERNELS }), Difference::Outside);
    }

    #[test]
    fn reads_outside_of_slices_are_found() {
        fn behind(op: &Add, a: &[i8], output: &mut [i8]) {
            (scalar::KERNELS.add)(op, a, output);
            // SAFETY: behind an operand lies the rest of its buffer.
            if unsafe { a.as_ptr().wrapping_add(a.len()).read() } > 0 {
                output[0] = !output[0];
            }
        }
        fn weights(op: &Conv2d<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
            (scalar::KERNELS.conv2d)(op, input, output, scratch);
            // SAFETY: behind weights lies the rest of their buffer.
            if unsafe { op.weights.as_ptr().wrapping_add(op.weights.len()).read() } > 0
                && output.len() == op.output.len()
            {
                output[0] = !output[0];
            }
        }
        assert_eq!(found(&Kernels { add: behind, ..scalar::KERNELS }), Difference::Depends { at: 0 });
        assert_eq!(found(&Kernels { conv2d: weights, ..scalar::KERNELS }), Difference::Depends { at: 0 });
    }
}

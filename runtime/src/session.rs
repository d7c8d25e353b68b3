//! A model at work: checked file + arena + kernels give outputs. The only loop over ops.

use core::fmt;
use core::marker::PhantomData;

use crate::arena::Operands;
use crate::digest::Fnv1a64;
use crate::error::SessionError;
use crate::format::{ALIGN, Model, OpView, Port};
use crate::kernels::{Isa, Kernels, cast};
use crate::log::info;
use crate::ops::{AllOps, Op, OpSet};

/// A model with its memory, ready to run. Nothing in it can fail.
///
/// `O` says which ops are linked into the program; a firmware that holds one model takes what `include_model!` found in it.
pub struct Session<'m, 'a, 'r, O: OpSet = AllOps> {
    model: &'m Model<'a>,
    arena: &'r mut [i8],
    kernels: &'static Kernels,
    ops: PhantomData<O>,
}

/// An op that has just been computed, for those who compare layer by layer.
pub struct Step<'s, 'm, 'a> {
    /// Its number in order of execution.
    pub index: usize,
    /// What it is.
    pub op: OpView<'m, 'a>,
    /// What it wrote.
    pub output: &'s [i8],
}

impl<'m, 'a, 'r> Session<'m, 'a, 'r> {
    /// A session with the best table that this CPU has for the file. The arena must begin at a multiple of 16.
    pub fn new(model: &'m Model<'a>, arena: &'r mut [u8]) -> Result<Self, SessionError> {
        Session::with_ops(model, arena)
    }

    /// A session with a given table, for tests and comparisons.
    pub fn with_kernels(
        model: &'m Model<'a>,
        arena: &'r mut [u8],
        kernels: &'static Kernels,
    ) -> Result<Self, SessionError> {
        Session::begin(model, arena, kernels)
    }
}

impl<'m, 'a, 'r, O: OpSet> Session<'m, 'a, 'r, O> {
    /// As [`Session::new`], with the ops of `O` only: `Session::<digits::Ops>::with_ops(..)`.
    pub fn with_ops(model: &'m Model<'a>, arena: &'r mut [u8]) -> Result<Self, SessionError> {
        Session::begin(model, arena, Kernels::best::<O>(model.layout()))
    }

    fn begin(model: &'m Model<'a>, arena: &'r mut [u8], kernels: &'static Kernels) -> Result<Self, SessionError> {
        if !kernels.isa.reads(model.layout()) {
            return Err(SessionError::Layout);
        }
        if let Some(kind) = model.ops().filter_map(|view| view.kind()).find(|kind| O::MASK & kind.bit() == 0) {
            return Err(SessionError::OpNotLinked(kind));
        }
        if !(arena.as_ptr() as usize).is_multiple_of(ALIGN) {
            return Err(SessionError::ArenaMisaligned);
        }
        let (needed, given) = (arena_bytes(model, kernels.isa), arena.len());
        if given < needed {
            return Err(SessionError::ArenaTooSmall { needed, given });
        }
        info!("model of {} bytes, arena {} of {}, table {}", model.file_bytes(), needed, given, kernels.isa.name());
        Ok(Session { model, arena: cast::i8s_mut(arena), kernels, ops: PhantomData })
    }

    /// The model.
    pub const fn model(&self) -> &'m Model<'a> {
        self.model
    }

    /// The table in use.
    pub const fn kernels(&self) -> &'static Kernels {
        self.kernels
    }

    /// The bytes of input number `i`, to be filled before each run: outputs and working memory may lie there too. Empty if there is no such input.
    pub fn input_mut(&mut self, i: usize) -> &mut [i8] {
        let range = self.model.input(i).map_or(0..0, |port| port.tensor.range());
        self.arena.get_mut(range).unwrap_or(&mut [])
    }

    /// Fills input number `i` from pixels of 8 bits, channels last, by the model's pixel tables. Pixels that are missing leave the input as it is.
    pub fn set_pixels(&mut self, i: usize, pixels: &[u8]) {
        let Some(port) = self.model.input(i) else { return };
        let channels = port.tensor.shape.channels.max(1);
        for (to, from) in self.input_mut(i).chunks_exact_mut(channels).zip(pixels.chunks_exact(channels)) {
            for (c, (to, &from)) in to.iter_mut().zip(from).enumerate() {
                *to = port.pixel(c, from);
            }
        }
    }

    /// Output number `i` of the last run; empty if there is no such output.
    pub fn output(&self, i: usize) -> &[i8] {
        let range = self.model.output(i).map_or(0..0, |port| port.tensor.range());
        self.arena.get(range).unwrap_or(&[])
    }

    /// How the bytes of output number `i` stand for real numbers.
    pub fn output_port(&self, i: usize) -> Option<Port<'a>> {
        self.model.output(i)
    }

    /// The digest of all outputs of the last run, one after another.
    pub fn digest(&self) -> u64 {
        let mut digest = Fnv1a64::new();
        for i in 0..self.model.outputs() {
            digest.update(self.output(i));
        }
        digest.finish()
    }

    /// Computes the outputs from the inputs.
    pub fn run(&mut self) {
        self.run_with(|_| ());
    }

    /// Computes the outputs, and shows each op's result as soon as it is there.
    pub fn run_with(&mut self, mut each: impl FnMut(Step<'_, 'm, 'a>)) {
        for (index, view) in self.model.ops().enumerate() {
            let mut operands = Operands::new(self.arena, view);
            Op::run::<O>(&view, self.kernels, &mut operands);
            each(Step { index, op: view, output: operands.output() });
        }
    }

    /// Runs the file's own self-tests; `Err` with the number of the first that gives another result than on the host.
    pub fn self_test(&mut self) -> Result<(), usize> {
        for (number, test) in self.model.self_tests().enumerate() {
            let mut generator = None;
            let mut from = 0;
            for i in 0..self.model.inputs() {
                test.write_input(&mut generator, from, self.input_mut(i));
                from += self.input_mut(i).len();
            }
            self.run();
            if self.digest() != test.digest {
                return Err(number);
            }
        }
        Ok(())
    }
}

impl<O: OpSet> fmt::Debug for Session<'_, '_, '_, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut f = f.debug_struct("Session");
        f.field("table", &self.kernels.isa).field("arena", &self.arena.len()).finish_non_exhaustive()
    }
}

/// Bytes of arena that a session on `isa` needs: the file's own figure, and more only if this table wants more working
/// memory for an op than was planned.
pub fn arena_bytes(model: &Model<'_>, isa: Isa) -> usize {
    let scratch = |view: OpView<'_, '_>| view.scratch_for(view.op().map_or(0, |op| op.scratch(isa)));
    model.ops().map(|view| scratch(view).end).fold(model.arena_bytes(), usize::max)
}

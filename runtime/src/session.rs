//! A model at work: checked file + arena + kernels give outputs. The only loop over ops.

use core::fmt;
use core::marker::PhantomData;

use crate::arena::Operands;
use crate::digest::Fnv1a64;
use crate::error::{SessionError, TokenError};
use crate::format::{ALIGN, Model, OpView, Port};
use crate::kernels::{Isa, Kernels, cast};
use crate::log::info;
use crate::ops::{AllOps, Op, OpSet};
use crate::tensor::Element;

/// A model with its memory, ready to run. Nothing in it can fail.
///
/// `O` says which ops are linked into the program; a firmware that holds one model takes what `include_model!` found in it.
pub struct Session<'m, 'a, 'r, O: OpSet = AllOps> {
    model: &'m Model<'a>,
    arena: &'r mut [i8],
    kernels: &'static Kernels,
    /// Rows of sequences in the runs to come.
    length: usize,
    ops: PhantomData<O>,
}

/// An op that has just been computed, for those who compare layer by layer.
pub struct Step<'s, 'm, 'a> {
    /// Its number in order of execution.
    pub index: usize,
    /// What it is.
    pub op: OpView<'m, 'a>,
    /// What it wrote, as bytes.
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
        let (needed, given) = (arena_bytes_of::<O>(model, kernels.isa), arena.len());
        if given < needed {
            return Err(SessionError::ArenaTooSmall { needed, given });
        }
        info!("model of {} bytes, arena {} of {}, table {}", model.file_bytes(), needed, given, kernels.isa.name());
        let length = model.max_length();
        Ok(Session { model, arena: cast::i8s_mut(arena), kernels, length, ops: PhantomData })
    }

    /// The model.
    pub const fn model(&self) -> &'m Model<'a> {
        self.model
    }

    /// The table in use.
    pub const fn kernels(&self) -> &'static Kernels {
        self.kernels
    }

    /// Rows that sequences have in the runs to come: at first the most that the model takes, 0 if it has no sequences.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Sets the rows of sequences for the runs to come, 1 to [`Model::max_length`]. Inputs must be filled again, since they
    /// are of that length now.
    pub fn set_length(&mut self, length: usize) -> Result<(), TokenError> {
        match self.model.max_length() {
            0 => Err(TokenError::NoTokens),
            max if length == 0 || length > max => Err(TokenError::Length { given: length, max }),
            _ => {
                self.length = length;
                Ok(())
            }
        }
    }

    /// Fills the input that takes tokens, and sets the length of sequences to their number. A run does no more work than
    /// so many tokens need. If they are refused, everything stays as it was.
    pub fn set_tokens(&mut self, tokens: &[u16]) -> Result<(), TokenError> {
        let mut inputs = (0..self.model.inputs()).filter_map(|i| self.model.input(i));
        let input = inputs.find(|port| port.tensor.element == Element::Token).ok_or(TokenError::NoTokens)?;
        let vocabulary = self.model.vocabulary(input.tensor);
        let unknown = tokens.iter().enumerate().find(|&(_, &id)| id as usize >= vocabulary);
        if let Some((at, &id)) = unknown {
            return Err(TokenError::Unknown { at, id, vocabulary });
        }
        self.set_length(tokens.len())?;
        let bytes = self.arena.get_mut(input.tensor.at(self.length).range()).unwrap_or(&mut []);
        for (to, id) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(tokens) {
            *to = id.to_le_bytes().map(|byte| byte as i8);
        }
        Ok(())
    }

    /// The bytes of input number `i`, to be filled before each run: outputs and working memory may lie there too. Empty if there is no such input.
    pub fn input_mut(&mut self, i: usize) -> &mut [i8] {
        let range = self.model.input(i).map_or(0..0, |port| port.tensor.at(self.length).range());
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

    /// Output number `i` of the last run, its bytes if it is of 16 bits; empty if there is no such output.
    pub fn output(&self, i: usize) -> &[i8] {
        let range = self.model.output(i).map_or(0..0, |port| port.tensor.at(self.length).range());
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
        for (index, view) in self.model.ops_at(self.length).enumerate() {
            let mut operands = Operands::new(self.arena, view);
            Op::run::<O>(&view, self.kernels, &mut operands);
            each(Step { index, op: view, output: operands.output() });
        }
    }

    /// Runs the file's own self-tests, at the greatest length; `Err` with the number of the first that gives another result than on the host.
    pub fn self_test(&mut self) -> Result<(), usize> {
        self.length = self.model.max_length();
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
    arena_bytes_of::<AllOps>(model, isa)
}

/// The same for a model whose ops are all in `O`.
fn arena_bytes_of<O: OpSet>(model: &Model<'_>, isa: Isa) -> usize {
    let scratch = |view: OpView<'_, '_>| view.scratch_for(view.op_of::<O>().map_or(0, |op| op.scratch(isa)));
    model.ops().map(|view| scratch(view).end).fold(model.arena_bytes(), usize::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::all_ops;
    use crate::testing::text::{MAX_LENGTH, VOCABULARY, transformer};
    use crate::{AlignedBytes, Layout, Rng};
    use std::vec::Vec;

    fn tokens(seed: usize, length: usize) -> Vec<u16> {
        let mut rng = Rng::new(seed as u32);
        (0..length).map(|_| rng.below(VOCABULARY) as u16).collect()
    }

    /// All outputs for these tokens.
    fn outputs(session: &mut Session<'_, '_, '_>, tokens: &[u16]) -> Vec<Vec<i8>> {
        session.set_tokens(tokens).unwrap();
        session.run();
        (0..session.model.outputs()).map(|i| session.output(i).to_vec()).collect()
    }

    #[test]
    fn a_shorter_sequence_is_as_in_a_model_that_takes_no_longer_one() {
        let mut seen = Vec::new();
        for layout in [Layout::PLAIN, Layout::N16K4, Layout::N8K8] {
            let file = transformer(layout, MAX_LENGTH);
            let model = Model::parse(&file).unwrap();
            assert_eq!(model.max_length(), MAX_LENGTH);
            for kernels in Kernels::all().filter(|kernels| kernels.isa.reads(layout)) {
                let mut arena = AlignedBytes::zeroed(arena_bytes(&model, kernels.isa));
                let mut session = Session::with_kernels(&model, &mut arena, kernels).unwrap();
                let mut all = Vec::new();
                // Longer and shorter ones in turn, so that each finds what another left.
                for length in (1..=MAX_LENGTH).map(|i| i * 7 % (MAX_LENGTH + 1)) {
                    let tokens = tokens(length, length);
                    let found = outputs(&mut session, &tokens);
                    assert_eq!(session.length(), length);
                    assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [5, 8, 3 * length]);
                    let file = transformer(layout, length);
                    let model = Model::parse(&file).unwrap();
                    let mut arena = AlignedBytes::zeroed(arena_bytes(&model, kernels.isa));
                    let mut session = Session::with_kernels(&model, &mut arena, kernels).unwrap();
                    assert_eq!(outputs(&mut session, &tokens), found, "{} {length}", kernels.isa.name());
                    all.push(found);
                }
                // And neither the table nor the layout makes a difference.
                seen.push(all);
            }
        }
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]) && seen.len() > 2);
        let means: Vec<_> = seen[0].iter().map(|outputs| &outputs[1]).collect();
        assert!(means.windows(2).all(|pair| pair[0] != pair[1]), "{means:?} must depend on the tokens");
    }

    #[test]
    fn what_a_run_does_not_reach_has_no_influence() {
        let file = transformer(Layout::PLAIN, MAX_LENGTH);
        let model = Model::parse(&file).unwrap();
        let found = [0u8, 0xff, 0x5a].map(|noise| {
            let mut arena = AlignedBytes::zeroed(arena_bytes(&model, Isa::Scalar));
            arena.fill(noise);
            outputs(&mut Session::new(&model, &mut arena).unwrap(), &tokens(7, 4))
        });
        assert!(found[0] == found[1] && found[0] == found[2]);
    }

    #[test]
    fn tokens_that_do_not_fit_are_refused_and_change_nothing() {
        let file = transformer(Layout::PLAIN, MAX_LENGTH);
        let model = Model::parse(&file).unwrap();
        let mut arena = AlignedBytes::zeroed(arena_bytes(&model, Isa::Avx2).max(arena_bytes(&model, Isa::Scalar)));
        let mut session = Session::new(&model, &mut arena).unwrap();
        assert_eq!(session.length(), MAX_LENGTH);
        let expected = outputs(&mut session, &[1, 2, 3]);
        let max = MAX_LENGTH;
        let last = VOCABULARY as u16;
        let unknown = |at, id| Err(TokenError::Unknown { at, id, vocabulary: VOCABULARY });
        assert_eq!(session.set_tokens(&[]), Err(TokenError::Length { given: 0, max }));
        assert_eq!(session.set_tokens(&[0; MAX_LENGTH + 1]), Err(TokenError::Length { given: max + 1, max }));
        assert_eq!(session.set_tokens(&[4, last]), unknown(1, last));
        assert_eq!(session.set_tokens(&[u16::MAX]), unknown(0, u16::MAX));
        assert_eq!(session.set_length(max + 1), Err(TokenError::Length { given: max + 1, max }));
        session.run();
        assert_eq!((0..3).map(|i| session.output(i).to_vec()).collect::<Vec<_>>(), expected);
        assert_eq!(session.input_mut(0), [1, 0, 2, 0, 3, 0]);
        assert_eq!(session.self_test(), Ok(()));
        assert_eq!(session.length(), MAX_LENGTH);
        let image = all_ops(Layout::PLAIN);
        let model = Model::parse(&image).unwrap();
        let mut arena = AlignedBytes::zeroed(arena_bytes(&model, Isa::Scalar));
        let mut session = Session::new(&model, &mut arena).unwrap();
        assert_eq!(session.set_tokens(&[1]), Err(TokenError::NoTokens));
        assert_eq!(session.set_length(1), Err(TokenError::NoTokens));
        assert_eq!(session.length(), 0);
    }
}

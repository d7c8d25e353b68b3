//! Rows of a table for tokens, each with the row of its place: the beginning of a text network.

use super::prelude::*;

/// `saturate((word * word multiplier + position * position multiplier + 2^(shift-1)) >> shift)`; see [`crate::quant`].
#[derive(Clone, Copy, Debug)]
pub struct Embed<'a> {
    /// Values in a row.
    pub width: usize,
    /// `[vocabulary][width]`
    pub words: &'a [i8],
    /// `[greatest length][width]`
    pub positions: &'a [i8],
    /// One for each row of `words`.
    pub word_multipliers: &'a [i16],
    /// One for each row of `positions`.
    pub position_multipliers: &'a [i16],
    /// Right shift, 1..=22.
    pub shift: u8,
}

impl Embed<'_> {
    /// Largest shift: then the rounding term leaves room for the products.
    pub const MAX_SHIFT: u8 = 22;

    /// Rows of `words`.
    pub const fn vocabulary(&self) -> usize {
        self.word_multipliers.len()
    }

    /// The row that a token reads; one that is not in the vocabulary counts on from its beginning.
    #[inline(always)]
    pub fn row(&self, token: u16) -> usize {
        (token as usize).checked_rem(self.vocabulary()).unwrap_or(0)
    }

    /// One value: the element of a row of `words` and its multiplier, and those of `positions`.
    #[inline(always)]
    pub fn apply(&self, [word, position]: [(i8, i16); 2]) -> i16 {
        let product = |(value, multiplier): (i8, i16)| value as i32 * multiplier as i32;
        let half = 1i32.wrapping_shl((self.shift as u32).wrapping_sub(1));
        let sum = product(word).wrapping_add(product(position)).wrapping_add(half);
        Number::saturate(sum.wrapping_shr(self.shift as u32))
    }

    /// Whether these buffers and the parameters' own slices have the sizes that belong together.
    pub const fn fits(&self, tokens: &[u16], output: &[i16]) -> bool {
        self.width != 0
            && output.len() == tokens.len().saturating_mul(self.width)
            && self.words.len() == self.word_multipliers.len().saturating_mul(self.width)
            && !self.words.is_empty()
            && self.positions.len() == self.position_multipliers.len().saturating_mul(self.width)
            && self.position_multipliers.len() >= tokens.len()
    }
}

record! {
    /// 16 bytes; the fourth is zero. The multipliers of words and then those of positions are one table.
    pub(crate) struct Fields {
        vocabulary: u16,
        shift: u8,
        reserved: u8,
        words: u32,
        positions: u32,
        multipliers: u32,
    }
}

/// The input is tokens, the output int16; there are as many positions as the output can have rows.
impl<'a> Operator<'a> for Embed<'a> {
    type Fields = Fields;

    const INPUTS: RangeInclusive<usize> = 1..=1;

    const ROWS: Rows = Rows::Kept;

    fn reads(view: &OpView<'_, '_>) -> bool {
        view.input(0).element == Element::Token && view.output().element == Element::Int16
    }

    fn parse(view: &OpView<'_, 'a>) -> Result<Self, OpRule> {
        let Fields { vocabulary, shift, words, positions, multipliers, .. } = view.read();
        let (model, output) = (view.model(), view.longest_output().shape);
        let (vocabulary, length, width) = (usize::from(vocabulary), output.height, output.channels);
        let rows = |offset, n: usize| model.weights(offset, n.saturating_mul(width));
        let multipliers = model.shorts(multipliers, vocabulary + length);
        let (word_multipliers, position_multipliers) = multipliers.split_at_checked(vocabulary).unwrap_or_default();
        let (words, positions) = (rows(words, vocabulary), rows(positions, length));
        Ok(Embed { width, words, positions, word_multipliers, position_multipliers, shift })
    }

    #[cfg(any(test, feature = "encode"))]
    fn emit(&self, sink: &mut Sink<'_>) -> Result<Fields, OpRule> {
        Ok(Fields {
            vocabulary: self.vocabulary().try_into().map_err(|_| OpRule::Parameter)?,
            shift: self.shift,
            reserved: 0,
            words: sink.weights(self.words),
            positions: sink.weights(self.positions),
            multipliers: sink.numbers(self.word_multipliers.iter().chain(self.position_multipliers)),
        })
    }

    fn check(&self, view: &OpView<'_, 'a>) -> Result<(), OpRule> {
        let (tokens, output) = (view.input(0).shape, view.output().shape);
        OpRule::Shape.unless(tokens == Shape { channels: 1, ..output } && output.width == 1)?;
        OpRule::Table.unless(!self.word_multipliers.is_empty() && self.position_multipliers.len() == output.height)?;
        let has = |table: &[i8], rows: usize| table.len() == rows * self.width && !table.contains(&i8::MIN);
        OpRule::Weights.unless(has(self.words, self.vocabulary()) && has(self.positions, output.height))?;
        OpRule::Multiplier.unless((1..=Embed::MAX_SHIFT).contains(&self.shift))
    }

    fn run(&self, kernels: &Kernels, operands: &mut Operands<'_, '_, '_>) {
        let (tokens, output, _) = operands.split(0, 0);
        (kernels.embed)(self, cast::u16s(tokens), cast::i16s_mut(output));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Op;
    use crate::testing::{check_op, int8, int16, run_integers, tokens};

    /// Rows of two: three words, two places; the sum of twice a word's number and a place's.
    const GOOD: Embed<'_> = Embed {
        width: 2,
        words: &[1, -1, 10, -10, 100, -100],
        positions: &[0, 0, 3, 4],
        word_multipliers: &[4, 4, 2],
        position_multipliers: &[2, 2],
        shift: 1,
    };

    #[test]
    fn good_rows() {
        let output = int16(Shape::new(2, 1, 2));
        let run = |op, ids| run_integers(Op::Embed(op), &[(tokens(2), ids)], output);
        assert_eq!(run(GOOD, &[1, 2]), [20, -20, 103, -96]);
        assert_eq!(run(GOOD, &[0, 0]), [2, -2, 5, 2]);
        // Tokens that are not in the vocabulary count on from its beginning.
        assert_eq!(run(GOOD, &[3, 65534]), [2, -2, 103, -96]);
        // Ties round up, ends saturate.
        let halves = Embed { word_multipliers: &[1, 1, i16::MAX], ..GOOD };
        assert_eq!(run(halves, &[0, 1]), [1, 0, 8, -1]);
        assert_eq!(run(halves, &[2, 2]), [32767, -32767, 32767, -32767]);
    }

    #[test]
    fn bad_rows() {
        let output = int16(Shape::new(2, 1, 2));
        for (op, expected) in [
            (GOOD, Ok(())),
            (Embed { shift: 0, ..GOOD }, Err(OpRule::Multiplier)),
            (Embed { shift: 23, ..GOOD }, Err(OpRule::Multiplier)),
            (Embed { words: &[1, -1, 10, -10, 100, -128], ..GOOD }, Err(OpRule::Weights)),
            (Embed { positions: &[-128, 0, 3, 4], ..GOOD }, Err(OpRule::Weights)),
            (Embed { positions: &[0, 0], ..GOOD }, Err(OpRule::Weights)),
            (Embed { position_multipliers: &[], ..GOOD }, Err(OpRule::Table)),
            (Embed { word_multipliers: &[], ..GOOD }, Err(OpRule::Table)),
            (Embed { word_multipliers: &[1; 65536], ..GOOD }, Err(OpRule::Parameter)),
        ] {
            assert_eq!(check_op(Op::Embed(op), &[tokens(2)], output), expected, "{op:?}");
        }
        let check = |input, output| check_op(Op::Embed(GOOD), &[input], output);
        assert_eq!(check(tokens(1), output), Err(OpRule::Shape));
        assert_eq!(check(int16(Shape::new(2, 1, 1)), output), Err(OpRule::Element));
        assert_eq!(check(tokens(2), int8(output.shape)), Err(OpRule::Element));
    }
}

//! Embedding: a row for each token, and one for its place.

use crate::ops::Embed;

/// Each row of the output is the sum of the token's row and that of its place, each with its multiplier.
#[inline(always)]
pub(super) fn embed(op: &Embed<'_>, tokens: &[u16], output: &mut [i16]) {
    if !op.fits(tokens, output) {
        return;
    }
    for (place, (&token, output)) in tokens.iter().zip(output.chunks_exact_mut(op.width)).enumerate() {
        let row = op.row(token);
        let (word, position) = (&op.words[row * op.width..], &op.positions[place * op.width..]);
        let multipliers = [op.word_multipliers[row], op.position_multipliers[place]];
        for ((out, &word), &position) in output.iter_mut().zip(word).zip(position) {
            *out = op.apply([(word, multipliers[0]), (position, multipliers[1])]);
        }
    }
}

//! Convolution and fully connected layer: tiles of four pixels by all output channels, two at a time.
//!
//! **The idea.** What four output pixels see is gathered into columns, a vector of each pixel by turns. `VMLADAVA` adds sixteen
//! products of two vectors to a sum in a general register, and only the even ones of those can hold one: eight sums, of four pixels
//! and two output channels, are all there is room for. So six loads serve eight multiplications, 128 products.
//!
//! Biases, multipliers and shifts of a pair of channels lie together as the end of the loop loads them; its vectors hold a channel of four
//! pixels, so that multiplier and shift are scalars. `VQDMULH` keeps one bit more than the contract's high word: the shift takes it back.

use super::super::mve_plan::{ConvPlan, MVE_LAYOUT, PAIR_WORDS, TILE};
use super::gather::Gather;
use super::tile::Job;
use crate::kernels::{cast, scalar};
use crate::ops::{Conv2d, Linear};

/// Most output channels: a tile's bytes are stored at 16-bit distances from its first one.
const MOST_CHANNELS: usize = u16::MAX as usize / TILE;

/// See [`crate::kernels::Kernels::conv2d`].
pub(super) fn conv2d(op: &Conv2d<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let plan = ConvPlan::of(op);
    let out = op.output.channels;
    if out > MOST_CHANNELS || (plan.pixels == 1 && op.residual.is_some()) {
        return (scalar::KERNELS.conv2d)(op, input, output, scratch);
    }
    if !op.fits(input, output) || output.is_empty() || op.layout != MVE_LAYOUT {
        return;
    }
    let Some((columns, rest)) = scratch.split_at_mut_checked(plan.columns()) else { return };
    let Some((records, rest)) = rest.split_at_mut_checked(4 * plan.records()) else { return };
    let Some(rows) = cast::i8s_mut(rest).get_mut(..plan.rows) else { return };
    let records = cast::i32s_mut(records);
    if records.len() != plan.records() || plan.groups == 0 {
        return;
    }
    prepare(op, records);
    let mut job = Job::new(op, plan, records);
    let mut gather = Gather::new(op, input, rows);
    let mut next = [0, 0];
    for pixels in output.chunks_mut(plan.pixels * out) {
        let columns = match plan.pixels {
            1 => gather.one(next, columns),
            _ => gather.four(&mut next, pixels.len() / out, columns),
        };
        job.run(columns, pixels);
    }
}

/// A convolution with one tap over a row of pixels.
pub(super) fn linear(op: &Linear<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    if op.fits(input, output) {
        conv2d(&op.as_conv2d(), input, output, scratch);
    }
}

/// Writes the records that [`Tile`] describes.
fn prepare(op: &Conv2d<'_>, records: &mut [i32]) {
    let channel = |o: usize| {
        let (shift, channels) = (op.channels.shift[o], &op.channels);
        // Shifts are to the left; where they are negative, to the right.
        [channels.bias[o], channels.multiplier[o], i32::from(shift >> 5), -1 - i32::from(shift & 31)]
    };
    for (pair, record) in records.as_chunks_mut::<PAIR_WORDS>().0.iter_mut().enumerate() {
        let [bias, multiplier, left, right] = channel(2 * pair);
        let [b, m, l, r] = channel(2 * pair + 1);
        *record = [bias, multiplier, left, right, b, m, l, r];
    }
}

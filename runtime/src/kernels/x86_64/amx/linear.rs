//! Fully connected layers on several rows: blocks of 32 rows and two panels.

use core::arch::x86_64::*;

use super::tile::{BLOCK, ROW, ROWS, Sums, Tiles};
use crate::kernels::band::Band;
use crate::kernels::sweep::Taps;
use crate::kernels::x86_64::PANEL;
use crate::kernels::x86_64::avx512_vnni::{self, Panels, store};
use crate::kernels::{Isa, Layout};
use crate::ops::{Conv2d, Linear};

/// Fewer rows are faster with AVX-512.
const FEWEST: usize = 5;

/// See [`crate::Kernels::linear`].
pub(super) fn linear(op: &Linear<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    if !op.fits(input, output) || output.is_empty() || scratch.len() < (Isa::Amx.scratch().linear)(op) {
        return;
    }
    let conv = op.as_conv2d();
    let taps = Taps::new(&conv, &Band::of_conv2d(&conv), 1).filter(|_| op.layout == Layout::N16K4);
    match taps.filter(|_| op.inputs.is_multiple_of(ROW) && op.rows >= FEWEST) {
        // SAFETY: the table is given out only if the CPU has the features and the system grants tiles (`available`).
        Some(taps) => unsafe { multiply(&conv, &taps, input, output, scratch) },
        // Rows that are no whole number of steps, or few.
        None => (avx512_vnni::KERNELS.linear)(op, input, output, scratch),
    }
}

/// A copy with 128 added, which makes all values unsigned, then block by block; each pair of panels is read once for all rows, or
/// stays in a near cache.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn multiply(op: &Conv2d<'_>, taps: &Taps, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let inputs = op.input.channels;
    let channels = op.output.channels;
    // What is behind the last row is arbitrary, and so are its sums, which nobody stores.
    for (to, &value) in scratch.iter_mut().zip(input) {
        *to = value as u8 ^ 0x80;
    }
    // SAFETY: the caller has tiles.
    let tiles = unsafe { Tiles::new() };
    let mut sums = Sums([[[0; ROWS]; ROWS]; 4]);
    for panel in (0..channels.div_ceil(PANEL)).step_by(2) {
        let panels = Panels::<2>::new(op, taps, panel);
        let weights = panels.weights.map(|weights| weights.as_ptr());
        for (values, output) in scratch.chunks_exact(BLOCK * inputs).zip(output.chunks_mut(BLOCK * channels)) {
            // SAFETY: there are 32 rows of values, and panels of `inputs` products each, both in steps of 64.
            unsafe { tiles.multiply(values.as_ptr(), inputs, weights, inputs / ROW, &mut sums) };
            finish(&panels, &sums, output);
        }
    }
}

/// Requantizes and stores the sums of the rows that `output` holds, two at a time.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn finish(panels: &Panels<'_, 2>, sums: &Sums, output: &mut [i8]) {
    let [first, second] = [[&sums.0[0], &sums.0[1]], [&sums.0[2], &sums.0[3]]];
    let rows = [first, second].into_iter().flat_map(|[a, b]| a.iter().zip(b));
    let mut rows = rows.map(|(a, b)| {
        let mut row = [_mm512_setzero_si512(); 2];
        for ((to, sums), (bias, rescale)) in row.iter_mut().zip([a, b]).zip(panels.bias.iter().zip(&panels.rescale)) {
            // SAFETY: sixteen sums.
            let sum = _mm512_add_epi32(unsafe { _mm512_loadu_si512(sums.as_ptr().cast()) }, *bias);
            *to = if panels.shifts_left { rescale.shift_left(sum) } else { sum };
        }
        row
    });
    for output in output.chunks_mut(2 * panels.channels) {
        if let (Some(a), Some(b)) = (rows.next(), rows.next()) {
            store(panels, &[a, b], output);
        }
    }
}

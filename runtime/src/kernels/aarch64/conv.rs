//! Convolution and fully connected layers: tiles of pixels or rows and one panel, whose sums stay in registers.

use super::panel::Panel;
use super::tile::{OVERREAD, PANEL, Tile, pack};
use crate::kernels::band::Band;
use crate::kernels::cast;
use crate::kernels::eights::{Blocks, EIGHT};
use crate::kernels::fill::Bands;
use crate::kernels::sweep::{Pixels, Taps};
use crate::kernels::{Layout, scalar};
use crate::ops::{Conv2d, Linear};

/// See [`crate::Kernels::conv2d`].
pub(super) fn conv2d<T: Tile>(op: &Conv2d<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let band = Band::of_conv2d(op);
    if !op.fits(input, output) || output.is_empty() || scratch.len() < band.bytes(1) {
        return;
    }
    match Taps::new(op, &band, 1).filter(|_| op.layout == Layout::N8K8) {
        // SAFETY: the table is given out only if the CPU has the features (`available`).
        Some(taps) => unsafe { multiply::<T>(op, &band, &taps, input, output, scratch) },
        // No panels, or dilated windows of odd numbers of channels.
        None => (scalar::KERNELS.conv2d)(op, input, output, scratch),
    }
}

/// See [`crate::Kernels::linear`].
pub(super) fn linear<T: Tile>(op: &Linear<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    if !op.fits(input, output) || output.is_empty() || scratch.len() < (T::ISA.scratch().linear)(op) {
        return;
    }
    let conv = op.as_conv2d();
    let taps = Taps::new(&conv, &Band::of_conv2d(&conv), 1).filter(|_| op.layout == Layout::N8K8);
    let Some(taps) = taps.filter(|taps| taps.groups.is_multiple_of(2)) else {
        return conv2d::<T>(&conv, input, output, scratch);
    };
    // A rest of few rows is computed as pixels are.
    let rows = if op.rows % EIGHT > EIGHT / 2 { op.rows } else { op.rows / EIGHT * EIGHT };
    let (input, last_input) = input.split_at(rows * op.inputs);
    let (output, last_output) = output.split_at_mut(rows * op.outputs);
    // SAFETY: the table is given out only if the CPU has the features (`available`).
    unsafe { multiply_blocks::<T>(op, &taps, input, output, scratch) };
    if rows < op.rows {
        let last = Linear { rows: op.rows - rows, ..*op };
        conv2d::<T>(&last.as_conv2d(), last_input, last_output, scratch);
    }
}

/// Some rows in blocks of eight, then their products.
#[target_feature(enable = "neon")]
fn multiply_blocks<T: Tile>(op: &Linear<'_>, taps: &Taps, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let Blocks { rows, len } = Blocks::of(op);
    let conv = op.as_conv2d();
    for (input, output) in input.chunks(rows * op.inputs).zip(output.chunks_mut(rows * op.outputs)) {
        for (input, block) in input.chunks(EIGHT * op.inputs).zip(scratch.chunks_exact_mut(EIGHT * len)) {
            pack::<T>(input, [op.inputs, op.inputs, input.len() / op.inputs], block);
        }
        for panel in 0..op.outputs.div_ceil(PANEL) {
            let panel = Panel::<T>::new(&conv, taps, panel);
            for (block, output) in scratch.chunks_exact(EIGHT * len).zip(output.chunks_mut(EIGHT * op.outputs)) {
                // SAFETY: the table is given out only if the CPU has the instruction set (`available`). A row of a block has as many
                // groups as a row of weights.
                let sums = unsafe {
                    T::rows::<false>(taps.groups / 2, panel.weights.as_ptr(), panel.bias, cast::i8s(block).as_ptr())
                };
                panel.store::<4, false>(sums, output);
            }
        }
    }
}

/// Band by band: a copy with its padding, then the products.
#[target_feature(enable = "neon")]
fn multiply<T: Tile>(op: &Conv2d<'_>, band: &Band, taps: &Taps, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let bands = Bands::of_conv2d(op, band, taps, OVERREAD, input);
    bands.each(
        scratch,
        output,
        |v| [v as u8],
        |pixels, values, output| {
            for panel in 0..op.output.channels.div_ceil(PANEL) {
                let panel = Panel::<T>::new(op, taps, panel);
                match op.residual {
                    None => strip::<T, false>(&panel, pixels, values, output),
                    Some(_) => strip::<T, true>(&panel, pixels, values, output),
                }
            }
        },
    );
}

/// All pixels of a band with one panel: the weights stay in the nearest cache. `ADD` says whether there is a residual.
#[target_feature(enable = "neon")]
fn strip<T: Tile, const ADD: bool>(panel: &Panel<'_, T>, mut pixels: Pixels, band: &[u8], mut output: &mut [i8]) {
    while !output.is_empty() {
        let count = output.len() / panel.channels;
        let done = match count {
            8.. if T::PAIRS >= 4 => tile::<T, 8, 4, ADD>(panel, &mut pixels, band, output),
            4.. if T::PAIRS >= 2 => tile::<T, 4, 2, ADD>(panel, &mut pixels, band, output),
            _ => tile::<T, 2, 1, ADD>(panel, &mut pixels, band, output),
        };
        output = &mut output[done.min(count) * panel.channels..];
    }
}

/// The next `PX` pixels, which are `N` pairs, or a last one by itself; returns `PX`.
#[inline]
#[target_feature(enable = "neon")]
fn tile<T: Tile, const PX: usize, const N: usize, const ADD: bool>(
    panel: &Panel<'_, T>,
    pixels: &mut Pixels,
    band: &[u8],
    output: &mut [i8],
) -> usize {
    let count = output.len() / panel.channels;
    let offsets = pixels.next::<PX>(if PX == 2 { count } else { PX });
    let mut starts = [[band.as_ptr(); 2]; N];
    for (start, at) in starts.as_flattened_mut().iter_mut().zip(offsets) {
        *start = band.as_ptr().wrapping_add(at);
    }
    // SAFETY: the table is given out only if the CPU has the instruction set (`available`). `Pixels::new` found that from each of its
    // offsets all groups of `taps` and the bytes after them lie inside the band; a panel of weights is as long as `taps` says.
    let sums = unsafe { T::sums::<N>(panel.taps, panel.weights.as_ptr(), panel.bias, &starts) };
    panel.store::<N, ADD>(sums, output);
    PX
}

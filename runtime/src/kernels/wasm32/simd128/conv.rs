//! Convolution and fully connected layers: tiles of three pixels and four channels whose sums stay in registers.

use core::arch::wasm32::*;

use super::requantize::{Eight, Range, Rescale, Sum, load, numbers, store};
use crate::kernels::band::Band;
use crate::kernels::fill::Bands;
use crate::kernels::sweep::{Pixels, Taps};
use crate::kernels::{Layout, scalar};
use crate::ops::{Conv2d, Linear};

/// Channels in a panel of weights.
const PANEL: usize = 8;

/// Pixels in a tile: with four channels, 12 of the 16 registers of x86-64 are sums.
const PIXELS: usize = 3;

/// See [`crate::Kernels::conv2d`].
pub(super) fn conv2d(op: &Conv2d<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let band = Band::of_conv2d(op);
    if !op.fits(input, output) || output.is_empty() || scratch.len() < band.bytes(1) {
        return;
    }
    match Taps::new(op, &band, 1).filter(|_| op.layout == Layout::N8K8) {
        Some(taps) => multiply(op, &band, &taps, input, output, scratch),
        // No panels, or dilated windows of odd numbers of channels.
        None => (scalar::KERNELS.conv2d)(op, input, output, scratch),
    }
}

/// See [`crate::Kernels::linear`].
pub(super) fn linear(op: &Linear<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    if op.fits(input, output) {
        conv2d(&op.as_conv2d(), input, output, scratch);
    }
}

/// Band by band: a copy with its padding, then the products.
fn multiply(op: &Conv2d<'_>, band: &Band, taps: &Taps, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let bands = Bands::of_conv2d(op, band, taps, 0, input);
    bands.each(
        scratch,
        output,
        |v| [v as u8],
        |pixels, values, output| {
            for panel in 0..op.output.channels.div_ceil(PANEL) {
                strip(&Panel::new(op, taps, panel), pixels, values, output);
            }
        },
    );
}

/// All pixels of a band with one panel.
fn strip(panel: &Panel<'_>, mut pixels: Pixels, band: &[u8], output: &mut [i8]) {
    for output in output.chunks_mut(PIXELS * panel.channels) {
        let starts = pixels.next::<PIXELS>(output.len() / panel.channels).map(|at| band.as_ptr().wrapping_add(at));
        // SAFETY: `Pixels::new` found that from each of its offsets all groups of `taps` lie inside the band.
        let sums = unsafe { [sums(panel, &starts, 0), sums(panel, &starts, 1)] };
        for (i, pixel) in output.chunks_exact_mut(panel.channels).enumerate() {
            let out = &mut pixel[panel.first..][..panel.len];
            let own = panel.range.pack(panel.rescale.apply([sums[0][i], sums[1][i]]));
            store(out, panel.residual.as_ref().map_or(own, |sum| sum.apply(own, load(out))));
        }
    }
}

/// What all tiles of a strip share.
struct Panel<'a> {
    taps: &'a Taps,
    weights: &'a [i8],
    bias: Eight,
    rescale: Rescale,
    range: Range,
    residual: Option<Sum>,
    /// Channels in an output pixel, the first of this panel, and how many this panel makes.
    channels: usize,
    first: usize,
    len: usize,
}

impl<'a> Panel<'a> {
    fn new(op: &Conv2d<'a>, taps: &'a Taps, panel: usize) -> Self {
        let first = panel * PANEL;
        Panel {
            taps,
            weights: &op.weights[panel * taps.panel()..][..taps.panel()],
            bias: numbers(&op.channels.bias[first..]),
            rescale: Rescale::load(&op.channels, first, PANEL),
            range: Range::new(op.range),
            residual: op.residual.as_ref().map(Sum::new),
            channels: op.output.channels,
            first,
            len: PANEL.min(op.output.channels - first),
        }
    }
}

/// Biases plus all products of one half of a panel's channels.
///
/// # Safety
///
/// From each of `starts` all groups of `panel.taps` must be readable.
#[inline]
unsafe fn sums(panel: &Panel<'_>, starts: &[*const u8; PIXELS], half: usize) -> [v128; PIXELS] {
    let taps = *panel.taps;
    let mut parts = [[i32x4_splat(0); 4]; PIXELS];
    let mut weights = panel.weights[32 * half..].as_ptr();
    for row in 0..taps.rows {
        for run in 0..taps.runs {
            let from = row * taps.row_step + run * taps.run_step;
            for group in 0..taps.groups {
                let mut values = [i32x4_splat(0); PIXELS];
                for (values, &start) in values.iter_mut().zip(starts) {
                    // SAFETY: this is the offset of a group of `taps`, so by the caller's promise its eight bytes are readable.
                    *values = unsafe { i16x8_load_extend_i8x8(start.add(from + 8 * group).cast()) };
                }
                for channel in 0..4 {
                    // SAFETY: a panel of weights has `rows * runs * groups` groups, and this loop takes half of one each time.
                    let weights = unsafe { i16x8_load_extend_i8x8(weights.add(8 * channel)) };
                    for (parts, &values) in parts.iter_mut().zip(&values) {
                        parts[channel] = i32x4_add(parts[channel], i32x4_dot_i16x8(values, weights));
                    }
                }
                weights = weights.wrapping_add(taps.weights);
            }
        }
    }
    parts.map(|parts| i32x4_add(panel.bias[half], joined(parts)))
}

/// The sum of each vector.
#[inline]
fn joined([a, b, c, d]: [v128; 4]) -> v128 {
    let ab = i32x4_add(i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b));
    let cd = i32x4_add(i32x4_shuffle::<0, 4, 1, 5>(c, d), i32x4_shuffle::<2, 6, 3, 7>(c, d));
    i32x4_add(i64x2_shuffle::<0, 2>(ab, cd), i64x2_shuffle::<1, 3>(ab, cd))
}

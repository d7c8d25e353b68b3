//! Convolution and fully connected layers: tiles of three pixels and one panel whose sums stay in registers.

use core::arch::x86_64::*;

use super::requantize::{Range, Rescale, Sum, Wide, load, store};
use crate::kernels::band::Band;
use crate::kernels::fill::Bands;
use crate::kernels::sweep::{Pixels, Taps};
use crate::kernels::x86_64::{GROUP, PANEL};
use crate::kernels::{Layout, scalar};
use crate::ops::{Conv2d, Linear};

/// Pixels in a tile: 12 of the 16 registers are sums.
const PIXELS: usize = 3;

/// The sums of a panel: four channels a register, two sums a channel.
type Sums = [__m256i; 4];

/// See [`crate::Kernels::conv2d`].
pub(super) fn conv2d(op: &Conv2d<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let band = Band::of_conv2d(op);
    if !op.fits(input, output) || output.is_empty() || scratch.len() < band.bytes(2) {
        return;
    }
    match Taps::new(op, &band, 2).filter(|_| op.layout == Layout::N16K4) {
        // SAFETY: the table is given out only if the CPU has the features (`available`).
        Some(taps) => unsafe { multiply(op, &band, &taps, input, output, scratch) },
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

/// Band by band: a copy in 16 bits with the layout's 128 added, then the products.
#[target_feature(enable = "avx2")]
fn multiply(op: &Conv2d<'_>, band: &Band, taps: &Taps, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let bands = Bands::of_conv2d(op, band, taps, 0, input);
    let convert = |v| ((v as u8 ^ 0x80) as u16).to_le_bytes();
    bands.each(scratch, output, convert, |pixels, values, output| {
        for panel in 0..op.output.channels.div_ceil(PANEL) {
            strip(&Panel::new(op, taps, panel), pixels, values, output);
        }
    });
}

/// All pixels of a band with one panel.
#[target_feature(enable = "avx2")]
fn strip(panel: &Panel<'_>, mut pixels: Pixels, band: &[u8], output: &mut [i8]) {
    for output in output.chunks_mut(PIXELS * panel.channels) {
        let starts = pixels.next::<PIXELS>(output.len() / panel.channels).map(|at| band.as_ptr().wrapping_add(at));
        // SAFETY: `Pixels::new` found that from each of its offsets all groups of `taps` lie inside the band.
        let sums = unsafe { sums(panel, &starts) };
        for (pixel, sums) in output.chunks_exact_mut(panel.channels).zip(sums) {
            let out = &mut pixel[panel.first..][..panel.len];
            let own = panel.range.pack(panel.rescale.apply(joined(sums)));
            store(out, panel.residual.as_ref().map_or(own, |sum| sum.apply(own, load(out))));
        }
    }
}

/// What all tiles of a strip share.
struct Panel<'a> {
    taps: &'a Taps,
    weights: &'a [i8],
    bias: Sums,
    rescale: Rescale,
    range: Range,
    residual: Option<Sum>,
    /// Channels in an output pixel, the first of this panel, and how many this panel makes.
    channels: usize,
    first: usize,
    len: usize,
}

impl<'a> Panel<'a> {
    #[target_feature(enable = "avx2")]
    fn new(op: &Conv2d<'a>, taps: &'a Taps, panel: usize) -> Self {
        let first = panel * PANEL;
        let mut bias = [_mm256_setzero_si256(); 4];
        for (sums, bias) in bias.iter_mut().zip(op.channels.bias[first..][..PANEL].chunks_exact(4)) {
            // SAFETY: four biases. The first sum of a channel begins with its bias, the second with 0.
            *sums = _mm256_cvtepu32_epi64(unsafe { _mm_loadu_si128(bias.as_ptr().cast()) });
        }
        Panel {
            taps,
            weights: &op.weights[panel * taps.panel()..][..taps.panel()],
            bias,
            rescale: Rescale::load(&op.channels, first, PANEL),
            range: Range::new(op.range),
            residual: op.residual.as_ref().map(|add| Sum::new(add)),
            channels: op.output.channels,
            first,
            len: PANEL.min(op.output.channels - first),
        }
    }
}

/// Biases plus all products.
///
/// # Safety
///
/// From each of `starts` all groups of `panel.taps` must be readable.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn sums(panel: &Panel<'_>, starts: &[*const u8; PIXELS]) -> [Sums; PIXELS] {
    let taps = *panel.taps;
    let mut sums = [panel.bias; PIXELS];
    let mut weights = panel.weights.as_ptr();
    for row in 0..taps.rows {
        for run in 0..taps.runs {
            let from = row * taps.row_step + run * taps.run_step;
            let mut at = from;
            while at < from + taps.groups * 8 {
                let mut values = [_mm256_setzero_si256(); PIXELS];
                for (values, &start) in values.iter_mut().zip(starts) {
                    // SAFETY: `at` is the offset of a group of `taps`, so by the caller's promise its eight bytes are readable.
                    *values = _mm256_set1_epi64x(unsafe { start.add(at).cast::<i64>().read_unaligned() });
                }
                for quarter in 0..4 {
                    // SAFETY: a panel of weights has `rows * runs * groups` groups, and this loop takes one each time.
                    let weights = _mm256_cvtepi8_epi16(unsafe { _mm_loadu_si128(weights.add(quarter * 16).cast()) });
                    for (sums, &values) in sums.iter_mut().zip(&values) {
                        sums[quarter] = _mm256_add_epi32(sums[quarter], _mm256_madd_epi16(values, weights));
                    }
                }
                // SAFETY: as before; after the last group this is the end.
                weights = unsafe { weights.add(GROUP) };
                at += 8;
            }
        }
    }
    sums
}

/// Adds up the two sums of each channel.
#[inline]
#[target_feature(enable = "avx2")]
fn joined([a, b, c, d]: Sums) -> Wide {
    // Quarters come in the order 0, 2, 1, 3.
    [
        _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(a, b)),
        _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_hadd_epi32(c, d)),
    ]
}

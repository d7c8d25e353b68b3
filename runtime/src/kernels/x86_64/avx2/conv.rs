//! Convolution and fully connected layers: tiles of some pixels and one panel whose sums stay in registers.

use super::requantize::{Range, Rescale, Sum, load, store};
use super::tile::Tile;
use crate::kernels::band::Band;
use crate::kernels::fill::Bands;
use crate::kernels::sweep::{Pixels, Taps};
use crate::kernels::x86_64::{GROUP, PANEL};
use crate::kernels::{Layout, scalar};
use crate::ops::{Conv2d, Linear};

/// See [`crate::Kernels::conv2d`].
pub(in crate::kernels::x86_64) fn conv2d<T: Tile<SIZE>, const SIZE: usize>(
    op: &Conv2d<'_>,
    input: &[i8],
    output: &mut [i8],
    scratch: &mut [u8],
) {
    let band = Band::of_conv2d(op);
    if !op.fits(input, output) || output.is_empty() || scratch.len() < band.bytes(SIZE) {
        return;
    }
    match Taps::new(op, &band, SIZE).filter(|_| op.layout == Layout::N16K4) {
        // SAFETY: the table is given out only if the CPU has the features (`available`).
        Some(taps) => unsafe { multiply::<T, SIZE>(op, &band, &taps, input, output, scratch) },
        // No panels, or dilated windows of odd numbers of channels.
        None => (scalar::KERNELS.conv2d)(op, input, output, scratch),
    }
}

/// See [`crate::Kernels::linear`].
pub(in crate::kernels::x86_64) fn linear<T: Tile<SIZE>, const SIZE: usize>(
    op: &Linear<'_>,
    input: &[i8],
    output: &mut [i8],
    scratch: &mut [u8],
) {
    if op.fits(input, output) {
        conv2d::<T, SIZE>(&op.as_conv2d(), input, output, scratch);
    }
}

/// Band by band: a copy with the layout's 128 added, then the products.
#[target_feature(enable = "avx2")]
fn multiply<T: Tile<SIZE>, const SIZE: usize>(
    op: &Conv2d<'_>,
    band: &Band,
    taps: &Taps,
    input: &[i8],
    output: &mut [i8],
    scratch: &mut [u8],
) {
    let bands = Bands::of_conv2d(op, band, taps, 0, input);
    bands.each(scratch, output, T::value, |pixels, values, output| {
        for panel in 0..op.output.channels.div_ceil(PANEL) {
            strip(&Panel::<T, SIZE>::new(op, taps, panel), pixels, values, output);
        }
    });
}

/// All pixels of a band with one panel.
#[target_feature(enable = "avx2")]
fn strip<T: Tile<SIZE>, const SIZE: usize>(
    panel: &Panel<'_, T, SIZE>,
    mut pixels: Pixels,
    band: &[u8],
    mut output: &mut [i8],
) {
    while !output.is_empty() {
        let count = output.len() / panel.channels;
        let done = match count {
            4.. if T::PIXELS >= 6 => tile::<6, T, SIZE>(panel, &mut pixels, band, output),
            2.. => tile::<3, T, SIZE>(panel, &mut pixels, band, output),
            _ => tile::<1, T, SIZE>(panel, &mut pixels, band, output),
        };
        output = &mut output[done * panel.channels..];
    }
}

/// The next `PX` pixels, or what is left of them; returns how many these were.
#[inline]
#[target_feature(enable = "avx2")]
fn tile<const PX: usize, T: Tile<SIZE>, const SIZE: usize>(
    panel: &Panel<'_, T, SIZE>,
    pixels: &mut Pixels,
    band: &[u8],
    output: &mut [i8],
) -> usize {
    let count = PX.min(output.len() / panel.channels);
    let starts = pixels.next::<PX>(count).map(|at| band.as_ptr().wrapping_add(at));
    // SAFETY: `Pixels::new` found that from each of its offsets all groups of `taps` lie inside the band.
    let sums = unsafe { sums(panel, &starts) };
    for (pixel, sums) in output.chunks_exact_mut(panel.channels).zip(sums) {
        let out = &mut pixel[panel.first..][..panel.len];
        // SAFETY: the table is given out only if the CPU has the features (`available`).
        let own = panel.range.pack(panel.rescale.apply(unsafe { T::join(sums) }));
        store(out, panel.residual.as_ref().map_or(own, |sum| sum.apply(own, load(out))));
    }
    count
}

/// What all tiles of a strip share.
struct Panel<'a, T: Tile<SIZE>, const SIZE: usize> {
    taps: &'a Taps,
    weights: &'a [i8],
    bias: T::Sums,
    rescale: Rescale,
    range: Range,
    residual: Option<Sum>,
    /// Channels in an output pixel, the first of this panel, and how many this panel makes.
    channels: usize,
    first: usize,
    len: usize,
}

impl<'a, T: Tile<SIZE>, const SIZE: usize> Panel<'a, T, SIZE> {
    #[target_feature(enable = "avx2")]
    fn new(op: &Conv2d<'a>, taps: &'a Taps, panel: usize) -> Self {
        let first = panel * PANEL;
        let mut bias = [0; PANEL];
        bias.copy_from_slice(&op.channels.bias[first..][..PANEL]);
        Panel {
            taps,
            weights: &op.weights[panel * taps.panel()..][..taps.panel()],
            // SAFETY: the table is given out only if the CPU has the features (`available`).
            bias: unsafe { T::begin(&bias) },
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
unsafe fn sums<const PX: usize, T: Tile<SIZE>, const SIZE: usize>(
    panel: &Panel<'_, T, SIZE>,
    starts: &[*const u8; PX],
) -> [T::Sums; PX] {
    let taps = *panel.taps;
    let mut sums = [panel.bias; PX];
    let mut weights = panel.weights.as_ptr();
    for row in 0..taps.rows {
        for run in 0..taps.runs {
            let from = row * taps.row_step + run * taps.run_step;
            let mut at = from;
            while at < from + taps.groups * 4 * SIZE {
                // SAFETY: `at` is the offset of a group of `taps`, so by the caller's promise it is readable. A panel of weights has
                // `rows * runs * groups` groups, and this loop takes one each time.
                unsafe {
                    T::add_group(&mut sums, starts, at, weights);
                    weights = weights.add(GROUP);
                }
                at += 4 * SIZE;
            }
        }
    }
    sums
}

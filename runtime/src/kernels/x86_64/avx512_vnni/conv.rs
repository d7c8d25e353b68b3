//! Convolution and fully connected layers: tiles of pixels and panels whose sums stay in registers.

use core::arch::x86_64::*;

use super::requantize::{Range, Rescale, Sum, first, parts};
use crate::kernels::band::Band;
use crate::kernels::fill::Bands;
use crate::kernels::sweep::{Pixels, Taps};
use crate::kernels::x86_64::{GROUP, PANEL};
use crate::kernels::{Layout, scalar};
use crate::ops::{Conv2d, Linear};

/// See [`crate::Kernels::conv2d`].
pub(super) fn conv2d(op: &Conv2d<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let band = Band::of_conv2d(op);
    if !op.fits(input, output) || output.is_empty() || scratch.len() < band.bytes(1) {
        return;
    }
    match Taps::new(op, &band, 1).filter(|_| op.layout == Layout::N16K4) {
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

/// Band by band: a copy with 128 added, which makes all values unsigned, then the products.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn multiply(op: &Conv2d<'_>, band: &Band, taps: &Taps, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let bands = Bands::of_conv2d(op, band, taps, 0, input);
    bands.each(scratch, output, |v| [v as u8 ^ 0x80], |pixels, values, output| sweep(op, taps, pixels, values, output));
}

/// All pixels of a band with some panels, then with the next: the weights stay in the nearest cache.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn sweep(op: &Conv2d<'_>, taps: &Taps, pixels: Pixels, band: &[u8], output: &mut [i8]) {
    let count = output.len() / op.output.channels;
    let panels = op.output.channels.div_ceil(PANEL);
    let mut panel = 0;
    while panel < panels {
        panel += match panels - panel {
            _ if count == 1 => strip::<4>(op, taps, pixels, band, output, panel),
            1 => strip::<1>(op, taps, pixels, band, output, panel),
            _ => strip::<2>(op, taps, pixels, band, output, panel),
        }
    }
}

/// All pixels of a band with `P` panels from `panel` on; returns `P`.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn strip<const P: usize>(
    op: &Conv2d<'_>,
    taps: &Taps,
    mut pixels: Pixels,
    band: &[u8],
    output: &mut [i8],
    panel: usize,
) -> usize {
    let panels = Panels::<P>::new(op, taps, panel);
    let count = output.len() / op.output.channels;
    let mut done = 0;
    while done < count {
        // 28 of the 32 registers are sums, where there is so much to do; an odd rest is filled up with repeated pixels.
        done += match (P, count - done) {
            (4, _) => tile::<1, P>(&panels, &mut pixels, band, output, done),
            (2, 13..) => tile::<14, P>(&panels, &mut pixels, band, output, done),
            (1, 9..) => tile::<12, P>(&panels, &mut pixels, band, output, done),
            (_, 5..) => tile::<8, P>(&panels, &mut pixels, band, output, done),
            _ => tile::<4, P>(&panels, &mut pixels, band, output, done),
        }
    }
    P
}

/// What all tiles of a strip share.
pub(in crate::kernels::x86_64) struct Panels<'a, const P: usize> {
    taps: &'a Taps,
    pub(in crate::kernels::x86_64) weights: [&'a [i8]; P],
    pub(in crate::kernels::x86_64) bias: [__m512i; P],
    pub(in crate::kernels::x86_64) rescale: [Rescale; P],
    pub(in crate::kernels::x86_64) shifts_left: bool,
    range: Range,
    residual: Option<Residual>,
    /// Channels in an output pixel, the first that this strip makes, and which of each panel exist.
    pub(in crate::kernels::x86_64) channels: usize,
    first: usize,
    masks: [__mmask16; P],
}

/// A sum with what the output holds.
struct Residual {
    sum: Sum,
    zero: __m512i,
    lo: __m512i,
    hi: __m512i,
}

impl<'a, const P: usize> Panels<'a, P> {
    /// Panels beyond the last are the last again, with an empty mask.
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    pub(in crate::kernels::x86_64) fn new(op: &Conv2d<'a>, taps: &'a Taps, panel: usize) -> Self {
        let channels = op.output.channels;
        let last = channels.div_ceil(PANEL) - 1;
        let mut this = Panels {
            taps,
            weights: [&[]; P],
            bias: [_mm512_setzero_si512(); P],
            rescale: [Rescale::splat(0, 0); P],
            shifts_left: false,
            range: Range::new(op.range),
            residual: None,
            channels,
            first: panel * PANEL,
            masks: [0; P],
        };
        for p in 0..P {
            let own = (panel + p).min(last);
            this.weights[p] = &op.weights[own * taps.panel()..][..taps.panel()];
            let bias = &op.channels.bias[own * PANEL..][..PANEL];
            // SAFETY: sixteen biases.
            this.bias[p] = unsafe { _mm512_loadu_si512(bias.as_ptr().cast()) };
            this.rescale[p] = Rescale::load(&op.channels, own * PANEL, PANEL);
            this.shifts_left |= this.rescale[p].shifts_left;
            this.masks[p] = first(channels.saturating_sub((panel + p) * PANEL));
        }
        if let Some(add) = &op.residual {
            this.residual = Some(Residual {
                sum: Sum::new(add),
                zero: _mm512_set1_epi32(op.range.zero as i32),
                lo: _mm512_set1_epi32(op.range.lo as i32),
                hi: _mm512_set1_epi32(op.range.hi as i32),
            });
        }
        this
    }
}

/// The next `PX` pixels, or what is left of them, from output number `done` on; returns how many these were.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn tile<const PX: usize, const P: usize>(
    panels: &Panels<'_, P>,
    pixels: &mut Pixels,
    band: &[u8],
    output: &mut [i8],
    done: usize,
) -> usize {
    let count = PX.min(output.len() / panels.channels - done);
    let starts = pixels.next::<PX>(count).map(|at| band.as_ptr().wrapping_add(at));
    // SAFETY: `Pixels::new` found that from each of its offsets all groups of `taps` lie inside the band.
    let mut sums = unsafe { sums::<PX, P>(panels, &starts) };
    if panels.shifts_left {
        for sums in &mut sums {
            for (sum, rescale) in sums.iter_mut().zip(&panels.rescale) {
                *sum = rescale.shift_left(*sum);
            }
        }
    }
    store(panels, &sums, &mut output[done * panels.channels..][..count * panels.channels]);
    count
}

/// Biases plus all products.
///
/// # Safety
///
/// From each of `starts` all groups of `panels.taps` must be readable.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
unsafe fn sums<const PX: usize, const P: usize>(
    panels: &Panels<'_, P>,
    starts: &[*const u8; PX],
) -> [[__m512i; P]; PX] {
    let taps = *panels.taps;
    let mut sums = [panels.bias; PX];
    let mut weights = [core::ptr::null(); P];
    for (pointer, weights) in weights.iter_mut().zip(&panels.weights) {
        *pointer = weights.as_ptr();
    }
    for row in 0..taps.rows {
        for run in 0..taps.runs {
            let from = row * taps.row_step + run * taps.run_step;
            let mut at = from;
            while at < from + taps.groups * 4 {
                let mut group = [_mm512_setzero_si512(); P];
                for (group, pointer) in group.iter_mut().zip(&mut weights) {
                    // SAFETY: a panel of weights has `rows * runs * groups` groups, and this loop takes one each time.
                    unsafe {
                        *group = _mm512_loadu_si512(pointer.cast());
                        *pointer = pointer.add(GROUP);
                    }
                }
                for (sums, &start) in sums.iter_mut().zip(starts) {
                    // SAFETY: `at` is the offset of a group of `taps`, so by the caller's promise its four bytes are readable.
                    let values = unsafe { start.add(at).cast::<i32>().read_unaligned() };
                    let values = _mm512_set1_epi32(values);
                    for (sum, &group) in sums.iter_mut().zip(&group) {
                        *sum = _mm512_dpbusd_epi32(*sum, values, group);
                    }
                }
                at += 4;
            }
        }
    }
    sums
}

/// Requantizes the sums of a tile and stores those of its pixels that `output` holds.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
pub(in crate::kernels::x86_64) fn store<const PX: usize, const P: usize>(
    panels: &Panels<'_, P>,
    sums: &[[__m512i; P]; PX],
    output: &mut [i8],
) {
    let end = output.len();
    let output = output.as_mut_ptr();
    for four in 0..PX * P / 4 {
        let mut values = [_mm512_setzero_si512(); 4];
        let mut places = [0; 4];
        for (i, (value, place)) in values.iter_mut().zip(&mut places).enumerate() {
            let [pixel, panel] = [(four * 4 + i) / P, (four * 4 + i) % P];
            *value = panels.rescale[panel].apply(sums[pixel][panel]);
            *place = pixel * panels.channels + panels.first + panel * PANEL;
        }
        let bytes = match &panels.residual {
            None => panels.range.pack(values),
            Some(residual) => {
                for (i, value) in values.iter_mut().enumerate() {
                    let mask = if places[i] < end { panels.masks[(four * 4 + i) % P] } else { 0 };
                    // SAFETY: a pixel that begins inside `output` ends there too, and the mask ends with the pixel.
                    let held = unsafe { _mm_maskz_loadu_epi8(mask, output.wrapping_add(places[i])) };
                    let own = _mm512_add_epi32(*value, residual.zero);
                    let own = _mm512_min_epi32(_mm512_max_epi32(own, residual.lo), residual.hi);
                    *value = residual.sum.apply(own, _mm512_cvtepi8_epi32(held));
                }
                residual.sum.range.pack(values)
            }
        };
        for (i, part) in parts(bytes).into_iter().enumerate() {
            if places[i] < end {
                // SAFETY: as for the load.
                unsafe { _mm_mask_storeu_epi8(output.wrapping_add(places[i]), panels.masks[(four * 4 + i) % P], part) };
            }
        }
    }
}

//! Convolution and fully connected layers: tiles of neighbouring pixels, whose values a tile loads from where they lie in a band.

use super::strip::{Grid, strip};
use super::tile::{Tiles, Walk};
use crate::kernels::Layout;
use crate::kernels::band::Band;
use crate::kernels::fill::Bands;
use crate::kernels::sweep::Taps;
use crate::kernels::x86_64::PANEL;
use crate::kernels::x86_64::avx512_vnni::{self, Panels};
use crate::ops::{Conv2d, Linear};

/// Tiles of fewer pixels are slower than AVX-512.
const FEWEST: usize = 5;

/// See [`crate::Kernels::conv2d`].
pub(super) fn conv2d(op: &Conv2d<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    let band = Band::of_tiles(op);
    if !op.fits(input, output) || output.is_empty() || scratch.len() < band.bytes(1) {
        return;
    }
    let taps = Taps::new(op, &band, 1).filter(|_| op.layout == Layout::N16K4);
    let walk = taps.as_ref().and_then(Walk::of).filter(|_| grid(op, &band, op.output.height).pixels >= FEWEST);
    match (taps, walk) {
        // SAFETY: the table is given out only if the CPU has the features and the system grants tiles (`available`).
        (Some(taps), Some(walk)) => unsafe { multiply(op, &band, &taps, walk, input, output, scratch) },
        // No panels, taps apart, kernel rows that are no whole number of steps, or few pixels in a row.
        _ => (avx512_vnni::KERNELS.conv2d)(op, input, output, scratch),
    }
}

/// See [`crate::Kernels::linear`].
pub(super) fn linear(op: &Linear<'_>, input: &[i8], output: &mut [i8], scratch: &mut [u8]) {
    if op.fits(input, output) {
        conv2d(&op.as_conv2d(), input, output, scratch);
    }
}

/// The pixels of a band that serves `rows` rows of outputs.
fn grid(op: &Conv2d<'_>, band: &Band, rows: usize) -> Grid {
    let columns = op.output.width;
    let [down, right] = [band.step[0] * band.row(), band.step[1] * band.pixel];
    // Where windows are single pixels side by side, each row goes on where the last one ended.
    if down == columns * right {
        Grid::new(1, rows * columns, [0, right])
    } else {
        Grid::new(rows, columns, [down, right])
    }
}

/// Band by band: a copy with 128 added, which makes all values unsigned, then the products.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn multiply(
    op: &Conv2d<'_>,
    band: &Band,
    taps: &Taps,
    walk: Walk,
    input: &[i8],
    output: &mut [i8],
    scratch: &mut [u8],
) {
    let panels = op.output.channels.div_ceil(PANEL);
    let bands = Bands::of_conv2d(op, band, taps, 0, input);
    bands.each(
        scratch,
        output,
        |v| [v as u8 ^ 0x80],
        |_, values, output| {
            let grid = grid(op, band, output.len() / (op.output.width * op.output.channels));
            // SAFETY: the caller has tiles.
            let tiles = unsafe { Tiles::new(grid.pixels, walk) };
            let mut panel = 0;
            while panel < panels {
                // SAFETY: there is a band only if it has all groups of `taps` of all its pixels, and the walk goes through these.
                panel += unsafe {
                    match panels - panel {
                        1 => strip::<4, 1>(&Panels::<1>::new(op, taps, panel), &tiles, &grid, values, output),
                        _ => strip::<2, 2>(&Panels::<2>::new(op, taps, panel), &tiles, &grid, values, output),
                    }
                };
            }
        },
    );
}

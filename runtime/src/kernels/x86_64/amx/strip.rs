//! Some panels of weights with all pixels of a band: tiles of neighbouring pixels, two by two, then their requantization.

use core::arch::x86_64::*;

use super::tile::{ROWS, Sums, Tile, Tiles};
use crate::kernels::x86_64::avx512_vnni::{Panels, store};

/// Pixels in rows, of which tiles take some neighbouring ones each.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    /// Pixels in a row, and bytes from the values of one to those of the next.
    columns: usize,
    pitch: usize,
    /// Bytes from a row's first values to the next one's.
    row_pitch: usize,
    /// Tiles, all in all and in a row, and the pixels in each.
    tiles: usize,
    across: usize,
    pub(super) pixels: usize,
}

impl Grid {
    /// `columns` is not 0.
    pub(super) fn new(rows: usize, columns: usize, [row_pitch, pitch]: [usize; 2]) -> Grid {
        let across = columns.div_ceil(ROWS);
        Grid { columns, pitch, row_pitch, tiles: rows * across, across, pixels: columns.div_ceil(across) }
    }

    /// Tile number `i`; behind the last it is the last again.
    fn place(&self, i: usize) -> Place {
        let i = i.min(self.tiles - 1);
        let [row, first] = [i / self.across, i % self.across * self.pixels];
        // The last tile of a row begins early enough to be whole.
        let column = first.min(self.columns - self.pixels);
        Place {
            values: row * self.row_pitch + column * self.pitch,
            pixel: row * self.columns + first,
            skip: first - column,
        }
    }
}

/// Where a tile is.
struct Place {
    /// Its first value.
    values: usize,
    /// The first pixel that it is to compute, and how many it computes before that which are another's.
    pixel: usize,
    skip: usize,
}

/// All pixels of `grid`, whose values begin in `band`, with `P` panels, 1 or 2; returns `P`. `PX` pixels are requantized together.
///
/// # Safety
///
/// All values of all pixels of the grid are in `band`; `tiles` were set up for `grid.pixels`, and for a walk through the panels.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
pub(super) unsafe fn strip<const PX: usize, const P: usize>(
    panels: &Panels<'_, P>,
    tiles: &Tiles,
    grid: &Grid,
    band: &[u8],
    output: &mut [i8],
) -> usize {
    let mut sums = Sums([[[0; ROWS]; ROWS]; 4]);
    for pair in (0..grid.tiles).step_by(2) {
        let places = [pair, pair + 1].map(|i| grid.place(i));
        let values = [0, 1].map(|i| band.as_ptr().wrapping_add(places[i].values));
        // SAFETY: the caller's.
        unsafe {
            match panels.weights[..] {
                [a, b] => tiles.multiply(values, grid.pitch, [a.as_ptr(), b.as_ptr()], &mut sums),
                [a, ..] => tiles.multiply_one(values, grid.pitch, a.as_ptr(), &mut sums),
                [] => (),
            }
        }
        let [a, b, c, d] = &sums.0;
        for (place, tiles) in places.iter().zip([[a, b], [c, d]]).take(grid.tiles - pair) {
            let end = (place.pixel + grid.pixels - place.skip) * panels.channels;
            finish::<PX, P>(panels, tiles, place.skip, &mut output[place.pixel * panels.channels..end]);
        }
    }
    P
}

/// Requantizes and stores the rows of sums from `skip` on, of each panel's tile, that `output` holds, `PX` at a time.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn finish<const PX: usize, const P: usize>(panels: &Panels<'_, P>, tiles: [&Tile; 2], skip: usize, output: &mut [i8]) {
    for (chunk, output) in output.chunks_mut(PX * panels.channels).enumerate() {
        let mut pixels = [[_mm512_setzero_si512(); P]; PX];
        for (i, pixel) in pixels.iter_mut().enumerate() {
            let row = (skip + PX * chunk + i) % ROWS;
            for (p, sum) in pixel.iter_mut().enumerate() {
                // SAFETY: sixteen sums. Those behind the last pixel are stored nowhere.
                let own = unsafe { _mm512_loadu_si512(tiles[p % 2][row].as_ptr().cast()) };
                let own = _mm512_add_epi32(own, panels.bias[p]);
                *sum = if panels.shifts_left { panels.rescale[p].shift_left(own) } else { own };
            }
        }
        store(panels, &pixels, output);
    }
}

//! The instructions of AMX: set up tiles, multiply, give them back.

use core::arch::asm;

use crate::kernels::sweep::Taps;
use crate::kernels::x86_64::GROUP;

/// Bytes of a row of a tile.
const ROW: usize = 64;

/// Rows of a tile.
pub(super) const ROWS: usize = 16;

/// Sums of a tile: a row for each pixel, one for each channel of a panel.
pub(super) type Tile = [[i32; ROWS]; ROWS];

/// Sums of a block, two tiles of pixels by two panels: for the first pixels those of the first panel, then those of the second, then
/// for the other pixels.
#[repr(C, align(64))]
pub(super) struct Sums(pub(super) [Tile; 4]);

/// How the products of a pixel follow on one another: kernel rows, each in steps of as many products as a tile's rows hold.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Walk {
    rows: usize,
    /// In a kernel row; all are of one size.
    steps: usize,
    /// Bytes of a step, of values and of a panel's weights.
    values: usize,
    weights: usize,
    /// Bytes from a kernel row's last step on to the next one's first.
    down: usize,
}

impl Walk {
    /// `None` if a kernel row's taps are apart, or its products do not come in steps of one size that fill at least a third of a tile.
    pub(super) fn of(taps: &Taps) -> Option<Walk> {
        const MOST: usize = ROW / 4;
        let fewest = taps.groups.div_ceil(MOST).max(1);
        let steps = (fewest..=2 * fewest).find(|&steps| taps.groups.is_multiple_of(steps))?;
        let groups = taps.groups / steps;
        let fits = taps.runs == 1 && taps.rows > 0 && groups > MOST / 3;
        let values = groups * taps.group;
        let down = taps.row_step.wrapping_sub(steps * values);
        fits.then_some(Walk { rows: taps.rows, steps, values, weights: groups * GROUP, down })
    }
}

/// The shapes of eight tiles, in palette 1.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

const _: () = assert!(size_of::<Config>() == 64);

/// Tiles in use by this thread, until it is dropped: four of sums, two of values, two of weights.
pub(super) struct Tiles {
    walk: Walk,
}

impl Tiles {
    /// Sets up tiles for so many pixels, 1 to [`ROWS`].
    ///
    /// # Safety
    ///
    /// The CPU has AMX, and the system lets this process use it.
    pub(super) unsafe fn new(pixels: usize, walk: Walk) -> Tiles {
        let mut config = Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        for tile in 0..8 {
            let values = tile == 4 || tile == 5;
            config.row_bytes[tile] = if values { walk.values } else { ROW } as u16;
            config.rows[tile] = if tile < 6 { pixels } else { walk.values / 4 } as u8;
        }
        // SAFETY: the caller's; the configuration has 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly, preserves_flags)) }
        Tiles { walk }
    }

    /// Sums of the products of two tiles of pixels with two panels of weights.
    ///
    /// # Safety
    ///
    /// At each of `values` begins the first of as many pixels as the tiles were set up for, `pitch` bytes apart, each with all values of
    /// the walk, and both of `weights` have all its weights.
    #[inline]
    pub(super) unsafe fn multiply(
        &self,
        values: [*const u8; 2],
        pitch: usize,
        weights: [*const i8; 2],
        sums: &mut Sums,
    ) {
        // SAFETY: reads what the caller says is there, and writes up to four tiles of 1024 bytes to `sums`.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "mov {steps}, [{walk} + 8]",
                "3:",
                "tileloadd tmm4, [{first} + {pitch}]",
                "tileloadd tmm6, [{a} + {row}]",
                "tileloadd tmm7, [{b} + {row}]",
                "tdpbusd tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{second} + {pitch}]",
                "tdpbusd tmm1, tmm4, tmm7",
                "tdpbusd tmm2, tmm5, tmm6",
                "tdpbusd tmm3, tmm5, tmm7",
                "add {first}, [{walk} + 16]",
                "add {second}, [{walk} + 16]",
                "add {a}, [{walk} + 24]",
                "add {b}, [{walk} + 24]",
                "dec {steps}",
                "jnz 3b",
                "add {first}, [{walk} + 32]",
                "add {second}, [{walk} + 32]",
                "dec {rows}",
                "jnz 2b",
                "tilestored [{sums} + {row}], tmm0",
                "tilestored [{sums} + {row} + 1024], tmm1",
                "tilestored [{sums} + {row} + 2048], tmm2",
                "tilestored [{sums} + {row} + 3072], tmm3",
                first = inout(reg) values[0] => _,
                second = inout(reg) values[1] => _,
                pitch = in(reg) pitch,
                a = inout(reg) weights[0] => _,
                b = inout(reg) weights[1] => _,
                row = in(reg) ROW,
                walk = in(reg) &raw const self.walk,
                rows = inout(reg) self.walk.rows => _,
                steps = out(reg) _,
                sums = in(reg) &raw mut sums.0,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack)
            );
        }
    }

    /// As [`multiply`](Self::multiply) with one panel: the sums are those of tiles 0 and 2.
    ///
    /// # Safety
    ///
    /// As there.
    #[inline]
    pub(super) unsafe fn multiply_one(
        &self,
        values: [*const u8; 2],
        pitch: usize,
        weights: *const i8,
        sums: &mut Sums,
    ) {
        // SAFETY: as above.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm2",
                "2:",
                "mov {steps}, [{walk} + 8]",
                "3:",
                "tileloadd tmm4, [{first} + {pitch}]",
                "tileloadd tmm6, [{a} + {row}]",
                "tileloadd tmm5, [{second} + {pitch}]",
                "tdpbusd tmm0, tmm4, tmm6",
                "tdpbusd tmm2, tmm5, tmm6",
                "add {first}, [{walk} + 16]",
                "add {second}, [{walk} + 16]",
                "add {a}, [{walk} + 24]",
                "dec {steps}",
                "jnz 3b",
                "add {first}, [{walk} + 32]",
                "add {second}, [{walk} + 32]",
                "dec {rows}",
                "jnz 2b",
                "tilestored [{sums} + {row}], tmm0",
                "tilestored [{sums} + {row} + 2048], tmm2",
                first = inout(reg) values[0] => _,
                second = inout(reg) values[1] => _,
                pitch = in(reg) pitch,
                a = inout(reg) weights => _,
                row = in(reg) ROW,
                walk = in(reg) &raw const self.walk,
                rows = inout(reg) self.walk.rows => _,
                steps = out(reg) _,
                sums = in(reg) &raw mut sums.0,
                out("tmm0") _, out("tmm2") _, out("tmm4") _, out("tmm5") _, out("tmm6") _,
                options(nostack)
            );
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // A state that is not in use need not be saved.
        // SAFETY: tiles were set up, so the instruction is there.
        unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) }
    }
}

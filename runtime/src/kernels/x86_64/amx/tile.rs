//! The instructions of AMX: set up tiles, multiply, give them back.

use core::arch::asm;

/// Bytes of a row of a tile.
pub(super) const ROW: usize = 64;

/// Rows of a tile.
pub(super) const ROWS: usize = 16;

/// Pixels and channels of a block: two tiles by two.
pub(super) const BLOCK: usize = 2 * ROWS;

/// Sums of a block: for the first sixteen pixels those of the first panel, then those of the second, then the others.
#[repr(C, align(64))]
pub(super) struct Sums(pub(super) [[[i32; ROWS]; ROWS]; 4]);

/// All tiles whole: palette 1, eight tiles of sixteen rows of 64 bytes.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

static CONFIG: Config = {
    let mut config = Config { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
    let mut tile = 0;
    while tile < 8 {
        config.row_bytes[tile] = ROW as u16;
        config.rows[tile] = ROWS as u8;
        tile += 1;
    }
    config
};

const _: () = assert!(size_of::<Config>() == 64);

/// Tiles in use by this thread, until it is dropped.
pub(super) struct Tiles(());

impl Tiles {
    /// Sets up the tiles.
    ///
    /// # Safety
    ///
    /// The CPU has AMX, and the system lets this process use it.
    pub(super) unsafe fn new() -> Tiles {
        // SAFETY: the caller's; the configuration has 64 bytes.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &CONFIG, options(nostack, readonly, preserves_flags)) }
        Tiles(())
    }

    /// Sums of the products of 32 rows of values with two panels of weights, `steps` times 64 products each.
    ///
    /// # Safety
    ///
    /// `values` has 32 rows of `64 * steps` bytes, `pitch` apart, and both panels have `16 * steps` groups of 64 bytes.
    #[inline]
    pub(super) unsafe fn multiply(
        &self,
        values: *const u8,
        pitch: usize,
        weights: [*const i8; 2],
        steps: usize,
        sums: &mut Sums,
    ) {
        if steps == 0 {
            return;
        }
        // SAFETY: reads what the caller says is there, and writes four tiles of 1024 bytes to `sums`.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                "2:",
                "tileloadd tmm4, [{first} + {pitch}]",
                "tileloadd tmm6, [{a} + {row}]",
                "tileloadd tmm7, [{b} + {row}]",
                "tdpbusd tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{second} + {pitch}]",
                "tdpbusd tmm1, tmm4, tmm7",
                "tdpbusd tmm2, tmm5, tmm6",
                "tdpbusd tmm3, tmm5, tmm7",
                "add {first}, 64",
                "add {second}, 64",
                "add {a}, 1024",
                "add {b}, 1024",
                "dec {steps}",
                "jnz 2b",
                "tilestored [{sums} + {row}], tmm0",
                "tilestored [{sums} + {row} + 1024], tmm1",
                "tilestored [{sums} + {row} + 2048], tmm2",
                "tilestored [{sums} + {row} + 3072], tmm3",
                first = inout(reg) values => _,
                second = inout(reg) values.wrapping_add(ROWS * pitch) => _,
                pitch = in(reg) pitch,
                a = inout(reg) weights[0] => _,
                b = inout(reg) weights[1] => _,
                row = in(reg) ROW,
                steps = inout(reg) steps => _,
                sums = in(reg) &raw mut sums.0,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
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

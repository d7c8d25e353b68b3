//! What vector kernels of attention keep of a head: keys and values in the order of their products, and the scores of some rows.

use super::scalar;
use crate::ops::Attention;

/// Bytes of a vector, the unit of everything here.
pub(super) const VECTOR: usize = 64;

/// Keys in a panel: each has a lane of 32 bits, and so has its score.
pub(super) const PANEL: usize = 16;

/// Rows that are computed together.
pub(super) const ROWS: usize = 4;

/// The parts of a head, in vectors.
///
/// * Keys: `[panels][groups]`, a group the same channels of all keys of a panel, as many as fit into 32 bits.
/// * Values: `[pairs][blocks]`, a block 16 channels of both rows of a pair, in 16 bits.
/// * Scores of a row: 32 bits each, of 32 rows in two vectors; of their weights, 16 bits each, the vector is filled up in turn
///   from the two.
///
/// So rows that are 16 apart are a pair: the first and second half of each 32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) panels: usize,
    pub(super) groups: usize,
    pub(super) pairs: usize,
    pub(super) blocks: usize,
    /// Vectors of the scores of a row.
    pub(super) row: usize,
}

impl Head {
    /// For keys of so many bytes a channel.
    pub(super) const fn of(op: &Attention, key_bytes: usize) -> Head {
        Head {
            panels: op.rows.div_ceil(PANEL),
            groups: op.size.saturating_mul(key_bytes).div_ceil(4),
            pairs: op.rows / 32 * 16 + if op.rows % 32 < 16 { op.rows % 32 } else { 16 },
            blocks: op.size.div_ceil(16),
            row: op.rows.div_ceil(32).saturating_mul(2),
        }
    }

    /// Vectors of the keys.
    pub(super) const fn keys(&self) -> usize {
        self.panels.saturating_mul(self.groups)
    }

    /// Vectors of the values.
    pub(super) const fn values(&self) -> usize {
        self.pairs.saturating_mul(self.blocks)
    }

    /// Vectors of the scores of [`ROWS`] rows.
    pub(super) const fn scores(&self) -> usize {
        self.row.saturating_mul(ROWS)
    }

    /// Scratch for a head, or what scalar needs if that is more.
    pub(super) fn bytes(&self, op: &Attention) -> usize {
        let vectors = self.keys().saturating_add(self.values()).saturating_add(self.scores());
        vectors.saturating_mul(VECTOR).max((scalar::SCRATCH.attention)(op))
    }

    /// The rows of pair number `pair`; they may be behind the last one. Planning needs no more than sizes.
    #[cfg(target_arch = "x86_64")]
    pub(super) const fn pair(pair: usize) -> [usize; 2] {
        let first = pair / 16 * 32 + pair % 16;
        [first, first + 16]
    }
}

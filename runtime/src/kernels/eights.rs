//! What vector kernels with panels of eight channels keep in scratch: blocks of eight rows, and the parts of an attention's head.

use crate::ops::{Attention, Linear};

/// Rows that are computed together, keys in a panel, and the unit in which rows and channels are padded with zeros.
pub(super) const EIGHT: usize = 8;

/// Unit in which rows of values are padded with zeros: two groups of products.
const PAIR: usize = 2 * EIGHT;

/// Values that blocks may have before rows are cut into several runs: with a panel of weights they should stay in the fastest cache.
const VALUES: usize = 32 * 1024;

/// The rows of a fully connected layer that are laid out at once, in blocks of eight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    /// Rows, a multiple of eight.
    pub(super) rows: usize,
    /// Bytes of a row.
    pub(super) len: usize,
}

impl Blocks {
    pub(super) fn of(op: &Linear<'_>) -> Blocks {
        let len = padded(op.inputs, PAIR).max(PAIR);
        let most = (VALUES / len / EIGHT).max(1) * EIGHT;
        Blocks { rows: padded(op.rows, EIGHT).clamp(EIGHT, most), len }
    }

    /// Scratch.
    pub(super) const fn bytes(&self) -> usize {
        self.rows.saturating_mul(self.len)
    }
}

const fn padded(n: usize, unit: usize) -> usize {
    n.div_ceil(unit).saturating_mul(unit)
}

/// The parts of a head, in the order in which they lie in scratch.
///
/// * Scores of eight rows, 32 bits each, one for each key; of their weights, 16 bits each, a row begins where its scores did.
/// * Queries: a block of eight rows.
/// * Keys: panels of the layout [`super::Layout::N8K8`].
/// * Values: a row of channels for each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Eights {
    /// Keys, padded.
    pub(super) rows: usize,
    /// Channels of a head, padded.
    pub(super) size: usize,
}

impl Eights {
    pub(super) fn of(op: &Attention) -> Eights {
        Eights { rows: padded(op.rows, EIGHT), size: padded(op.size, PAIR) }
    }

    /// Bytes of the scores.
    pub(super) const fn scores(&self) -> usize {
        self.rows.saturating_mul(EIGHT * 4)
    }

    /// Bytes of the queries.
    pub(super) const fn queries(&self) -> usize {
        self.size.saturating_mul(EIGHT)
    }

    /// Bytes of the keys, and of the values.
    pub(super) const fn keys(&self) -> usize {
        self.rows.saturating_mul(self.size)
    }

    /// Scratch for a head.
    pub(super) const fn bytes(&self) -> usize {
        self.keys().saturating_mul(2).saturating_add(self.scores()).saturating_add(self.queries())
    }
}

/// Keys of a head, one row of `size` channels in each `pitch`, as panels; `panels` has room for all of them.
#[cfg(target_arch = "aarch64")]
pub(super) fn pack_keys(parts: &Eights, keys: &[i8], [pitch, size]: [usize; 2], panels: &mut [u8]) {
    const GROUP: usize = super::Layout::N8K8.group();
    panels.fill(0);
    for (panel, rows) in panels.chunks_exact_mut(parts.size * EIGHT).zip(keys.chunks(pitch * EIGHT)) {
        for (lane, row) in rows.chunks(pitch).enumerate() {
            for (group, values) in panel.chunks_exact_mut(GROUP).zip(row[..size].chunks(EIGHT)) {
                copy(values, &mut group[lane * EIGHT..]);
            }
        }
    }
}

/// Rows of `size` channels, one in each `pitch`, one after another and padded.
#[cfg(target_arch = "aarch64")]
pub(super) fn pack_rows(parts: &Eights, values: &[i8], [pitch, size]: [usize; 2], rows: &mut [u8]) {
    rows.fill(0);
    for (to, row) in rows.chunks_exact_mut(parts.size).zip(values.chunks(pitch)) {
        copy(&row[..size], to);
    }
}

#[cfg(target_arch = "aarch64")]
fn copy(from: &[i8], to: &mut [u8]) {
    to[..from.len()].copy_from_slice(super::cast::u8s(from));
}

//! Attention: scores of four rows with keys in panels, their weights, then sums over pairs of rows of values.

use core::arch::x86_64::*;

use super::requantize::{Range, Rescale, Wide, load, store};
use super::tile::Tile;
use crate::kernels::head::{Head, PANEL, ROWS, VECTOR};
use crate::ops::{Attention, Qkv};
use crate::quant::EXP2;

/// A vector in scratch: two of this table's.
type Stored = [u8; VECTOR];

/// [`EXP2`] in the size that can be gathered.
static POWERS: [i32; 256] = {
    let mut powers = [0; 256];
    let mut i = 0;
    while i < 256 {
        powers[i] = EXP2[i] as i32;
        i += 1;
    }
    powers
};

/// See [`crate::Kernels::attention`].
pub(in crate::kernels::x86_64) fn attention<T: Tile<SIZE>, const SIZE: usize>(
    op: &Attention,
    inputs: Qkv<'_>,
    output: &mut [i8],
    scratch: &mut [u8],
) {
    let parts = Head::of(op, SIZE);
    if op.fits(inputs, output) && scratch.len() >= parts.bytes(op) {
        // SAFETY: the table is given out only if the CPU has the features (`available`).
        unsafe { heads::<T, SIZE>(op, &parts, inputs, output, scratch) }
    }
}

/// One head after another.
#[target_feature(enable = "avx2")]
fn heads<T: Tile<SIZE>, const SIZE: usize>(
    op: &Attention,
    parts: &Head,
    [q, k, v]: Qkv<'_>,
    output: &mut [i8],
    scratch: &mut [u8],
) {
    let (vectors, _) = scratch.as_chunks_mut::<VECTOR>();
    let (keys, rest) = vectors.split_at_mut(parts.keys());
    let (values, scores) = rest.split_at_mut(parts.values());
    let rescale = Rescale::splat(op.score.0, op.score.1);
    let range = Range::new(op.range);
    for head in 0..op.heads {
        let from = head * op.size;
        pack_keys::<T, SIZE>(op, parts, &k[from..], keys);
        pack_values(op, parts, &v[from..], values);
        for row in (0..op.rows).step_by(ROWS) {
            let count = ROWS.min(op.rows - row);
            let at = |i: usize| (row + i.min(count - 1)) * op.width() + from;
            let queries: [&[i8]; ROWS] = core::array::from_fn(|i| &q[at(i)..][..op.size]);
            score::<T, SIZE>(parts, &queries, keys, scores);
            let mut factors = [Rescale::splat(0, 0); ROWS];
            for (factor, scores) in factors.iter_mut().zip(scores.chunks_exact_mut(parts.row)) {
                let (multiplier, shift) = op.factor(weigh(op.rows, &rescale, scores));
                *factor = Rescale::splat(multiplier, shift);
            }
            let weights: [&[Stored]; ROWS] = core::array::from_fn(|i| &scores[i * parts.row..][..parts.row]);
            for block in 0..parts.blocks {
                let sums = mix::<T, SIZE>(parts, values, &weights, block);
                for (i, (sum, factor)) in sums.into_iter().zip(&factors).take(count).enumerate() {
                    let out = &mut output[at(i)..][16 * block..op.size.min(16 * block + 16)];
                    store(out, range.pack(factor.apply(sum)));
                }
            }
        }
    }
}

/// The keys of a head in panels; those that are missing are arbitrary.
fn pack_keys<T: Tile<SIZE>, const SIZE: usize>(op: &Attention, parts: &Head, k: &[i8], keys: &mut [Stored]) {
    for (panel, groups) in keys.chunks_exact_mut(parts.groups).enumerate() {
        let rows = k.chunks(op.width()).skip(panel * PANEL).take(PANEL);
        for (lane, row) in rows.enumerate() {
            let row = &row[..op.size];
            for (i, group) in groups.iter_mut().enumerate() {
                group[4 * lane..][..4].copy_from_slice(&T::key(row, i).to_le_bytes());
            }
        }
    }
}

/// The values of a head in pairs of rows; those that are missing are 0.
#[target_feature(enable = "avx2")]
fn pack_values(op: &Attention, parts: &Head, v: &[i8], values: &mut [Stored]) {
    for (pair, blocks) in values.chunks_exact_mut(parts.blocks).enumerate() {
        let [a, b] = Head::pair(pair).map(|row| match row < op.rows {
            true => &v[row * op.width()..][..op.size],
            false => &[],
        });
        for (block, to) in blocks.iter_mut().enumerate() {
            let [a, b] = [a, b].map(|row| load(row.get(16 * block..).unwrap_or(&[])));
            put(to, [_mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b)), _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(a, b))]);
        }
    }
}

/// The scores of some rows, which all keys share.
#[target_feature(enable = "avx2")]
fn score<T: Tile<SIZE>, const SIZE: usize>(
    parts: &Head,
    queries: &[&[i8]; ROWS],
    keys: &[Stored],
    scores: &mut [Stored],
) {
    for (panel, groups) in keys.chunks_exact(parts.groups).enumerate() {
        let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
        for (i, own) in groups.iter().enumerate() {
            let own = get(own);
            for (sums, query) in sums.iter_mut().zip(queries) {
                let query = _mm256_set1_epi32(T::query(query, i));
                for (sum, own) in sums.iter_mut().zip(own) {
                    // SAFETY: the table is given out only if the CPU has the features (`available`).
                    *sum = unsafe { T::add_scores(*sum, own, query) };
                }
            }
        }
        for (sums, scores) in sums.iter().zip(scores.chunks_exact_mut(parts.row)) {
            put(&mut scores[panel], *sums);
        }
    }
}

/// Replaces the scores of a row by weights, [`Attention::weight`], 32 rows at a time; gives their sum.
#[target_feature(enable = "avx2")]
fn weigh(rows: usize, rescale: &Rescale, scores: &mut [Stored]) -> u32 {
    let least = _mm256_set1_epi32(i32::MIN);
    let mut largest = [least; 2];
    for (i, score) in scores.iter().enumerate() {
        for ((largest, score), mask) in largest.iter_mut().zip(get(score)).zip(mask(rows, i)) {
            *largest = _mm256_max_epi32(*largest, _mm256_blendv_epi8(least, score, mask));
        }
    }
    let mut all = [0; 8];
    // SAFETY: eight numbers.
    unsafe { _mm256_storeu_si256(all.as_mut_ptr().cast(), _mm256_max_epi32(largest[0], largest[1])) };
    let largest = _mm256_set1_epi32(all.into_iter().fold(i32::MIN, i32::max));
    let mut total = _mm256_setzero_si256();
    for i in 0..scores.len() / 2 {
        let [a, b] = [2 * i, 2 * i + 1].map(|i| {
            let distance = get(&scores[i]).map(|score| _mm256_sub_epi32(largest, score));
            let mut powers = rescale.apply(distance);
            for (power, mask) in powers.iter_mut().zip(mask(rows, i)) {
                *power = _mm256_and_si256(power_of(*power), mask);
                total = _mm256_add_epi32(total, *power);
            }
            powers
        });
        // Behind what was read already.
        put(&mut scores[i], [0, 1].map(|half| _mm256_or_si256(a[half], _mm256_slli_epi32::<16>(b[half]))));
    }
    // SAFETY: eight numbers.
    unsafe { _mm256_storeu_si256(all.as_mut_ptr().cast(), total) };
    all.into_iter().fold(0, i32::wrapping_add) as u32
}

/// Which rows of a vector of scores there are: all ones in their lanes.
#[inline]
#[target_feature(enable = "avx2")]
fn mask(rows: usize, vector: usize) -> Wide {
    // At most 1023 rows.
    let left = rows as i32 - 16 * vector as i32;
    let lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    [left, left - 8].map(|left| _mm256_cmpgt_epi32(_mm256_set1_epi32(left), lanes))
}

/// Two to the power of minus these exponents, 8 bits after the point: 2^14 for 0.
#[inline]
#[target_feature(enable = "avx2")]
fn power_of(t: __m256i) -> __m256i {
    let at = _mm256_and_si256(t, _mm256_set1_epi32(255));
    // SAFETY: the table has 256 numbers.
    let part = unsafe { _mm256_i32gather_epi32::<4>(POWERS.as_ptr(), at) };
    let one = _mm256_set1_epi32(1);
    let whole = _mm256_min_epu32(_mm256_srli_epi32::<8>(t), _mm256_set1_epi32(16));
    _mm256_srlv_epi32(_mm256_add_epi32(part, _mm256_sllv_epi32(one, whole)), _mm256_add_epi32(whole, one))
}

/// Sums of weighted values of a block of channels.
#[target_feature(enable = "avx2")]
fn mix<T: Tile<SIZE>, const SIZE: usize>(
    parts: &Head,
    values: &[Stored],
    weights: &[&[Stored]; ROWS],
    block: usize,
) -> [Wide; ROWS] {
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    for (pair, values) in values.chunks_exact(parts.blocks).enumerate() {
        let own = get(&values[block]);
        for (sums, weights) in sums.iter_mut().zip(weights) {
            // SAFETY: a row has the weights of all pairs, 32 bits for each.
            let both = unsafe { weights.as_ptr().cast::<i32>().add(pair).read_unaligned() };
            let both = _mm256_set1_epi32(both);
            for (sum, own) in sums.iter_mut().zip(own) {
                // SAFETY: the table is given out only if the CPU has the features (`available`).
                *sum = unsafe { T::add_pairs(*sum, own, both) };
            }
        }
    }
    sums
}

#[inline]
#[target_feature(enable = "avx2")]
fn get(from: &Stored) -> Wide {
    let from = from.as_ptr().cast::<__m256i>();
    // SAFETY: 64 bytes.
    unsafe { [_mm256_loadu_si256(from), _mm256_loadu_si256(from.add(1))] }
}

#[inline]
#[target_feature(enable = "avx2")]
fn put(to: &mut Stored, [a, b]: Wide) {
    let to = to.as_mut_ptr().cast::<__m256i>();
    // SAFETY: 64 bytes.
    unsafe {
        _mm256_storeu_si256(to, a);
        _mm256_storeu_si256(to.add(1), b);
    }
}

//! Attention: scores of four rows with keys in panels, their weights, then sums over pairs of rows of values.
//!
//! Keys are made unsigned by adding 128. That adds one number to all scores of a row, and changes none of their distances.

use core::arch::x86_64::*;

use super::requantize::{Range, Rescale, first};
use crate::kernels::head::{Head, PANEL, ROWS, VECTOR};
use crate::kernels::scalar;
use crate::ops::{Attention, Qkv};
use crate::quant::EXP2;

/// A vector in scratch.
type Stored = [u8; VECTOR];

/// See [`crate::Kernels::attention`].
pub(super) fn attention(op: &Attention, inputs: Qkv<'_>, output: &mut [i8], scratch: &mut [u8]) {
    let parts = Head::of(op, 1);
    if !op.fits(inputs, output) || scratch.len() < parts.bytes(op) {
        return;
    }
    // Groups are four channels, and the offsets of the keys of a panel have 32 bits.
    if op.size.is_multiple_of(4) && op.width() < 1 << 24 {
        // SAFETY: the table is given out only if the CPU has the features (`available`).
        unsafe { heads(op, &parts, inputs, output, scratch) }
    } else {
        (scalar::KERNELS.attention)(op, inputs, output, scratch);
    }
}

/// One head after another.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn heads(op: &Attention, parts: &Head, [q, k, v]: Qkv<'_>, output: &mut [i8], scratch: &mut [u8]) {
    let (vectors, _) = scratch.as_chunks_mut::<VECTOR>();
    let (keys, rest) = vectors.split_at_mut(parts.keys());
    let (values, scores) = rest.split_at_mut(parts.values());
    let weigher = Weigher::new(op);
    let range = Range::new(op.range);
    for head in 0..op.heads {
        let from = head * op.size;
        pack_keys(op, parts, &k[from..], keys);
        pack_values(op, parts, &v[from..], values);
        for row in (0..op.rows).step_by(ROWS) {
            let count = ROWS.min(op.rows - row);
            let at = |i: usize| (row + i.min(count - 1)) * op.width() + from;
            let queries: [&[i8]; ROWS] = core::array::from_fn(|i| &q[at(i)..][..op.size]);
            score(parts, &queries, keys, scores);
            let mut factors = [(0, 0); ROWS];
            for (factor, scores) in factors.iter_mut().zip(scores.chunks_exact_mut(parts.row)) {
                *factor = op.factor(weigher.weigh(scores));
            }
            let outputs = Outputs { values: &mut output[at(0)..], pitch: op.width(), size: op.size, count };
            mix(parts, values, scores, &factors, range, outputs);
        }
    }
}

/// The keys of a head in panels; those that are missing are arbitrary.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn pack_keys(op: &Attention, parts: &Head, k: &[i8], keys: &mut [Stored]) {
    let width = op.width();
    let lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    let offsets = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(width as i32));
    let unsigned = _mm512_set1_epi8(i8::MIN);
    for (panel, groups) in keys.chunks_exact_mut(parts.groups).enumerate() {
        let row = panel * PANEL;
        let mask = first(op.rows - row);
        let head = &k[row * width..];
        for (group, to) in groups.iter_mut().enumerate() {
            let from = head[4 * group..].as_ptr().cast();
            // SAFETY: each lane of the mask is a key, four of whose channels are read: a head has whole groups.
            let four = unsafe { _mm512_mask_i32gather_epi32::<1>(unsigned, mask, offsets, from) };
            put(to, _mm512_xor_si512(four, unsigned));
        }
    }
}

/// The values of a head in pairs of rows; those that are missing are 0.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn pack_values(op: &Attention, parts: &Head, v: &[i8], values: &mut [Stored]) {
    for (pair, blocks) in values.chunks_exact_mut(parts.blocks).enumerate() {
        let [a, b] = Head::pair(pair).map(|row| match row < op.rows {
            true => &v[row * op.width()..][..op.size],
            false => &[],
        });
        for (block, to) in blocks.iter_mut().enumerate() {
            let [a, b] = [a, b].map(|row| load_sixteen(row.get(16 * block..).unwrap_or(&[])));
            let both = _mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b));
            put(to, _mm512_cvtepi8_epi16(both));
        }
    }
}

/// The scores of some rows, which all keys share.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn score(parts: &Head, queries: &[&[i8]; ROWS], keys: &[Stored], scores: &mut [Stored]) {
    let mut panel = 0;
    while panel < parts.panels {
        panel += match parts.panels - panel {
            4.. => score_panels::<4>(parts, queries, keys, scores, panel),
            2..4 => score_panels::<2>(parts, queries, keys, scores, panel),
            _ => score_panels::<1>(parts, queries, keys, scores, panel),
        };
    }
}

/// The same for `P` panels from `panel` on; returns `P`.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn score_panels<const P: usize>(
    parts: &Head,
    queries: &[&[i8]; ROWS],
    keys: &[Stored],
    scores: &mut [Stored],
    panel: usize,
) -> usize {
    let keys = &keys[panel * parts.groups..][..P * parts.groups];
    let mut sums = [[_mm512_setzero_si512(); P]; ROWS];
    for group in 0..parts.groups {
        let mut own = [_mm512_setzero_si512(); P];
        for (p, own) in own.iter_mut().enumerate() {
            // SAFETY: `keys` holds `groups` vectors for each of the panels.
            *own = get(unsafe { keys.get_unchecked(p * parts.groups + group) });
        }
        for (sums, query) in sums.iter_mut().zip(queries) {
            // SAFETY: a query has four channels for each group.
            let four = unsafe { query.as_ptr().add(4 * group).cast::<i32>().read_unaligned() };
            for (sum, own) in sums.iter_mut().zip(own) {
                *sum = _mm512_dpbusd_epi32(*sum, own, _mm512_set1_epi32(four));
            }
        }
    }
    for (sums, scores) in sums.iter().zip(scores.chunks_exact_mut(parts.row)) {
        for (sum, to) in sums.iter().zip(&mut scores[panel..][..P]) {
            put(to, *sum);
        }
    }
    P
}

/// Makes weights of scores: [`Attention::weight`] for 32 rows at a time.
struct Weigher {
    rows: usize,
    rescale: Rescale,
    /// [`EXP2`] in 16 bits each.
    table: [[__m512i; 2]; 4],
}

impl Weigher {
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    fn new(op: &Attention) -> Self {
        let mut table = [[_mm512_setzero_si512(); 2]; 4];
        for (i, part) in table.as_flattened_mut().iter_mut().enumerate() {
            // SAFETY: the table has 256 numbers, which are eight vectors.
            *part = unsafe { _mm512_loadu_si512(EXP2.as_ptr().add(32 * i).cast()) };
        }
        Weigher { rows: op.rows, rescale: Rescale::splat(op.score.0, op.score.1), table }
    }

    /// Replaces the scores of a row by weights; gives their sum.
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    fn weigh(&self, scores: &mut [Stored]) -> u32 {
        let mut largest = _mm512_set1_epi32(i32::MIN);
        for (i, score) in scores.iter().enumerate() {
            largest = _mm512_mask_max_epi32(largest, self.mask(i), largest, get(score));
        }
        let largest = _mm512_set1_epi32(_mm512_reduce_max_epi32(largest));
        let mut total = _mm512_setzero_si512();
        for i in 0..scores.len() / 2 {
            let [a, b] = [2 * i, 2 * i + 1].map(|i| _mm512_sub_epi32(largest, get(&scores[i])));
            let [a, b] = [a, b].map(|distance| self.rescale.apply(self.rescale.shift_left(distance)));
            let [a, b] = self.powers(a, b);
            let a = _mm512_maskz_mov_epi32(self.mask(2 * i), a);
            let b = _mm512_maskz_mov_epi32(self.mask(2 * i + 1), b);
            total = _mm512_add_epi32(total, _mm512_add_epi32(a, b));
            // Behind what was read already.
            put(&mut scores[i], _mm512_or_si512(a, _mm512_slli_epi32::<16>(b)));
        }
        _mm512_reduce_add_epi32(total) as u32
    }

    /// Which rows of a vector of scores there are.
    fn mask(&self, vector: usize) -> __mmask16 {
        first(self.rows.saturating_sub(16 * vector))
    }

    /// Two to the power of minus these exponents, 8 bits after the point: 2^14 for 0.
    #[inline]
    #[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
    fn powers(&self, a: __m512i, b: __m512i) -> [__m512i; 2] {
        let low = _mm512_set1_epi32(255);
        let at = _mm512_or_si512(_mm512_and_si512(a, low), _mm512_slli_epi32::<16>(_mm512_and_si512(b, low)));
        let [half, quarter] =
            [_mm512_set1_epi16(128), _mm512_set1_epi16(64)].map(|bit| _mm512_test_epi16_mask(at, bit));
        let mut found = self.table.map(|[low, high]| _mm512_permutex2var_epi16(low, at, high));
        found[0] = _mm512_mask_mov_epi16(found[0], quarter, found[1]);
        found[2] = _mm512_mask_mov_epi16(found[2], quarter, found[3]);
        let found = _mm512_mask_mov_epi16(found[0], half, found[2]);
        let parts = [_mm512_and_si512(found, _mm512_set1_epi32(0xffff)), _mm512_srli_epi32::<16>(found)];
        let (one, most) = (_mm512_set1_epi32(1), _mm512_set1_epi32(16));
        let mut powers = [a, b];
        for (power, part) in powers.iter_mut().zip(parts) {
            let whole = _mm512_min_epu32(_mm512_srli_epi32::<8>(*power), most);
            let rounded = _mm512_add_epi32(part, _mm512_sllv_epi32(one, whole));
            *power = _mm512_srlv_epi32(rounded, _mm512_add_epi32(whole, one));
        }
        powers
    }
}

/// Where the results of some rows of a head go.
struct Outputs<'a> {
    /// From the first channel of the head in the first of the rows on.
    values: &'a mut [i8],
    pitch: usize,
    size: usize,
    count: usize,
}

/// Sums of weighted values, requantized.
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn mix(
    parts: &Head,
    values: &[Stored],
    weights: &[Stored],
    factors: &[(i32, u8); ROWS],
    range: Range,
    mut outputs: Outputs<'_>,
) {
    let weights: [&[Stored]; ROWS] = core::array::from_fn(|i| &weights[i * parts.row..][..parts.row]);
    let rescale = factors.map(|(multiplier, shift)| Rescale::splat(multiplier, shift));
    let mut block = 0;
    while block < parts.blocks {
        block += match parts.blocks - block {
            4.. => mix_blocks::<4>(parts, values, &weights, &rescale, range, &mut outputs, block),
            2..4 => mix_blocks::<2>(parts, values, &weights, &rescale, range, &mut outputs, block),
            _ => mix_blocks::<1>(parts, values, &weights, &rescale, range, &mut outputs, block),
        };
    }
}

/// The same for `B` blocks of channels from `block` on; returns `B`.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn mix_blocks<const B: usize>(
    parts: &Head,
    values: &[Stored],
    weights: &[&[Stored]; ROWS],
    rescale: &[Rescale; ROWS],
    range: Range,
    outputs: &mut Outputs<'_>,
    block: usize,
) -> usize {
    let mut sums = [[_mm512_setzero_si512(); B]; ROWS];
    for (pair, values) in values.chunks_exact(parts.blocks).enumerate() {
        let mut own = [_mm512_setzero_si512(); B];
        for (own, value) in own.iter_mut().zip(&values[block..][..B]) {
            *own = get(value);
        }
        for (sums, weights) in sums.iter_mut().zip(weights) {
            // SAFETY: a row has the weights of all pairs, 32 bits for each.
            let both = unsafe { weights.as_ptr().cast::<i32>().add(pair).read_unaligned() };
            for (sum, own) in sums.iter_mut().zip(own) {
                *sum = _mm512_dpwssd_epi32(*sum, own, _mm512_set1_epi32(both));
            }
        }
    }
    let columns = 16 * block..outputs.size.min(16 * (block + B));
    for (row, (sums, rescale)) in sums.iter().zip(rescale).take(outputs.count).enumerate() {
        let mut results = [_mm512_setzero_si512(); 4];
        for (result, &sum) in results.iter_mut().zip(sums) {
            *result = rescale.apply(rescale.shift_left(sum));
        }
        let to = &mut outputs.values[row * outputs.pitch..][columns.clone()];
        let mask = if to.len() >= 64 { !0 } else { !(!0 << to.len()) };
        // SAFETY: the mask has the length of the slice.
        unsafe { _mm512_mask_storeu_epi8(to.as_mut_ptr(), mask, range.pack(results)) };
    }
    B
}

/// Up to sixteen values.
#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn load_sixteen(values: &[i8]) -> __m128i {
    // SAFETY: the mask has the length of the slice, sixteen at most.
    unsafe { _mm_maskz_loadu_epi8(first(values.len()), values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn get(from: &Stored) -> __m512i {
    // SAFETY: 64 bytes.
    unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512bw,avx512vl,avx512vnni")]
fn put(to: &mut Stored, v: __m512i) {
    // SAFETY: 64 bytes.
    unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), v) }
}

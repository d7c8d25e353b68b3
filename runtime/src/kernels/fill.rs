//! Copies the rows of a band into scratch, padding included.

use crate::kernels::band::Band;
use crate::tensor::Shape;

/// What a band is cut from.
pub(super) struct Image<'a> {
    pub(super) values: &'a [i8],
    pub(super) shape: Shape,
    /// Rows above and columns to the left that read `zero`.
    pub(super) pad: [usize; 2],
    /// What padding reads.
    pub(super) zero: i8,
}

/// Fills `band` from its row for output row `first` on; each value goes through `convert`.
///
/// If a pixel of the band has more values than the image's, each of these is repeated.
// Inlined into a function that has its CPU's features, so that the loops use them.
#[inline(always)]
pub(super) fn fill<T: Copy>(band: &Band, image: &Image<'_>, first: usize, into: &mut [T], convert: impl Fn(i8) -> T) {
    let Image { values, shape, pad, zero } = *image;
    let channels = shape.channels.max(1);
    let repeat = band.pixel / channels;
    let padding = convert(zero);
    // Columns before the image, and those before its end.
    let lead = pad[1].min(band.columns);
    let end = (shape.width + pad[1]).min(band.columns);
    for (i, row) in into.chunks_exact_mut(band.row().max(1)).take(band.rows).enumerate() {
        let y = ((first * band.step[0] + i) * band.skip).wrapping_sub(pad[0]);
        if y >= shape.height {
            row.fill(padding);
            continue;
        }
        let (before, rest) = row.split_at_mut(lead * band.pixel);
        let (inside, after) = rest.split_at_mut((end - lead) * band.pixel);
        before.fill(padding);
        after.fill(padding);
        let values = values.get(y * shape.width * channels..).unwrap_or(&[]);
        if repeat <= 1 {
            for (to, &v) in inside.iter_mut().zip(values) {
                *to = convert(v);
            }
        } else {
            for (to, &v) in inside.chunks_exact_mut(repeat).zip(values) {
                to.fill(convert(v));
            }
        }
    }
}
